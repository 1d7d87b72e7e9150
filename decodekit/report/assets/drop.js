// A trace file that is given to the page: all of its lines, digests and draws are checked.

import { h } from "./dom.js";
import { badge } from "./proof.js";
import { checkTrace } from "./check_trace.js";
import { many, visible } from "./words.js";

export function dropZone() {
  const result = h("div", { role: "status" });
  const input = h("input", { type: "file", id: "file", onchange: () => input.files[0] && check(input.files[0]) });

  async function check(file) {
    result.replaceChildren(h("p", { class: "note" }, `Checking ${visible(file.name)} …`));
    await new Promise((done) => setTimeout(done, 30));
    const { word, step, why, steps } = checkTrace(new Uint8Array(await file.arrayBuffer()));
    result.replaceChildren(h("p", {}, badge(word, "checked by this page"), ` ${visible(file.name)}: ${many(steps.length, "step")} read`,
      step === null ? "" : `, at step ${step}`, why ? `: ${visible(why)}` : "", "."));
  }

  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) check(file);
  });
  return h("section", { class: "drop" }, h("label", { for: "file" }, "Check a trace file (or drop it anywhere): every line, digest and draw, here in the page. "), input, result);
}
