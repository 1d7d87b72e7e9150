// The check of one step, by docs/trace-format.md and docs/RNG.md: its draw again, compared with the record.
// check_trace.js checks a whole trace.
//
//   checkStep(header, step) -> {word, why, race}
//
//   header  seed        u64
//           vocab_size  integer or null
//           sampler     the name of a sampler of the core (its `distribution` is "decodekit"); else null
//           level       optional: "full" wants `row`
//   step    stream, index, token
//           ids, scores the final support, -Infinity or "-inf" for a removed token; both null where it is not recorded
//           floor       a number or null
//           choice      {logprob, score, margin, runner_up}, as in the trace
//           draw        {domain, attempt, lane, word}, as in the trace, or null
//           attempt     optional: the attempt that the branches give; without it that of the draw is believed
//           row         optional: whether the model's answer is recorded
//
//   A u64 is a BigInt, a safe integer or decimal digits. Token ids are safe integers (a BigInt only above 2^53).
//
//   word    "proved", "ambiguous", "consistent" or "failed"
//   why     a sentence; "" if it is proved
//   race    the contenders, winner first: [{token, score, gumbel, total}]; empty where the draw cannot be repeated.
//           `score` is less the largest score, `total` is score + gumbel. With `hidden: true` it is the missing token
//           that has the most noise, its score the floor. greedy: gumbel 0, score as recorded.
//           inverse_cdf: [{token, score, from, to}], its part of the cumulative curve from 0 to 1; the choice's `score`
//           points into that of the winner.

import { CLOSE, CORE, Finding, drawAgain, inOrder, numberOf, obstacle, require, stepNoise } from "./draw.js";

export function checkStep(header, step) {
  const attempt = step.attempt ?? step.draw?.attempt ?? 0;
  const why = obstacle(header, step);
  const again = why === "" ? drawAgain(header, step, attempt) : null;
  const race = again === null ? [] : inOrder(again);
  try {
    if (again === null) {
      checkWord(header, step, attempt);
      return { word: "consistent", why, race };
    }
    compare(header, step, attempt, again);
  } catch (found) {
    if (!(found instanceof Finding)) throw found;
    return { word: found.word, why: found.why, race };
  }
  const says = (word, because) => ({ word, why: because, race });
  if (again.margin < CLOSE) return says("ambiguous", `the margin is ${again.margin}: rounding may have decided`);
  if (header.level === "full" && !step.row) return says("consistent", "the model's answer was not recorded");
  return says("proved", "");
}

/** What can be checked of a draw that cannot be repeated: its address and its word. */
function checkWord(header, step, attempt) {
  const { sampler, draw, token } = { ...header, ...step };
  if (CORE.includes(sampler)) {
    const used = { multinomial: [0, token], inverse_cdf: [1, 0] }[sampler];
    const same = used ? draw !== null && draw.domain === used[0] && draw.lane === used[1] : draw === null;
    require(same, "the draw is not the one that the sampler makes");
  }
  if (draw !== null && (draw.domain === 0 || draw.domain === 1)) checkNoise(header, step, attempt);
}

function checkNoise(header, step, attempt) {
  const { domain, lane, word } = step.draw;
  const found = stepNoise(header, step, domain, attempt).word(lane);
  require(found === word, `the word of lane ${lane} is ${found}, the record says ${word}`);
}

/** Whether two numbers are equal up to rounding. */
const agree = (recorded, computed) =>
  recorded === computed ||
  (recorded !== null && Math.abs(recorded - computed) <= CLOSE * Math.max(1, Math.abs(computed)));

function compare(header, step, attempt, again) {
  require(!again.wrong, again.wrong);
  let { token, runnerUp, draw } = again;
  if (again.margin < CLOSE && step.token === runnerUp) {
    [token, runnerUp] = [runnerUp, token];
    if (draw?.domain === 0) draw = { ...draw, lane: token };
  }
  const { choice } = step;
  require(token === step.token, `the scores and the noise choose token ${token}, the record ${step.token}`);
  const computed = { score: again.score, margin: again.margin };
  if (step.floor === null) computed.logprob = again.logprobOf(token);
  for (const [name, value] of Object.entries(computed)) {
    require(agree(numberOf(choice[name]), value), `the ${name} is ${value}, the record says ${choice[name]}`);
  }
  require(runnerUp === choice.runner_up, `the runner-up is ${runnerUp}, the record says ${choice.runner_up}`);
  require((draw === null) === (step.draw === null), draw === null ? "a draw is recorded" : "no draw is recorded");
  if (draw === null) return;
  require(draw.domain === step.draw.domain && draw.lane === step.draw.lane, "the draw has another domain or lane");
  checkNoise(header, step, attempt);
}
