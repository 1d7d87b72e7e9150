// The check of a whole trace, by docs/trace-format.md and docs/RNG.md alone.
//
//   checkTrace(bytesOrText) -> {word, step, why, steps}
//
//   bytesOrText  the whole file: a Uint8Array, or its text
//   word         as `decodekit verify` without --chain says it: "proved", "ambiguous", "consistent", "incomplete" or
//                "failed"; "refused" where that raises TraceError: it is no trace of this format. The chain is not run
//                here, so "proved" is said where `verify --chain` says "reproduced"
//   step         the number of the step that the word speaks of, or null
//   why          a sentence; "" if all is proved
//   header       as recorded, where there is one
//   steps        [{stream, index, token, text, word64, word, why}] of all steps that could be read, in the order of the file
//
// It always returns: nothing that a file can hold makes it throw.

import { checkBranches } from "./branches.js";
import { checkStep } from "./check.js";
import { CORE, Finding, require } from "./draw.js";
import { Refused, readTrace } from "./lines.js";

const STRENGTH = ["failed", "consistent", "ambiguous", "proved"];
const MOST_BRANCHES = 1000; // before one token

export function checkTrace(bytesOrText) {
  const bytes = typeof bytesOrText === "string" ? new TextEncoder().encode(bytesOrText) : bytesOrText;
  try {
    const trace = readTrace(bytes);
    if (trace.fault === null) requireNoise(trace.header);
    const check = stepCheck(trace);
    return verdict(trace, trace.steps.map((step) => ({ stream: step.stream, index: step.step, token: step.token, text: step.text, word64: step.draw?.word ?? null, ...check(step) })));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { word: "refused", step: null, why: error.message, steps: [] };
  }
}

function requireNoise({ level, rng }) {
  if (level === "none") throw new Refused("the level is none: nothing was recorded");
  if (rng !== "decodekit-rng-1") throw new Refused(`the random numbers are ${rng.slice(0, 40)}, which is unknown`);
}

/** The name of the sampler, if it is one of the core; else null. */
function coreSampler({ chain: { sampler } }) {
  return sampler.distribution === "decodekit" && CORE.includes(sampler.name) ? sampler.name : null;
}

/** The word of the whole, from the words of its steps. */
function verdict(trace, steps) {
  const { header, fault, footer } = trace;
  const byProvider = coreSampler(header) === "provider";
  const says = (word, step, why) => ({ word, step, why, steps, header });
  if (fault !== null && !fault.torn) return says("failed", steps.length, fault.why);
  const weakest = Math.min(...new Set(steps.map(({ word }) => STRENGTH.indexOf(word))), STRENGTH.length - 1);
  const word = STRENGTH[weakest];
  const first = steps.find((step) => step.word === word);
  if (word === "failed") return says(word, first.index, first.why);
  if (footer === null || fault !== null) return says("incomplete", steps.length, fault?.why ?? "there is no footer");
  const early = byProvider ? undefined : footer.ends.find((end, i) => endedEarly(trace, end, i));
  if (early !== undefined) return says("failed", steps.length, `stream ${early.stream} ended with room for more`);
  if (steps.length === 0) return says(byProvider ? "consistent" : "proved", null, "there are no steps");
  return says(word, word === "proved" ? null : first.index, first.why);
}

/** Whether the end of the i-th sequence names a limit that it had not reached. */
function endedEarly({ header, resumed }, { tokens, finish_reason: reason }, i) {
  const { context_length: room, deterministic } = (resumed.at(-1) ?? header).adapter;
  const prompt = header.prompts[header.sequences[i][1]].length;
  const full = tokens > 0 && (room === null || !deterministic || (room > 0 && prompt + tokens > room));
  const most = header.stop.max_tokens;
  return (reason === "length" && most !== null && tokens < most && !full) || (reason === "context" && !full);
}

/** A function that gives the word of each step, in order. */
function stepCheck(trace) {
  const { header } = trace;
  const sampler = coreSampler(header);
  const run = { seed: header.seed, vocab_size: header.adapter.vocab_size, sampler, level: header.level };
  const reached = new Map(header.sequences.map(([stream]) => [stream, { length: 0, attempt: 0 }]));
  const phrases = new Set(header.stop.ban);
  return (step) => {
    try {
      const sequence = reached.get(step.stream);
      require(sequence !== undefined, `the header names no sequence with stream ${step.stream}`);
      const length = sequence.length++;
      const before = sequence.attempt;
      const branches = step.abandoned ?? [];
      sequence.attempt += branches.length;
      checkAttempts(header, step, branches, before, phrases);
      require(step.step === length, `stream ${step.stream} goes from step ${length - 1} to step ${step.step}`);
      checkLimits(header, step, sampler);
      checkIds(step, branches, run.vocab_size);
      const record = recordOf(step, before + branches.length);
      const { word, why } = checkStep(run, record);
      if (word !== "failed") checkBranches(trace, run, step, record, before);
      return { word, why };
    } catch (error) {
      if (!(error instanceof Finding)) throw error;
      return { word: error.word, why: error.why };
    }
  };
}

/** The step as checkStep takes it. */
function recordOf({ stream, step: index, token, final, choice, draw, row }, attempt) {
  const support = { ids: final?.token_ids ?? null, scores: final?.scores ?? null, floor: final?.floor ?? null };
  return { stream, index, token, ...support, choice, draw, attempt, row: row !== null };
}

function checkAttempts(header, step, branches, before, phrases) {
  require(branches.length < MOST_BRANCHES, "a run ends before it goes back so often");
  const drawn = ["multinomial", "inverse_cdf"].includes(header.chain.sampler.name);
  branches.forEach(({ why, attempt, token_ids: ids }, i) => {
    require(phrases.has(why), "a branch was taken back without a banned phrase");
    require(drawn ? attempt === before + i : attempt <= before + i, `a branch cannot be of attempt ${attempt}`);
    require(ids.length > 0, "a branch has no tokens");
  });
  const attempt = before + branches.length;
  require(step.draw === null || step.draw.attempt === attempt, `the draw is not of attempt ${attempt}`);
}

function checkLimits(header, step, sampler) {
  const { level, stop } = header;
  require(step.final === null || level !== "choice", "it holds more than its level records");
  require(step.row === null || level === "full", "it holds more than its level records");
  const most = sampler === "provider" ? null : stop.max_tokens;
  require(most === null || step.step < most, `it comes after the ${most} tokens that the run was allowed`);
  require(step.raw.temperature >= 0, "the temperature is negative");
}

/** Every id of a step is of the vocabulary. */
function checkIds(step, branches, size) {
  if (size === null) return;
  const tops = [step.raw.top, ...step.entries.map((entry) => entry.top ?? [])].flat();
  const lists = [...branches, step.final, step.row].map((part) => part?.token_ids ?? []);
  for (const ids of [[step.token, step.choice.runner_up ?? 0], tops.map(([id]) => id), ...lists]) {
    for (const id of ids) require(id < size, `token ${id} is not of a vocabulary of ${size}`);
  }
}
