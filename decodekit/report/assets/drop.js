// A trace file that is given to the page: all of its lines, digests and draws are checked.

import { h } from "./dom.js";
import { badge } from "./proof.js";
import { checkTrace } from "./check_trace.js";
import { many, visible } from "./words.js";

const PLAIN = /^[\n -~]*$/;

/** Whether these steps are the ones of a run on the page: their tokens, words and texts. */
function sameRun(report, run, { header, steps }) {
  const places = new Map(run.streams.map(({ stream, from, to }) => [stream, { from, to }]));
  const size = run.streams.reduce((sum, { from, to }) => sum + to - from, 0);
  return String(header?.seed) === run.header.seed && steps.length === size && steps.every(({ stream, index, token, word64, text }) => {
    const own = places.get(String(stream));
    const at = own && own.from + Number(index);
    if (!own || at >= own.to || token !== report.column("token")[at]) return false;
    return (!PLAIN.test(text) || text === report.texts[at]) && (report.step?.(at).record.draw?.word ?? null) === word64;
  });
}

export function dropZone(report) {
  const result = h("div", { role: "status" });
  const input = h("input", { type: "file", id: "file", onchange: () => input.files[0] && check(input.files[0]) });

  async function check(file) {
    result.replaceChildren(h("p", { class: "note" }, `Checking ${visible(file.name)} …`));
    await new Promise((done) => setTimeout(done, 30));
    const found = checkTrace(new Uint8Array(await file.arrayBuffer()));
    const { word, step, why, steps } = found;
    const run = report.runs.find((each) => sameRun(report, each, found));
    const which = run ? `It is the run of this page${report.runs.length > 1 ? ` (${run.name})` : ""}: its tokens, texts and random words are those above.` : "It is NOT the run of this page: its tokens, texts or random words are others.";
    result.replaceChildren(h("p", {}, badge(word, "checked by this page"), ` ${visible(file.name)}: ${many(steps.length, "step")} read`,
      step === null ? "" : `, at step ${step}`, why ? `: ${visible(why)}` : "", `. ${report.meaning[word] ? `${word}: ${report.meaning[word]}.` : ""}`),
      word === "refused" ? "" : h("p", { class: run ? "note" : "warning fault" }, which));
  }

  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) check(file);
  });
  return h("section", { class: "drop" }, h("label", { for: "file" }, "Check a trace file (or drop it anywhere): every line, digest and draw, here in the page. "), input, result);
}
