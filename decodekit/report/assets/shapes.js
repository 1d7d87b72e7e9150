// What each line of a trace must look like: docs/trace-format.schema.json, and what a schema cannot say of one line.
//
// A shape is a function that returns the value, with its infinities as numbers and its absent keys as null, or throws
// Misfit. Objects are made anew and hold the known keys only.

import { numberOf } from "./draw.js";

export class Misfit extends Error {}

function need(holds, what) {
  if (!holds) throw new Misfit(what);
}

const shape = (fits, what) => (value) => {
  need(fits(value), `not ${what}`);
  return value;
};

const isInteger = (value) => typeof value === "bigint" || Number.isSafeInteger(value);
const integer = (least, most = Infinity) =>
  shape((value) => isInteger(value) && value >= least && value <= most, "an integer that can stand here");
const real = (value) => {
  const read = typeof value === "bigint" ? Number(value) : value;
  need(typeof read === "number" && Number.isFinite(read), "not a finite number");
  return read;
};
const wide = (value) => {
  const read = numberOf(value);
  return read === Infinity || read === -Infinity ? read : real(read);
};
const text = shape((value) => typeof value === "string", "a text");
const filled = shape((value) => typeof value === "string" && value !== "", "a text with something in it");
const boolean = shape((value) => typeof value === "boolean", "true or false");
const matching = (pattern) => shape((value) => typeof value === "string" && pattern.test(value), `like ${pattern}`);
const oneOf = (...words) => shape((value) => words.includes(value), `one of ${words.join(", ")}`);
export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const anyObject = shape(isObject, "an object");
const orNull = (inner) => (value) => (value === null ? null : inner(value));
const optional = (inner) => Object.assign((value) => (value === undefined ? null : inner(value)), { optional: true });
const maybe = (inner) => optional(orNull(inner));

const list = (item, least = 0) => (value) => {
  need(Array.isArray(value) && value.length >= least, "not a list that can stand here");
  return value.map((each) => item(each));
};

const pair = (first, second) => (value) => {
  need(Array.isArray(value) && value.length === 2, "not a pair");
  return [first(value[0]), second(value[1])];
};

const valuesOf = (item) => (value) => {
  Object.values(anyObject(value)).forEach((each) => item(each));
  return value;
};

/** An object of these keys; of others too if it is open, and they are left out. */
const open = (keys) => (value) => {
  anyObject(value);
  const read = {};
  for (const [key, inner] of Object.entries(keys)) {
    const there = Object.hasOwn(value, key);
    need(there || inner.optional, `${key} is missing`);
    try {
      read[key] = inner(there ? value[key] : undefined);
    } catch (error) {
      if (error instanceof Misfit) error.message = `${key}: ${error.message}`;
      throw error;
    }
  }
  return read;
};
const closed = (keys) => (value) => {
  for (const key of Object.keys(anyObject(value))) need(Object.hasOwn(keys, key), `unknown key: ${key.slice(0, 40)}`);
  return open(keys)(value);
};

const u64 = integer(0, 2n ** 64n - 1n);
const token = integer(0, 2n ** 63n - 1n);
const count = integer(0);
const digest = matching(/^[0-9a-f]{32}$/);
const top = list(pair(token, wide));
const optionalList = (item) => optional(list(item));

// -- steps ------------------------------------------------------------------------------------------------------------

const tail = closed({ mass_low: real, mass_high: real, count: orNull(count), max_logprob: orNull(wide) });
const raw = closed({
  disclosed: count,
  support: orNull(count),
  entropy: orNull(real),
  log_normalizer: orNull(real),
  origin: oneOf("logits", "logprobs"),
  stage: oneOf("raw", "processed", "unknown"),
  temperature: real,
  tail: orNull(tail),
  top,
});
const entry = closed({
  name: text,
  support: maybe(count),
  entropy: maybe(real),
  kl: maybe(wide),
  mass_removed: maybe(real),
  chosen: maybe(wide),
  top: optional(top),
  kept_mass: maybe(real),
  kept_bounds: maybe(pair(wide, wide)),
  ambiguous: optional(boolean),
  tail: maybe(tail),
  gave_up: maybe(tail),
  tosses: optionalList(pair(count, u64)),
});
const choice = closed({
  logprob: orNull(real),
  raw_logprob: orNull(wide),
  rank: orNull(count),
  score: real,
  margin: wide,
  runner_up: orNull(token),
});
const disclosure = closed({
  top: maybe(integer(1)),
  ids: optionalList(token),
  kind: optional(oneOf("named", "all", "cheap")),
});

