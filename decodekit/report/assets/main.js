// The page: opens the data, draws the text, and follows what is selected.

import { h, painted } from "./dom.js";
import { openIsland } from "./island.js";
import { openReport } from "./report.js";
import { MEASURES, steps } from "./colour.js";
import { tokenList } from "./tokens.js";
import { lineChart } from "./chart.js";
import { panel } from "./panel.js";
import { checkAll } from "./proof.js";
import { runHeader, sampleStrip } from "./runs.js";
import { finder } from "./find.js";
import { dropZone } from "./drop.js";
import { partingLine } from "./parting.js";
import { placeOf, writePlace } from "./place.js";
import { many, visible } from "./words.js";

const page = document.getElementById("page");
const [story, proof, text, notice] = [h("aside", { "aria-label": "the step" }), h("div"), h("div", { class: "text" }), h("div", { role: "status" })];
const state = { report: null, sequence: null, pinned: null, shown: null, measure: "surprisal", list: null, chart: null, find: null };

function show(at, { pin = false, scroll = null } = {}) {
  const { report } = state;
  if (at === null || at === undefined) return;
  if (pin) {
    state.pinned = at;
    writePlace(report, state.sequence, at);
  }
  if (at === state.shown && story.firstChild) return;
  state.shown = at;
  state.list.show(at, scroll);
  state.chart.show(at);
  if (report.ready) story.replaceChildren(panel(report, report.step(at)));
}

/** A step that was asked for. On a narrow screen its story stays in sight; the same token again puts it back. */
function pick(at, scroll = "nearest") {
  story.classList.toggle("asked", at !== state.pinned || !story.classList.contains("asked"));
  show(at, { pin: true, scroll });
}

function legend() {
  const { from, to } = state.sequence;
  const back = [...state.report.back].some((at) => at >= from && at < to);
  return h("p", { class: "legend", id: "legend" }, h("span", {}, `${MEASURES.find(({ name }) => name === state.measure).about}:`),
    steps(state.measure).map((text, at) => h("span", { class: `t c${at}` }, text)),
    h("span", { class: "t cx u" }, "dotted"), h("span", {}, "under 50 % for the model"), back && h("span", { class: "back" }, "text was taken back before it"));
}

function colourControl() {
  const choose = h("select", { id: "measure", onchange: () => {
    state.measure = choose.value;
    state.list.colourBy(state.measure);
    document.getElementById("legend").replaceWith(legend());
  } }, MEASURES.map(({ name }) => h("option", { value: name, selected: name === state.measure }, name)));
  return h("label", { class: "control" }, "colour by ", choose);
}

function promptLine({ prompt, prompt_tokens: size }) {
  if (prompt === null) return h("p", { class: "prompt note" }, `after a prompt of ${many(size, "token")}, whose text is not known here`);
  return h("p", { class: "prompt", tabindex: "0", role: "region", "aria-label": "the prompt" }, prompt);
}

function endLine({ end, error, calls }) {
  return h("div", { class: "note" },
    h("p", {}, end === null ? "… no recorded end" : `end: ${end}`, error ? ` (${error})` : ""),
    calls.map((call) => h("p", {}, "call of a tool: ", h("code", {}, call))));
}

function choose(sequence, at = sequence.from, scroll = null) {
  const { report } = state;
  state.list?.close();
  Object.assign(state, { sequence, pinned: null, shown: null });
  state.list = tokenList(report, sequence, { hover: (at) => show(at), leave: () => show(state.pinned), pick: (at) => pick(at) });
  state.chart = lineChart(report, sequence, pick);
  state.find = finder(report, sequence, () => state.shown ?? sequence.from - 1, pick);
  const empty = sequence.to === sequence.from;
  text.replaceChildren(
    empty ? "" : h("div", { class: "tools" }, colourControl(), state.find.node), empty ? "" : legend(), promptLine(sequence),
    empty ? h("p", { class: "warning" }, "No token was generated.") : state.list.node, endLine(sequence),
    empty ? "" : state.chart.node,
    empty ? "" : h("p", { class: "note keys" }, matchMedia("(hover: none)").matches ? "A tap shows a token. " : "Hover looks at a token, a click keeps it. ", "Keys in the text: ← → one token, ↑ ↓ ten, Home, End; m next low margin, e next high entropy, / find."));
  state.list.colourBy(state.measure);
  story.replaceChildren();
  draw();
  if (empty) writePlace(report, sequence, null);
  else show(at, { pin: true, scroll });
}

/** Everything around the text. */
function draw() {
  const { report, sequence } = state;
  document.title = `${sequence.run.header.adapter.model || sequence.run.name} · decodekit report`;
  const parts = [notice, runHeader(report, sequence.run, jump), proof, partingLine(report, jump), sampleStrip(report, sequence, (other) => choose(other)),
    h("div", { class: "columns" }, text, story), dropZone(report), h("footer", { class: "note" }, `decodekit ${report.decodekit}. This file loads nothing and sends nothing.`)];
  page.replaceChildren(...parts.filter(Boolean));
}

function say({ missing }) {
  notice.replaceChildren(...(missing ? [h("p", { class: "warning" }, `The address names what is not in this report: ${visible(missing)}.`)] : []));
}

function jump(at) {
  const sequence = state.report.sequenceOf(at);
  if (sequence !== state.sequence) choose(sequence, at);
  pick(at, "center");
}

const MOVES = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 10, ArrowUp: -10, PageDown: 100, PageUp: -100, Home: -Infinity, End: Infinity };

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !state.sequence) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const { from, to } = state.sequence;
  const inText = event.target.getAttribute("role") === "listbox" || event.target === document.body;
  if (event.key === "Escape") story.classList.remove("asked");
  else if (event.key === "/") state.find.focus();
  else if (event.key === "m") state.find.nextOf("margin");
  else if (event.key === "e") state.find.nextOf("entropy");
  else if (event.key in MOVES && inText && to > from) pick(Math.max(from, Math.min(to - 1, (state.shown ?? from) + MOVES[event.key])));
  else return;
  event.preventDefault();
}

/** Until the whole file is read: the script stands before its larger part, so that the text is drawn at once. */
const parsed = () => new Promise((done) => {
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", done);
  else done();
});

async function start() {
  const [first] = await Promise.all([openIsland(document.getElementById("first")), painted()]); // the beginning is seen
  const opened = parsed().then(painted).then(() => openIsland(document.getElementById("rest")));
  const report = openReport(first, opened);
  state.report = report;
  const place = placeOf(report);
  say(place);
  choose(place.sequence, place.at, place.asked ? "center" : null);
  opened.then(() => {
    show(state.shown);
    proof.append(...report.runs.map((run) => checkAll(report, run)));
  });
  addEventListener("keydown", onKey);
  addEventListener("beforeprint", () => state.list.fillAll());
  addEventListener("hashchange", () => {
    const place = placeOf(report);
    say(place);
    if (place.at === null) choose(place.sequence);
    else if (place.at !== state.pinned) jump(place.at);
  });
}

start().catch((error) => page.replaceChildren(h("p", { class: "warning" }, `This report cannot be shown: ${error.message}. It needs a browser of 2023 or later.`)));
