// What the colour of a token can say: eight steps, each with its numbers.

const EDGES = {
  surprisal: [0.05, 0.2, 0.5, 1, 2, 3.5, 6],
  entropy: [0.05, 0.2, 0.5, 1, 1.5, 2.5, 4],
  rank: [1, 2, 3, 5, 10, 30, 100],
  margin: [0.05, 0.1, 0.25, 0.5, 1, 2, 4],
};

export const MEASURES = [
  { name: "surprisal", about: "surprisal under the model, in nats" },
  { name: "margin", about: "margin of the draw: how far the runner-up was" },
  { name: "entropy", about: "entropy of the model's distribution, in nats" },
  { name: "rank", about: "tokens that the model found more likely" },
];

/** The step of a value, 0 to 7, the calm end first; -1 where it is not known. */
export function level(name, value) {
  if (Number.isNaN(value) || (name === "rank" && value < 0)) return -1;
  const below = EDGES[name].filter((edge) => value >= edge).length;
  return name === "margin" ? 7 - below : below;
}

/** What each step means, in numbers. */
export function steps(name) {
  const edges = EDGES[name];
  const texts = [`< ${edges[0]}`, ...edges.map((edge, at) => range(name, edge, edges[at + 1]))];
  if (name === "rank") texts[0] = "0";
  return name === "margin" ? texts.reverse() : texts;
}

function range(name, low, high) {
  if (high === undefined) return `≥ ${low}`;
  if (name !== "rank") return `${low}–${high}`;
  return high - low === 1 ? `${low}` : `${low}–${high - 1}`;
}
