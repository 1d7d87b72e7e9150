// The columns of both islands as runs and steps.

import { checkStep } from "./check.js";
import { exact } from "./island.js";
import { unknown } from "./words.js";

const CORE = ["multinomial", "greedy", "inverse_cdf", "provider"];
const known = (value) => (Number.isNaN(value) ? null : value);
const counted = (value) => (value < 0 ? null : value);

/** What checkStep needs of a run. */
function checkHeader({ header }) {
  const { sampler } = header.chain;
  const core = sampler.distribution === "decodekit" && CORE.includes(sampler.name) ? sampler.name : null;
  return { seed: header.seed, vocab_size: header.adapter.vocab_size ?? null, sampler: core, level: header.level };
}

export function openReport(first, opened) {
  const { head } = first;
  const report = { ...head, column: first.column, ready: false, step: null, opened: null };
  report.sequences = head.runs.flatMap((run) => run.streams.map((stream) => ({ ...stream, run })));
  report.back = new Set(head.back);
  report.marked = (at) => at === head.difference?.a || at === head.difference?.b;
  report.wordOf = (at) => report.words[first.column("word")[at]] ?? "";
  report.sequenceOf = (at) => report.sequences.find(({ from, to }) => at >= from && at < to);
  opened.then((rest) => {
    report.step = (at) => stepOf(report, rest, at);
    report.ready = true;
  });
  return report;
}

function stagesOf(report, rest, at) {
  const { run } = report.sequenceOf(at);
  const from = rest.starts("stages")[at];
  const parts = run.header.chain.processors ?? [];
  return Array.from({ length: rest.column("stages")[at] }, (_, stage) => {
    const value = (name) => rest.column(name)[from + stage];
    const part = parts[stage - 1];
    return {
      name: stage ? part.shown ?? part.name : "raw", detail: stage ? parameterOf(part) : "", sentence: rest.head.sentences[from + stage],
      support: counted(value("support")), entropy: value("spread"), kl: value("kl"), removed: value("removed"),
      kept: value("kept"), keptLow: value("kept_low"), keptHigh: value("kept_high"),
    };
  });
}

/** The main parameter of a processor: the one of its name. */
export function parameterOf({ name, params }) {
  const value = params?.[name];
  return unknown(value) || typeof value === "object" ? "" : String(value);
}

function rowsOf(rest, at, stages) {
  const counts = rest.column("rows");
  const from = rest.starts("rows")[at];
  const start = sharesBefore(rest)[at];
  return Array.from({ length: counts[at] }, (_, row) => ({
    token: rest.column("row_ids")[from + row],
    shares: Array.from(rest.column("shares").subarray(start + row * stages, start + (row + 1) * stages)),
  }));
}

/** Where the shares of each step begin: a step has rows times stages of them. */
function sharesBefore(rest) {
  if (rest.sharesBefore) return rest.sharesBefore;
  const [rows, stages] = [rest.column("rows"), rest.column("stages")];
  rest.sharesBefore = new Uint32Array(rows.length + 1);
  for (let at = 0; at < rows.length; at++) rest.sharesBefore[at + 1] = rest.sharesBefore[at] + rows[at] * stages[at];
  return rest.sharesBefore;
}

/** Of two whole numbers, exact. */
function sum(a, b) {
  const near = typeof a === "number" && typeof b === "number" ? a + b : NaN;
  return Number.isSafeInteger(near) ? near : exact(BigInt(a) + BigInt(b));
}

function evidenceOf(rest, at) {
  const size = rest.column("evidence")[at];
  if (size <= 0) return { ids: null, scores: null, floor: null, left: size < 0 };
  const from = rest.starts("evidence")[at];
  let id = 0;
  const ids = Array.from(rest.column("evidence_ids").slice(from, from + size), (difference) => (id = sum(id, difference)));
  const scores = Array.from(rest.column("evidence_scores").subarray(from, from + size));
  return { ids, scores, floor: known(rest.column("floor")[at]), left: false };
}

function drawOf(rest, at) {
  const domain = rest.column("domain")[at];
  if (domain < 0) return null;
  const hex = (name) => rest.column(name)[at].toString(16).padStart(8, "0");
  return { domain, attempt: rest.column("attempt")[at], lane: rest.column("lane")[at], word: hex("high") + hex("low") };
}

function stepOf(report, rest, at) {
  const sequence = report.sequenceOf(at);
  const token = report.column("token")[at];
  const text = report.texts[at];
  const stages = stagesOf(report, rest, at);
  const choice = {
    logprob: known(rest.column("logprob")[at]), score: rest.column("score")[at], margin: report.column("margin")[at],
    runner_up: counted(rest.column("runner_up")[at]),
  };
  const flags = rest.column("flags")[at];
  const { left, ...evidence } = evidenceOf(rest, at);
  const record = {
    stream: sequence.stream, index: report.column("index")[at], token, ...evidence, choice, draw: drawOf(rest, at), row: flags >= 4,
  };
  return {
    at, token, text, sequence, stages, rows: rowsOf(rest, at, stages.length), runnerUp: choice.runner_up, choice, record, left,
    remarks: rest.head.remarks[at] ?? {}, complete: flags & 3,
    label: (id) => (id === token && (rest.head.names[at] ?? (text && `"${text}"`))) || (rest.head.labels[id] ?? `#${id}`),
    check: () => checkStep(checkHeader(sequence.run), record),
  };
}
