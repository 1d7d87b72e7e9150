// What is proved: the word of each verification, and the check of all draws in this page, a few at a time.

import { h } from "./dom.js";
import { count, many } from "./words.js";

const SIGNS = { proved: "✓", reproduced: "✓", consistent: "≈", ambiguous: "≈", incomplete: "…", failed: "✗", refused: "✗" };
const [SLICE, PAUSE] = [12, 8]; // milliseconds: of work at a time, and between

export const badge = (word, about) => h("span", { class: `badge ${word}`, title: about }, `${SIGNS[word] ?? ""} ${word}`);

/** A line that counts the draws of a run that this page has checked. Only its end is told to a screen reader. */
export function checkAll(report, run) {
  const places = run.streams.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i));
  const counts = {};
  const line = h("p", { class: "note" }, "This page checks the draws …");
  const of = report.runs.length > 1 ? ` of ${run.name}` : "";
  let next = 0;

  function go() {
    const began = performance.now();
    while (next < places.length && performance.now() - began < SLICE) {
      const { word } = report.step(places[next++]).check();
      counts[word] = (counts[word] ?? 0) + 1;
    }
    if (next < places.length) {
      line.textContent = `Checking the draws in this page${of}: ${count(next)} of ${count(places.length)} …`;
      setTimeout(go, PAUSE);
      return;
    }
    const words = Object.entries(counts).map(([word, number]) => `${count(number)} ${word}`).join(", ") || "none";
    line.setAttribute("role", "status");
    line.textContent = `Checked in this page${of}, from the scores in it: ${words}, of ${many(places.length, "draw")}.`;
  }

  setTimeout(go, 200);
  return line;
}
