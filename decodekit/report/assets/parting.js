// Two traces: where they part, and why.

import { h } from "./dom.js";
import { running } from "./words.js";

const [BEFORE, AFTER] = [14, 24];

/** The text around the place where a run parts from the other. */
function around(report, at, jump) {
  const sequence = report.sequenceOf(at);
  const text = (from, to) => running(report.texts.slice(Math.max(from, sequence.from), Math.min(to, sequence.to)).join(""));
  return h("p", { class: "around" }, h("b", {}, sequence.run.name), " ", at - BEFORE > sequence.from ? "… " : "", text(at - BEFORE, at),
    h("button", { type: "button", class: "parted", onclick: () => jump(at) }, text(at, at + 1) || `#${report.column("token")[at]}`), text(at + 1, at + AFTER));
}

function table(className, [head, ...rows]) {
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": className },
    h("table", {}, h("thead", {}, h("tr", {}, head.map((cell) => h("th", { scope: "col" }, cell || "–")))),
      h("tbody", {}, rows.map(([name, ...cells]) => h("tr", {}, h("th", { scope: "row" }, name), cells.map((cell) => h("td", {}, cell)))))));
}

export function partingLine(report, jump) {
  const { difference } = report;
  if (!difference) return null;
  const { equal, why, fields, stages, notes, a, b } = difference;
  const listed = fields.map(({ field, a: one, b: other, mattered }) => [mattered ? `▸ ${field}` : field, one, other]);
  return h("section", { class: "parting" }, h("h2", {}, equal ? "Two runs, equal tokens" : "Where the two runs part"), h("p", {}, why),
    [a, b].filter((at) => at !== null).map((at) => around(report, at, jump)),
    h("details", {}, h("summary", {}, "what differs"),
      stages.length > 0 && table("stages of that step", stages),
      listed.length > 0 && table("fields of the headers", [["setting (▸ the cause)", "first", "second"], ...listed]),
      notes.length > 0 && h("ul", { class: "told" }, notes.map((note) => h("li", {}, note)))));
}
