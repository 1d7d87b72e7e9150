// Two traces: where they part, and why.

import { h } from "./dom.js";

export function partingLine(report, jump) {
  const { difference } = report;
  if (!difference) return null;
  const to = (at, name) => at !== null && h("button", { type: "button", onclick: () => jump(at) }, name);
  return h("section", { class: "parting" }, h("h2", {}, difference.equal ? "Two runs, equal tokens" : "Two runs that part"), h("p", {}, difference.why),
    difference.lines.length ? h("ul", { class: "told" }, difference.lines.map((line) => h("li", {}, line))) : null,
    to(difference.a, "see it in the first") || null, " ", to(difference.b, "see it in the second") || null);
}
