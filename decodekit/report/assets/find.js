// Going through the text: search, and the next token that stands out.

import { h } from "./dom.js";
import { number } from "./words.js";

const TENTH = 0.1; // of the tokens of a sequence stand out

/** The value that a tenth of the tokens reach: from above for a margin, which is low where a token stands out. */
function edge(values, name) {
  const known = values.filter(Number.isFinite).sort();
  const at = Math.floor(known.length * TENTH);
  return name === "margin" ? known[at] : known[known.length - 1 - at];
}

export function finder(report, sequence, current, go) {
  const { from, to } = sequence;
  const starts = [];
  let text = "";
  for (let at = from; at < to; at++) {
    starts.push(text.length);
    text += report.texts[at].toLowerCase(); // each by itself: it may change the length
  }
  const said = h("output", { class: "note" });

  /** The last token that starts at or before this character. */
  function tokenAt(character) {
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (starts[middle] <= character) low = middle;
      else high = middle - 1;
    }
    return from + low;
  }

  function search(word, backwards) {
    const places = [];
    for (let at = text.indexOf(word); word && at >= 0; at = text.indexOf(word, at + 1)) places.push(tokenAt(at));
    if (!places.length) return (said.textContent = word ? "not found" : "");
    const here = current();
    const next = backwards ? places.findLastIndex((at) => at < here) : places.findIndex((at) => at > here);
    const place = next >= 0 ? next : backwards ? places.length - 1 : 0;
    go(places[place]);
    said.textContent = `${place + 1} of ${places.length}`;
  }

  const edges = {};
  for (const name of ["margin", "entropy"]) edges[name] = edge(report.column(name).subarray(from, to), name);

  function nextOf(name) {
    const column = report.column(name);
    const stands = (at) => (name === "margin" ? column[at] <= edges.margin : column[at] >= edges.entropy);
    const size = to - from;
    for (let ahead = 1; ahead <= size; ahead++) {
      const at = from + ((current() - from + ahead) % size);
      if (stands(at)) {
        said.textContent = "";
        return go(at);
      }
    }
    said.textContent = "none";
  }

  const box = h("input", {
    type: "search", "aria-label": "find in the text", placeholder: "find in the text  /",
    onkeydown: (event) => {
      if (event.key === "Enter") search(box.value.toLowerCase(), event.shiftKey);
      event.stopPropagation();
    },
  });
  const node = h("div", { class: "find" }, box, said,
    h("button", { type: "button", onclick: () => nextOf("margin"), title: `the lowest tenth: up to ${number(edges.margin)}; key m` }, "next low margin"),
    h("button", { type: "button", onclick: () => nextOf("entropy"), title: `the highest tenth: from ${number(edges.entropy)} nats; key e` }, "next high entropy"));
  return { node, nextOf, focus: () => box.focus() };
}
