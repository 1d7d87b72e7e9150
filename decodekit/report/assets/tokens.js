// The text as a list of tokens. Blocks hold one text node until they come near the screen; then each token is an element.

import { h, painted } from "./dom.js";
import { level } from "./colour.js";
import { running } from "./words.js";

const BLOCK = 250;

/**
 * One sequence as a listbox with a single tab stop.
 *
 * `report` has the columns, `sequence` its place in them; `on.hover(at)` and `on.pick(at)` get a step's place, and
 * `on.leave()` tells that the pointer left the text.
 */
export function tokenList(report, sequence, on) {
  const { from, to } = sequence;
  const bare = !report.texts.slice(from, to).some((text) => text);
  let measure = "surprisal";
  let active = null;

  const shown = (at) => running(report.texts[at]) || (bare ? `#${report.column("token")[at]} ` : "◦");

  function paint(node, at) {
    const value = report.column(measure)[at];
    const sure = report.column("share")[at] >= 0.5;
    const step = level(measure, value);
    node.className = `t c${step < 0 ? "x" : step}${sure ? "" : " u"}${report.texts[at] ? "" : " empty"}`;
    if (report.wordOf(at) === "failed") node.classList.add("bad");
    if (report.marked(at)) node.classList.add("parted");
    if (report.back.has(at)) node.classList.add("back");
    if (at === active) node.setAttribute("aria-selected", "true");
  }

  function fill(block) {
    if (block.filled) return;
    block.filled = true;
    const nodes = [];
    for (let at = block.from; at < block.to; at++) {
      const text = shown(at);
      const name = text.trim() ? null : `blank ${JSON.stringify(text)}`;
      const node = h("span", { role: "option", id: `t${at}`, "aria-label": name, title: report.back.has(at) && "text was taken back before this token" }, text);
      node.at = at;
      paint(node, at);
      nodes.push(node);
    }
    block.node.replaceChildren(...nodes);
  }

  const blocks = [];
  for (let start = from; start < to; start += BLOCK) {
    const end = Math.min(start + BLOCK, to);
    let text = "";
    for (let at = start; at < end; at++) text += shown(at);
    const label = `tokens ${start - from} to ${end - from - 1}`;
    const block = { from: start, to: end, filled: false };
    block.node = h("span", { class: "block", role: "group", "aria-label": label }, text);
    block.node.block = block;
    blocks.push(block);
  }
  const list = h("div", {
    class: "tokens", role: "listbox", tabindex: "0", "aria-label": "generated tokens",
    onpointerover: (event) => event.pointerType !== "touch" && event.target.at !== undefined && on.hover(event.target.at),
    onpointerleave: () => on.leave(),
    onclick: (event) => event.target.at !== undefined && on.pick(event.target.at),
  }, blocks.slice(0, 1).map((block) => block.node));
  const rest = blocks.slice(1).map((block) => block.node);
  const near = new IntersectionObserver((seen) => {
    for (const entry of seen) if (entry.isIntersecting) fill(entry.target.block);
  }, { rootMargin: "800px" });
  const whole = () => list.append(...rest.splice(0));
  blocks.slice(0, 1).forEach(fill);
  blocks.forEach((block) => near.observe(block.node));
  painted().then(whole); // the first block is on the screen before the others are laid out

  const blockOf = (at) => blocks[Math.floor((at - from) / BLOCK)];

  return {
    node: list,
    fillAll: () => (whole(), blocks.forEach(fill)),
    colourBy(name) {
      measure = name;
      for (const block of blocks) if (block.filled) for (const node of block.node.children) paint(node, node.at);
    },
    /** Marks a token as the one that is looked at. */
    show(at, scroll) {
      if (active !== null) document.getElementById(`t${active}`)?.removeAttribute("aria-selected");
      active = at;
      if (at >= from + BLOCK) whole();
      fill(blockOf(at));
      const node = document.getElementById(`t${at}`);
      node.setAttribute("aria-selected", "true");
      list.setAttribute("aria-activedescendant", node.id);
      if (scroll) node.scrollIntoView({ block: scroll });
    },
    close: () => near.disconnect(),
  };
}
