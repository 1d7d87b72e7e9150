// The distribution of one step, raw and after every processor, side by side; and where the mass went.

import { h, s } from "./dom.js";
import { count, number, share, unknown } from "./words.js";

function bar(value) {
  const width = Math.max(0, Math.min(1, value || 0)) * 100;
  return s("svg", { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { width, height: 4 }));
}

/** The cell of a share; "removed" at the stage that did it, a dash after it. */
function cell(shares, at) {
  const [before, now] = [shares[at - 1], shares[at]];
  if (now !== 0) return h("td", {}, bar(now), unknown(now) ? h("span", { class: "note", title: "not recorded" }, "?") : share(now));
  if (at && before === 0) return h("td", { class: "note" }, "–");
  return h("td", { class: "cut" }, "removed");
}

const FACTS = [
  ["tokens left", (stage) => count(stage.support), () => true],
  ["entropy, nats", (stage) => number(stage.entropy), () => true],
  ["mass removed", (stage) => share(stage.removed), (stages) => stages.some((stage) => stage.removed > 0)],
  ["Z, mass a mask kept", kept, (stages) => stages.some((stage) => kept(stage))],
  ["KL to the stage before", (stage) => number(stage.kl), (stages) => stages.length > 1],
];

function kept(stage) {
  if (!unknown(stage.kept)) return share(stage.kept);
  return unknown(stage.keptLow) ? "" : `${share(stage.keptLow)} to ${share(stage.keptHigh)}`;
}

export function stageTable(step) {
  const { stages, rows } = step;
  const last = stages.length - 1;
  const head = stages.map((stage, at) =>
    h("th", { scope: "col" }, stage.name, h("small", { title: stage.detail }, stage.detail || (at === last && at > 0 ? "final" : at ? "" : "model"))));
  const body = rows.map((row) => {
    const cut = row.shares[last] === 0;
    const label = h(cut ? "s" : "span", {}, step.label(row.token));
    const sign = row.token === step.token ? h("b", { title: "drawn" }, "▸ ") : row.token === step.runnerUp ? h("span", { title: "runner-up" }, "2 ") : "";
    return h("tr", { class: row.token === step.token ? "chosen" : "" },
      h("th", { scope: "row" }, sign, label), row.shares.map((_, at) => cell(row.shares, at)));
  });
  const facts = FACTS.filter(([, , wanted]) => wanted(stages)).map(([name, text]) =>
    h("tr", {}, h("th", { scope: "row" }, name), stages.map((stage, at) => h("td", {}, !at && /mass|KL/.test(name) ? "" : text(stage)))));
  return h("section", {}, h("h3", {}, "Through the chain"),
    h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "probabilities at each stage" },
      h("table", { class: "stages" },
        h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "token"), head)), h("tbody", {}, body), h("tfoot", {}, facts))));
}
