// The draw of one step: a race of scores with noise, or a place on the cumulative curve.

import { h, s } from "./dom.js";
import { many, number, share } from "./words.js";

const [SHOWN, WIDTH] = [8, 300];

/** The contenders as bars from the score to score + noise; the gap between winner and runner-up is the margin. */
export function racePicture(step, race) {
  const shown = race.slice(0, SHOWN);
  const ends = shown.flatMap(({ score, total }) => [score, total]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const x = (value) => (high > low ? 4 + ((value - low) / (high - low)) * (WIDTH - 8) : WIDTH - 4);
  const [winner, second] = shown;
  const most = ({ hidden }) => hidden && "≤ ";
  const lines = shown.map((each, at) => {
    const [from, to] = [x(each.score), x(each.total)];
    const picture = s("svg", { class: "lane", viewBox: `0 0 ${WIDTH} 16`, preserveAspectRatio: "none", "aria-hidden": "true" },
      second && s("rect", { class: "gap", x: x(second.total), y: 0, width: Math.max(0, x(winner.total) - x(second.total)), height: 16 }),
      s("line", { class: "noise", x1: from, x2: to, y1: 8, y2: 8 }), s("line", { class: "start", x1: from, x2: from, y1: 4, y2: 12 }),
      s("line", { class: "goal", x1: to, x2: to, y1: 1, y2: 15 }));
    const sign = each.token === step.token ? h("b", { title: "recorded" }, "▸ ") : at === 0 ? "1 " : at === 1 ? "2 " : "";
    return h("tr", { class: each.token === step.token ? "chosen" : "" },
      h("th", { scope: "row" }, sign, each.hidden ? `any other token` : step.label(each.token)),
      h("td", {}, most(each), number(each.score, 2)), h("td", {}, `${each.gumbel < 0 ? "" : "+"}${number(each.gumbel, 2)}`),
      h("td", {}, most(each), number(each.total, 3)), h("td", { class: "picture" }, second && picture));
  });
  const head = ["token", "score", "noise", "total"].map((name) => h("th", { scope: "col" }, name));
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "the race" },
    h("table", { class: "race" }, h("thead", {}, h("tr", {}, head, h("td", {}))), h("tbody", {}, lines)));
}

/** The places of tokens on the cumulative curve, from `race`: {token, from, to}, in their order; and where u pointed. */
export function curvePicture(step, places, pointed) {
  const at = places.findIndex(({ token }) => token === step.token);
  if (at < 0) return null;
  const [wide, high, size] = [600, 90, places.length];
  const x = (place) => (place / size) * wide;
  const y = (mass) => high - mass * (high - 2) - 1;
  const path = places.map(({ from, to }, place) => `${place ? "L" : "M"}${x(place).toFixed(1)} ${y(from).toFixed(2)}V${y(to).toFixed(2)}H${x(place + 1).toFixed(1)}`).join("");
  const { from, to } = places[at];
  const picture = s("svg", { class: "curve-picture", viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "cell", x: 0, y: y(to), width: wide, height: Math.max(1, y(from) - y(to)) }),
    s("rect", { class: "cell", x: x(at), y: 0, width: Math.max(1, x(at + 1) - x(at)), height: high }),
    s("path", { class: "stairs", d: path }),
    pointed !== null && s("line", { class: "pointer", x1: 0, x2: wide, y1: y(pointed), y2: y(pointed) }));
  const order = pointed === null ? "by falling probability" : "by token id";
  const where = pointed === null ? "" : ` The uniform number ${number(pointed, 6)} fell there.`;
  return h("figure", {}, picture, h("figcaption", { class: "note" },
    `On the cumulative curve (${many(size, "token")} ${order}) it is number ${at + 1}, from ${share(from)} to ${share(to)} of the mass.${where}`));
}

/** Places by falling probability, from the contenders of a race. */
export function byProbability(race) {
  const listed = race.filter((each) => !each.hidden).map(({ token, score }) => ({ token, weight: Math.exp(score) }));
  const total = listed.reduce((sum, { weight }) => sum + weight, 0);
  let sum = 0;
  return listed.sort((a, b) => b.weight - a.weight).map(({ token, weight }) => ({ token, from: sum / total, to: (sum += weight) / total }));
}
