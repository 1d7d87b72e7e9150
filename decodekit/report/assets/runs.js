// What a run started from and how it was verified, and its samples as a strip to choose from.

import { h } from "./dom.js";
import { badge } from "./proof.js";
import { parameterOf } from "./report.js";
import { many, number } from "./words.js";

/** The chain as a line: raw, each processor, the sampler. */
function chainLine({ header }) {
  const { processors = [], sampler } = header.chain;
  const parts = processors.map((part) => h("li", {}, part.shown ?? part.name, parameterOf(part) ? h("b", { title: parameterOf(part) }, ` ${parameterOf(part)}`) : null));
  return h("ol", { class: "chain", "aria-label": "the chain" }, h("li", {}, "model"), parts, h("li", {}, sampler.shown ?? sampler.name));
}

function settings({ facts }) {
  return h("details", {}, h("summary", {}, "all settings"),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))));
}

/** What is missing in a run, in sentences. */
function missing(run) {
  const said = [];
  if (run.fault) said.push(`${run.verdict.word === "failed" ? "The file is damaged" : "The file was cut short"}: ${run.fault}. What could be read before is shown.`);
  else if (!run.complete) said.push("The run has no recorded end: it was cut short.");
  if (run.by_provider) said.push("The provider drew these tokens: no draw is recorded, and none can be proved.");
  else if (run.header.level === "choice") said.push("Level 'choice': the final scores were not recorded, so that no draw can be proved.");
  if (run.resumed.length) said.push(`The run was resumed after ${run.resumed.map((steps) => many(steps, "step")).join(" and ")}.`);
  if (run.foreign) said.push("The tokenizer that was given is not that of this run: other tokens are shown by their ids.");
  if (run.lost) said.push(`${many(run.lost, "step")} of streams that the header does not name cannot be shown.`);
  if (run.wrong) said.push(`${many(run.wrong, "step")} with numbers that are impossible: the record is wrong there, first at step ${run.impossible[0]}.`);
  return said;
}

export function runHeader(report, run, jump) {
  const { verdict, header } = run;
  const where = verdict.step === null ? "" : ` at step ${verdict.step}`;
  const bad = placeOfWord(report, run);
  const steps = run.streams.reduce((sum, { from, to }) => sum + to - from, 0);
  return h("header", { class: "run" },
    h("div", { class: "title" }, h("h1", {}, header.adapter.model || header.adapter.name), h("span", {}, run.streams.some(({ error }) => error) && h("span", { class: "badge failed" }, "✗ ended with an error"), " ",
      badge(verdict.word, "by decodekit verify, when this page was written"))),
    h("p", {}, `${run.name}: ${many(steps, "token")}, seed `, h("b", {}, header.seed), ". ",
      `decodekit verify: ${verdict.word}${where}, ${steps ? report.meaning[verdict.word] ?? "" : "nothing was drawn"}${/^(proved|reproduced)$/.test(verdict.word) ? "" : ` (${verdict.why})`}. It covers the draws; texts, ranks, entropies and the model's numbers are as recorded.`),
    bad !== null && h("p", { class: "warning fault" }, `Step ${report.column("index")[bad]} fails${String(report.column("index")[bad]) === String(verdict.step) ? `: ${verdict.why}` : ""}. `, h("button", { type: "button", onclick: () => jump(bad) }, "see it")),
    run.streams.filter(({ error }) => error).map(({ name, error }) => h("p", { class: "warning fault" }, `The run ended with an error${run.streams.length > 1 ? ` (${name})` : ""}: ${error}`)),
    missing(run).map((text) => h("p", { class: "warning" }, text)), chainLine(run), settings(run));
}

/** The first step of a run that failed; null for none. */
function placeOfWord(report, run) {
  for (const { from, to } of run.streams) {
    for (let at = from; at < to; at++) if (report.wordOf(at) === "failed") return at;
  }
  return null;
}

const SHOWN = 40; // characters of a sample's text on its card

/** How the text of one sequence begins, in one line; '' where it has none. */
function beginningOf(report, { from, to }) {
  let text = "";
  for (let at = from; at < to && text.length < 2 * SHOWN; at++) text = (text + report.texts[at]).trimStart();
  return [...text].slice(0, SHOWN).join("").trimEnd();
}

/** One button a sequence; null where there is only one. */
export function sampleStrip(report, current, choose) {
  if (report.sequences.length < 2) return null;
  const several = report.runs.length > 1;
  const buttons = report.sequences.map((sequence) => {
    const { from, to, end, run, stream, name } = sequence;
    const text = beginningOf(report, sequence);
    let sum = 0;
    for (let at = from; at < to; at++) sum += report.column("surprisal")[at];
    const mean = to > from ? `${number(sum / (to - from), 2)} nats a token` : "";
    const about = [many(to - from, "token"), mean, end ?? "no end"].filter(Boolean).join(", ");
    return h("button", { type: "button", "aria-pressed": String(sequence === current), onclick: () => choose(sequence) },
      h("b", { title: `stream ${stream}` }, several ? `${run.name}, ${name}` : name), h("span", {}, text || "(no text)"), h("small", {}, about));
  });
  const strip = h("nav", { class: "strip", "aria-label": "samples" }, buttons);
  const chosen = buttons[report.sequences.indexOf(current)];
  requestAnimationFrame(() => (strip.scrollLeft = chosen.offsetLeft - strip.offsetLeft - 24));
  return strip;
}
