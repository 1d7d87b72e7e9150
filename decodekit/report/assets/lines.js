// Reading a trace, line by line, up to the first fault: "Reading" of docs/trace-format.md.

import { Blake2b, digest } from "./digest.js";
import { NotJson, parseJson } from "./json.js";
import { Misfit, isObject } from "./shapes.js";
import { footerContent, headerContent, recoveredContent, resumedContent, stepLine } from "./shapes.js";
import { many } from "./words.js";

const LONGEST_LINE = 2 ** 24; // bytes
const END = 0x0a;
const CONTENT = '"content":';
const HEADER = '{"kind":"header","content":';

const encode = (text) => new TextEncoder().encode(text);
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Why a file is no trace. */
export class Refused extends Error {}

class Fault extends Error {
  /** `fewer`: how many of the steps before are not believed. */
  constructor(why, fewer = 0) {
    super(why);
    this.fewer = fewer;
  }
}

/** Where the bytes of a text begin in a line, from the start or from the end; -1 for nowhere. */
function find(line, text, last = false) {
  const wanted = encode(text);
  const there = (at) => wanted.every((byte, i) => line[at + i] === byte);
  let at = last ? line.lastIndexOf(wanted[0]) : line.indexOf(wanted[0]);
  while (at >= 0 && !there(at)) {
    if (last) at = at === 0 ? -1 : line.lastIndexOf(wanted[0], at - 1);
    else at = line.indexOf(wanted[0], at + 1);
  }
  return at;
}

const startsWith = (line, text) => encode(text).every((byte, i) => line[i] === byte);

function dataOf(line) {
  if (line.length > LONGEST_LINE) throw new Fault("a line is too long");
  let text;
  try {
    text = decoder.decode(line);
  } catch {
    throw new Fault("it is not UTF-8");
  }
  return parseJson(text);
}

/** What `read` gives; a line that does not fit is a fault. */
function orFault(read) {
  try {
    return read();
  } catch (error) {
    if (error instanceof NotJson || error instanceof Misfit) throw new Fault(error.message);
    throw error;
  }
}

function readHeader(line, ended) {
  if (!ended) throw new Refused(line.length === 0 ? "the trace is empty" : "the header is incomplete");
  const end = find(line, ',"created":', true);
  if (!startsWith(line, HEADER) || end < HEADER.length) throw new Refused("the first line is not a header");
  try {
    const data = orFault(() => dataOf(line));
    if (data.kind !== "header") throw new Refused("the first line is not a header");
    const header = orFault(() => headerContent(data.content));
    const streams = header.sequences.map(([stream]) => stream);
    if (new Set(streams).size < streams.length) throw new Refused("sequences: a stream is named twice");
    if (header.sequences.some(([, prompt]) => prompt >= header.prompts.length)) {
      throw new Refused("sequences: one has a prompt that is not in the list");
    }
    return { header, contents: new Blake2b(16).update(line.subarray(HEADER.length, end)) };
  } catch (error) {
    throw error instanceof Fault ? new Refused(`not a header of decodekit-trace/1: ${error.message}`) : error;
  }
}

function takeStep(line, trace, contents) {
  const { content } = stepLine(dataOf(line));
  const start = find(line, CONTENT);
  const end = find(line, ',"timing":', true);
  if (start < 0 || end < start) throw new Fault("a step does not have the form in which steps are written");
  trace.steps.push(content);
  contents.update(line.subarray(start + CONTENT.length, end));
}

function takeFooter(line, data, trace, contents) {
  const end = find(line, ',"check":"', true);
  const check = end < 0 ? "" : decoder.decode(line.subarray(end));
  if (check !== `,"check":"${digest(line.subarray(0, end))}"}`) throw new Fault("the footer has another digest");
  const footer = footerContent(data.content);
  if (footer.contents !== contents.hex()) throw new Fault("the digest of all contents is another");
  const { sequences } = trace.header;
  const same = footer.ends.length === sequences.length && footer.ends.every((end, i) => end.stream === sequences[i][0]);
  if (!same) throw new Fault("the ends are not those of the sequences");
  const counts = new Map();
  for (const { stream } of trace.steps) counts.set(stream, (counts.get(stream) ?? 0) + 1);
  for (const { stream, tokens, finish_reason: reason, error } of footer.ends) {
    const counted = counts.get(stream) ?? 0;
    if (counted !== tokens) throw new Fault(`stream ${stream} has ${many(counted, "step")}, the footer counts ${tokens}`);
    if ((error !== null) !== (reason === "error") || error === "") throw new Fault(`stream ${stream}: a wrong error`);
  }
  trace.footer = footer;
}

function take(line, prev, trace, contents) {
  if (line.length > LONGEST_LINE) throw new Fault("a line is too long");
  if (startsWith(line, `{"kind":"step","prev":"${prev}"`)) return takeStep(line, trace, contents);
  const data = dataOf(line);
  if (!isObject(data) || data.prev !== prev) throw new Fault("the line before is another than this line says", 1);
  if (data.kind === "resumed") trace.resumed.push(resumedContent(data.content));
  else if (data.kind === "recovered") recoveredContent(data.content);
  else if (data.kind === "footer") takeFooter(line, data, trace, contents);
  else throw new Fault("a line of an unknown kind");
}

/**
 * The parts of a trace: {header, steps, resumed, footer, fault}.
 *
 * `footer` and `fault` are null where there is none; a fault is {why, torn}. Throws Refused where there is no header.
 */
export function readTrace(bytes) {
  const lines = linesOf(bytes);
  const first = lines.next().value ?? [bytes, false];
  const { header, contents } = readHeader(...first);
  const trace = { header, steps: [], resumed: [], footer: null, fault: null };
  let prev = digest(first[0]);
  for (const [line, ended] of lines) {
    try {
      if (trace.footer !== null) throw new Fault("there are more lines after the footer");
      if (!ended && line.length <= LONGEST_LINE) {
        trace.fault = { why: "the last line is incomplete", torn: true };
        return trace;
      }
      orFault(() => take(line, prev, trace, contents));
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      trace.steps.length = Math.max(0, trace.steps.length - error.fewer);
      trace.fault = { why: `after ${many(trace.steps.length, "step")}: ${error.message}`, torn: false };
      return trace;
    }
    prev = digest(line);
  }
  return trace;
}

/** Each line without its end, and whether it had one. */
function* linesOf(bytes) {
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(END, at);
    yield end < 0 ? [bytes.subarray(at), false] : [bytes.subarray(at, end), true];
    at = end < 0 ? bytes.length : end + 1;
  }
}
