// Surprisal (bars) and entropy (line) along the text. Many steps share a place: the largest of them is drawn.

import { h, s } from "./dom.js";
import { many, number } from "./words.js";

const [WIDTH, HEIGHT, PLACES] = [1000, 96, 500];

export function lineChart(report, sequence, pick) {
  const { from, to } = sequence;
  const size = to - from;
  const places = Math.min(size, PLACES);
  const most = (name) => {
    const column = report.column(name);
    const largest = new Array(places).fill(NaN);
    for (let at = 0; at < size; at++) {
      const place = Math.floor((at * places) / size);
      const value = column[from + at];
      if (Number.isFinite(value) && !(value <= largest[place])) largest[place] = value;
    }
    return largest;
  };
  const [surprisal, entropy] = [most("surprisal"), most("entropy")];
  const known = [...surprisal, ...entropy].filter(Number.isFinite);
  if (!known.length) return { node: h("p", { class: "note" }, "No surprisal and no entropy was recorded."), show() {} };
  const top = Math.max(1, ...known);
  const x = (place) => ((place + 0.5) / places) * WIDTH;
  const y = (value) => HEIGHT - (value / top) * (HEIGHT - 4);
  const line = (values) =>
    values.map((value, at) => (Number.isNaN(value) ? "" : `${at && !Number.isNaN(values[at - 1]) ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`)).join("");
  const bars = surprisal.map((value, at) => (Number.isNaN(value) ? "" : `M${x(at).toFixed(1)} ${HEIGHT}V${y(value).toFixed(1)}`)).join("");
  const backs = [...report.back].filter((at) => at >= from && at < to).map((at) => `M${(((at - from + 0.5) / size) * WIDTH).toFixed(1)} 0v8`).join("");
  const cursor = s("line", { class: "cursor", y1: 0, y2: HEIGHT });
  const thick = Math.max(1, Math.min(8, (WIDTH / places) * 0.6));
  const picture = s("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `Surprisal and entropy of ${many(size, "token")}, up to ${number(top, 2)} nats`,
    onclick: (event) => {
      const box = picture.getBoundingClientRect();
      const place = Math.floor(((event.clientX - box.left) / box.width) * size);
      pick(from + Math.max(0, Math.min(size - 1, place)), "center");
    },
  }, s("path", { class: "bars", d: bars, "stroke-width": thick }), s("path", { class: "curve", d: line(entropy) }), s("path", { class: "backs", d: backs }), cursor);
  const node = h("figure", { class: "chart" },
    h("figcaption", {}, h("span", { class: "key bars" }, "▮ surprisal"), h("span", { class: "key curve" }, "━ entropy"),
      backs && h("span", { class: "key back" }, "taken back"), h("span", { class: "note" }, `up to ${number(top, 2)} nats`)), picture);
  return {
    node,
    show(at) {
      const place = (((at - from + 0.5) / size) * WIDTH).toFixed(1);
      cursor.setAttribute("x1", place);
      cursor.setAttribute("x2", place);
    },
  };
}
