// One draw again, from the recorded final scores and the noise: "The draw" of docs/trace-format.md.

import { noiseOf } from "./rng.js";

export const CLOSE = 1e-9; // a smaller margin may have been decided by rounding
const LARGEST_VOCABULARY = 2 ** 20; // that of which a floor is checked
const LARGEST_SCORE = 1e305;
export const CORE = ["multinomial", "greedy", "inverse_cdf", "provider"];

/** What was found of a step: its word, if it is not proved, and why. */
export class Finding {
  constructor(word, why) {
    Object.assign(this, { word, why });
  }
}

export function require(holds, why) {
  if (!holds) throw new Finding("failed", why);
}

/** A number of a trace: infinities are texts. */
export const numberOf = (value) => (value === "inf" ? Infinity : value === "-inf" ? -Infinity : value);

const rising = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
const byTotal = (a, b) => rising(b.total, a.total) || rising(a.token, b.token);

/** The two largest totals, ties to the lowest id; the second is undefined where there is none. */
function topTwo(contenders) {
  let [first, second] = [undefined, undefined];
  for (const each of contenders) {
    if (first === undefined || byTotal(each, first) < 0) [first, second] = [each, first];
    else if (second === undefined || byTotal(each, second) < 0) second = each;
  }
  return [first, second];
}

/** The token with the largest noise of those that are not listed, as a contender at the floor. */
function furthestMissing(vocabSize, ids, floor, noise) {
  const listed = new Uint8Array(vocabSize);
  for (const id of ids) listed[id] = 1;
  let [token, largest] = [null, 0];
  for (let id = 0; id < vocabSize; id++) {
    if (listed[id]) continue;
    const uniform = noise.uniform(id);
    if (uniform > largest) [token, largest] = [id, uniform];
  }
  if (token === null) return null;
  const gumbel = noise.gumbel(token);
  return { token, score: floor, gumbel, total: floor + gumbel, hidden: true };
}

function multinomial(alive, best, header, step, noise) {
  const race = alive.map(({ token, score }) => {
    const gumbel = noise.gumbel(token);
    return { token, score: score - best, gumbel, total: score - best + gumbel };
  });
  const [winner, second] = topTwo(race);
  const again = { token: winner.token, score: winner.total, draw: { domain: 0, lane: winner.token }, race };
  let [follower, runnerUp] = second === undefined ? [-Infinity, null] : [second.total, second.token];
  const missing = step.floor === null ? null : furthestMissing(header.vocab_size, step.ids, step.floor - best, noise);
  if (missing !== null) {
    race.push(missing);
    if (missing.total >= winner.total - CLOSE) again.wrong = `token ${missing.token} is missing, and could win`;
    if (missing.total >= follower) [follower, runnerUp] = [missing.total, null];
  }
  return { ...again, margin: winner.total - follower, runnerUp };
}

function greedy(alive, best, header, step) {
  const race = alive.map((each) => ({ ...each, gumbel: 0, total: each.score }));
  const [winner, second] = topTwo(race);
  const again = { token: winner.token, score: winner.total, draw: null, race, runnerUp: null, margin: Infinity };
  if (second !== undefined) Object.assign(again, { runnerUp: second.token, margin: winner.total - second.total });
  if (step.floor !== null && !(second !== undefined && step.floor <= second.total)) {
    again.wrong = "a missing token may be the runner-up";
  }
  return again;
}

function inverseCdf(alive, best, header, step, noise) {
  const uniform = noise.uniform(0);
  const race = [];
  let total = 0;
  for (const { token, score } of alive.sort((a, b) => rising(a.token, b.token))) {
    const weight = Math.exp(score - best);
    if (weight > 0) race.push({ token, score, from: total, to: (total += weight) });
  }
  const place = uniform * total;
  const at = race.findIndex((each) => each.to > place);
  let [margin, runnerUp] = [Infinity, null];
  if (at > 0) [margin, runnerUp] = [place - race[at].from, race[at - 1].token];
  if (at + 1 < race.length && race[at].to - place < margin) {
    [margin, runnerUp] = [race[at].to - place, race[at + 1].token];
  }
  for (const each of race) [each.from, each.to] = [each.from / total, each.to / total];
  const draw = { domain: 1, lane: 0 };
  return { token: race[at].token, score: uniform, margin: margin / total, runnerUp, draw, race };
}

/** Each with the domain of its noise. */
const SAMPLERS = { multinomial: [multinomial, 0], greedy: [greedy, 0], inverse_cdf: [inverseCdf, 1] };

/** Why a draw cannot be repeated; "" if it can. */
export function obstacle(header, step) {
  const { sampler, vocab_size: size } = header;
  if (sampler === "provider") return "the provider drew this token with random numbers of its own";
  if (!CORE.includes(sampler)) return "the sampler is not one of the core";
  if (step.ids === null) return "the final scores were not recorded";
  if (step.floor === null || sampler === "greedy") return "";
  if (sampler !== "multinomial") return "this draw needs the whole support, and only a part was recorded";
  if (size === null) return "the size of the vocabulary was not recorded";
  return size > LARGEST_VOCABULARY ? "a floor is not checked in a vocabulary of this size" : "";
}

/** The noise of a step at an attempt. */
export const stepNoise = (header, step, domain, attempt) =>
  noiseOf(header.seed, domain, step.index, step.stream, attempt);

/**
 * What the recorded scores give at an attempt; only where there is no obstacle.
 *
 * Returns {token, score, margin, runnerUp, logprob, draw, race, wrong}: `draw` has domain and lane, or is null; `wrong`
 * says why the scores prove nothing, if they do not.
 */
export function drawAgain(header, step, attempt) {
  const alive = [];
  for (let i = 0; i < step.ids.length; i++) {
    const score = numberOf(step.scores[i]);
    if (score > -Infinity) alive.push({ token: step.ids[i], score });
  }
  const best = alive.reduce((most, each) => Math.max(most, each.score), -Infinity);
  const [sampler, domain] = SAMPLERS[header.sampler];
  const again = sampler(alive, best, header, step, stepNoise(header, step, domain, attempt));
  const whole = step.floor === null || header.sampler === "greedy";
  if (whole && Math.abs(best) > LARGEST_SCORE) again.wrong = "differences of such scores overflow";
  const total = Math.log(alive.reduce((sum, each) => sum + Math.exp(each.score - best), 0));
  again.logprobOf = (token) => alive.find((each) => each.token === token).score - best - total;
  return again;
}

/** The contenders, winner first: by falling total; of one uniform, the winner and then the others by rising id. */
export function inOrder(again) {
  if (again.draw?.domain !== 1) return again.race.sort(byTotal);
  return again.race.sort((a, b) => (b.token === again.token) - (a.token === again.token) || rising(a.token, b.token));
}
