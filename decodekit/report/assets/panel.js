// One step as a story: its token, the draw, the distribution through the chain, and what was special.

import { h } from "./dom.js";
import { byProbability, curvePicture, racePicture } from "./race.js";
import { exact } from "./island.js";
import { badge } from "./proof.js";
import { stageTable } from "./stages.js";
import { many, number, share, unknown } from "./words.js";

const UNITS = { inverse_cdf: " of the mass", multinomial: " nats", greedy: " nats" };

function facts(report, step, { race }) {
  const { at, sequence, choice } = step;
  const sampler = sequence.run.header.chain.sampler.name;
  const surprisal = report.column("surprisal")[at];
  const rank = report.column("rank")[at];
  const list = [
    ["surprisal", unknown(surprisal) ? "not recorded" : `${number(surprisal)} nats (${share(report.column("share")[at])} under the model)`],
    ["rank", rank < 0 ? "not known" : rank === 0 ? "0: the model's first" : `${many(rank, "token")} more likely`],
    ["after the chain", choice.logprob === null ? "not known" : share(Math.exp(choice.logprob))],
    ["entropy", unknown(report.column("entropy")[at]) ? "not known" : `${number(report.column("entropy")[at])} nats`],
  ];
  if (!sequence.run.by_provider) list.push(["margin", marginText(step, sampler)], ["drift it survives", driftText(step, sampler, race)]);
  if (step.record.draw) list.push(["random word", `${step.record.draw.word}, attempt ${step.record.draw.attempt}`]);
  return h("dl", { class: "facts" }, list.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
}

function marginText({ choice, label }, sampler) {
  if (choice.margin === Infinity) return "nothing else was possible";
  const to = choice.runner_up === null ? "a token that was not recorded" : label(choice.runner_up);
  return `${number(choice.margin, 4)}${UNITS[sampler] ?? ""} to ${to}`;
}

const odds = (mass) => Math.log(mass) - Math.log1p(-mass);

/** How far every final log-probability may move before another token can be drawn. */
function driftText({ choice, token }, sampler, race) {
  const { margin, score } = choice;
  if (margin === Infinity) return "any";
  let nats = margin / 2;
  if (sampler === "inverse_cdf") {
    const own = race.find((each) => each.token === token);
    nats = own ? Math.max(0, Math.min(odds(score) - odds(own.from), odds(Math.min(own.to, 1)) - odds(score)) / 2) : 2 * margin;
  }
  return `less than ${nats < 1e-3 ? nats.toPrecision(2) : number(nats, 4)} nats in each final score`;
}

function drawSection(step, checked) {
  const { sequence } = step;
  const sampler = sequence.run.header.chain.sampler.name;
  const section = h("section", {}, h("h3", {}, "The draw"));
  if (step.left) section.append(h("p", { class: "note" }, "The scores of this step were left out to keep this file small: drop the trace on this page to check it."));
  if (!checked.race.length) {
    if (!step.left) section.append(h("p", { class: "note" }, `It cannot be drawn again: ${checked.why || "the final scores were not recorded"}.`));
    return section;
  }
  const uniform = sampler === "inverse_cdf";
  if (!uniform) section.append(racePicture(step, checked.race));
  const places = uniform ? [...checked.race].sort((a, b) => a.from - b.from) : byProbability(checked.race);
  const whole = step.record.floor === null;
  const curve = whole && curvePicture(step, places, uniform ? step.choice.score : null);
  if (curve) section.append(curve);
  if (!whole) section.append(h("p", { class: "note" }, `${many(step.record.ids.length, "token")} recorded; no other one has more than the score of the floor. That proves the draw, but does not give the whole curve.`));
  return section;
}

function stories(step) {
  const told = step.stages.filter(({ sentence }) => sentence);
  return told.length > 0 && h("section", {}, h("h3", {}, "What each stage did"),
    h("ol", { class: "told" }, told.map((stage) => h("li", {}, h("b", {}, `${stage.name} ${stage.detail}`.trim()), ": ", stage.sentence))));
}

function remarks(step) {
  const { abandoned = [], notes = [] } = step.remarks;
  const list = [...notes];
  if (step.complete === 1) list.push("the constraint lets the text end after this token");
  if (step.complete === 0) list.push("the constraint does not let the text end after this token");
  return [
    abandoned.length > 0 && h("section", {}, h("h3", {}, "Taken back before it"), h("ul", { class: "told" }, abandoned.map((branch) =>
      h("li", {}, h("s", {}, branch.token_ids.map((id) => step.label(exact(id))).join(" ")), ` wrote the banned ${branch.why} (attempt ${branch.attempt})`)))),
    list.length > 0 && h("section", {}, h("h3", {}, "Remarks"), h("ul", { class: "told" }, list.map((note) => h("li", {}, note)))),
  ];
}

export function panel(report, step) {
  const checked = step.check();
  const number = report.column("index")[step.at];
  const said = report.wordOf(step.at);
  const other = said && said !== checked.word && said !== "reproduced";
  return h("article", { class: "step" },
    h("header", {}, h("h2", {}, h("small", {}, `step ${number}`), " ", h("span", { class: "name" }, step.label(step.token))), h("span", {}, badge(checked.word, "this draw, checked by this page"),
      other && h("small", {}, " verify said "), other && badge(said, "by decodekit verify, when this page was written"))),
    checked.why ? h("p", { class: checked.word === "failed" ? "warning fault" : "note" }, checked.why) : null,
    (step.remarks.impossible ?? []).map((text) => h("p", { class: "warning" }, text)), facts(report, step, checked), stageTable(step), drawSection(step, checked), stories(step) || null, remarks(step).filter(Boolean));
}
