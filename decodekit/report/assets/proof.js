// What is proved: the word of each verification, and the check of all draws in this page, a few at a time.

import { h } from "./dom.js";
import { count, many } from "./words.js";

const SIGNS = { proved: "✓", reproduced: "✓", consistent: "≈", ambiguous: "≈", incomplete: "…", failed: "✗", refused: "✗" };
const [SLICE, PATIENCE] = [12, 1500]; // milliseconds: of work at a time, and of work that is done unasked

export const badge = (word, about) => h("span", { class: `badge ${word}`, title: about }, `${SIGNS[word] ?? ""} ${word}`);

/** A line that counts the draws of a run that this page has checked. */
export function checkAll(report, run) {
  const places = run.streams.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
  const counts = {};
  const line = h("p", { class: "note", role: "status" }, "This page checks the draws …");
  const more = h("button", { type: "button", onclick: () => go(Infinity) }, "check the rest");
  let [next, worked] = [0, 0];

  function go(patience) {
    const began = performance.now();
    while (next < places.length && performance.now() - began < SLICE) {
      const { word } = report.step(places[next++]).check();
      counts[word] = (counts[word] ?? 0) + 1;
    }
    worked += performance.now() - began;
    const words = Object.entries(counts).map(([word, number]) => `${count(number)} ${word}`).join(", ") || "none";
    const of = report.runs.length > 1 ? ` of ${run.name}` : "";
    line.textContent = `Checked in this page${of}, from the scores in it: ${words}, of ${many(places.length, "draw")}. `;
    if (next === places.length) return;
    if (worked > patience) line.append(more);
    else setTimeout(() => go(patience), 0);
  }

  setTimeout(() => go(PATIENCE), 200);
  return line;
}
