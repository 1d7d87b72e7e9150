// The permalink: #stream=0&step=12, and &run=1 where there are several.

/** The sequence and the step that the address names, the first ones for what it does not; `missing` is what is not there.
 * `at` is null in a sequence without tokens: its place is that of the next one. */
export function placeOf(report) {
  const named = new URLSearchParams(location.hash.slice(1));
  const run = report.runs[Number(named.get("run") ?? 0)] ?? report.runs[0];
  const own = report.sequences.filter((sequence) => sequence.run === run);
  const sequence = own.find(({ stream }) => stream === named.get("stream")) ?? own[0];
  const step = Math.trunc(Number(named.get("step") ?? 0)) || 0;
  const { from, to } = sequence;
  const at = from < to ? Math.max(from, Math.min(to - 1, from + step)) : null;
  const there = { run: report.runs.indexOf(run), stream: sequence.stream, step: at === null ? null : at - from };
  const missing = Object.keys(there).filter((name) => named.has(name) && named.get(name) !== String(there[name])).map((name) => `${name} ${named.get(name)}`);
  return { sequence, at, asked: named.has("step"), missing: missing.join(", ") };
}

export function writePlace(report, { run, stream, from }, at) {
  const number = report.runs.indexOf(run);
  const hash = `#${number ? `run=${number}&` : ""}stream=${stream}${at === null ? "" : `&step=${at - from}`}`;
  if (location.protocol === "about:") return; // the frame of a notebook's cell has no address to change
  if (hash !== location.hash) history.replaceState(null, "", hash);
}