function requireSupport(ids, scores, what) {
  need(scores.length > 0 && (ids === null || ids.length === scores.length), `${what} has other scores than ids`);
  need(ids === null || new Set(ids).size === ids.length, `${what} names a token twice`);
  need(!scores.some(Number.isNaN), `${what} holds NaN`);
  need(Number.isFinite(scores.reduce((most, score) => Math.max(most, score), -Infinity)), `${what} has no largest`);
}

const final = (value) => {
  const read = closed({ token_ids: list(token, 1), scores: list(wide, 1), floor: orNull(real) })(value);
  requireSupport(read.token_ids, read.scores, "the final support");
  return read;
};

const row = (value) => {
  const read = closed({ token_ids: orNull(list(token, 1)), dtype: oneOf("float32", "float64"), scores: filled })(value);
  requireSupport(read.token_ids, floatsOf(read.scores, read.dtype === "float32" ? 4 : 8), "the model's answer");
  return { token_ids: read.token_ids };
};

/** The little-endian floats of this many bytes in a base64 text. */
function floatsOf(base64, size) {
  const body = base64.replace(/={1,2}$/, "");
  need(base64.length % 4 === 0 && !/[^A-Za-z0-9+/]/.test(body), "scores: not base64");
  const binary = atob(base64);
  need(binary.length % size === 0, "scores: a part of a number");
  const view = new DataView(Uint8Array.from(binary, (character) => character.charCodeAt(0)).buffer);
  const read = (_, i) => (size === 4 ? view.getFloat32(4 * i, true) : view.getFloat64(8 * i, true));
  return Array.from({ length: binary.length / size }, read);
}

const step = closed({
  stream: u64,
  step: u64,
  token,
  text,
  raw,
  entries: list(entry),
  choice,
  draw: maybe(closed({ domain: u64, attempt: u64, lane: token, word: matching(/^[0-9a-f]{16}$/) })),
  schedule: maybe(valuesOf((value) => need(isInteger(value) || typeof value === "string", "schedule: not text"))),
  final: maybe(final),
  row: maybe(row),
  complete: maybe(boolean),
  asked: optionalList(pair(text, disclosure)),
  abandoned: optionalList(closed({ why: text, attempt: count, token_ids: list(token) })),
});
export const stepLine = closed({
  kind: text,
  prev: digest,
  content: step,
  timing: closed({ predict: real, chain: real }),
});

// -- the other lines --------------------------------------------------------------------------------------------------

const part = open({ name: text, distribution: text, version: text, params: anyObject });
const adapterKeys = {
  name: text,
  model: text,
  model_fingerprint: optional(text),
  tokenizer_fingerprint: optional(text),
  vocab_size: maybe(integer(1, 2n ** 63n - 1n)),
  context_length: maybe(count),
  deterministic: optional(boolean),
  stochastic: optional(boolean),
};
/** All of it is kept, beside the known keys: two adapters are compared. */
const adapter = (value) => ({ ...open(adapterKeys)(value), all: value });
const prompt = list(token, 1);
const given = shape(
  (value) => value === null || typeof value === "string" || (Array.isArray(value) && value.every(isObject)),
  "a prompt",
);

const textOrObject = shape((value) => typeof value === "string" || isObject(value), "a text or an object");

export const headerContent = open({
  format: oneOf("decodekit-trace/1"),
  rng: text,
  seed: u64,
  level: oneOf("none", "choice", "proof", "full"),
  prompts: list(prompt),
  sequences: list(pair(u64, u64)),
  chain: open({ processors: list(part), sampler: part }),
  adapter,
  on_undisclosed: oneOf("error", "truncate"),
  stop: open({
    max_tokens: optional(integer(0, 10_000_000)),
    strings: optionalList(filled),
    ids: optionalList(token),
    ban: optionalList(filled),
  }),
  top_logprobs: integer(0, 1000),
  metadata: list(text),
  config: orNull(anyObject),
  versions: valuesOf(text),
  chat_template: optional(text),
  given: maybe(list(given)),
  tools: maybe(list(anyObject)),
  tool_choice: maybe(textOrObject),
});
export const resumedContent = open({ steps: count, cut: count, adapter, versions: optional(valuesOf(text)) });
export const recoveredContent = open({ steps: count, cut: count });

const REASONS = ["stop", "tool_calls", "length", "context", "deadline", "cancelled", "error"];
const toolCall = open({ id: text, name: text, arguments: text, complete: optional(boolean), fault: optional(text) });
const end = open({
  stream: u64,
  tokens: count,
  finish_reason: oneOf(...REASONS),
  error: maybe(text),
  tool_calls: optionalList(toolCall),
});
export const footerContent = open({ ends: list(end), contents: digest, shortened: optional(count) });
