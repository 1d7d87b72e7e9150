// One step: its draw again, compared with the record. check.js describes what goes in and comes out.

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
  if (again.margin < CLOSE) return { word: "ambiguous", why: `the margin is ${again.margin}: rounding may have decided`, race };
  if (header.level === "full" && !step.row) return { word: "consistent", why: "the model's answer was not recorded", race };
  return { word: "proved", why: "", race };
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
