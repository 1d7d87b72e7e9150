// The branches that were taken back before a step: could the run have written them? "Branches" of docs/trace-format.md.

import { CLOSE, Finding, drawAgain, obstacle } from "./draw.js";

/** Throws a Finding if a step's branches do not follow from its scores; `before` is the attempt before the step. */
export function checkBranches(trace, run, step, record, before) {
  const branches = step.abandoned ?? [];
  const known = canDraw(trace, run, step, record);
  const drawn = new Map();

  /** Whether the scores can give this token at an attempt. */
  function mayBegin(token, attempt) {
    if (!known) return true;
    if (!drawn.has(attempt)) drawn.set(attempt, drawAgain(run, record, attempt));
    const again = drawn.get(attempt);
    return token === again.token || (again.margin < CLOSE && token === again.runnerUp);
  }

  const reached = [true]; // the places where a branch may begin: the start, and behind each branch that began at one
  branches.forEach(({ token_ids: ids }, k) => {
    const starts = reached.flatMap((there, j) => (there && (ids.length > 1 || j === k) ? [j] : []));
    reached.push(starts.some((j) => mayBegin(ids[0], before + j)));
  });
  if (reached.at(-1)) return;
  const why = "the branches before it do not follow from its scores and the noise of their attempts";
  throw new Finding(answersAgain(trace, step) ? "failed" : "consistent", why);
}

function canDraw({ header }, run, step, record) {
  const ours = header.chain.processors.every((part) => part.distribution === "decodekit");
  const changed = step.entries.some((entry) => entry.tosses?.length || entry.gave_up !== null);
  return ours && !changed && record.floor === null && obstacle(run, record) === "";
}

/** Whether the model would have given the same answer the first time. */
function answersAgain({ header: { adapter }, resumed }, step) {
  const same = resumed.every((each) => isSame(each.adapter.all, adapter.all));
  return adapter.deterministic && !adapter.stochastic && step.schedule === null && same;
}

/** Whether two values of JSON are equal, whatever the order of the keys. */
function isSame(one, other) {
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return one === other;
  const keys = Object.keys(one);
  if (Array.isArray(one) !== Array.isArray(other) || keys.length !== Object.keys(other).length) return false;
  return keys.every((key) => Object.hasOwn(other, key) && isSame(one[key], other[key]));
}
