// The permalink: #stream=0&step=12, and &run=1 where there are several.

/** The sequence and the step that the address names, the first ones for what it does not; `missing` is what is not there. */
export function placeOf(report) {
  const named = new URLSearchParams(location.hash.slice(1));
  const run = report.runs[Number(named.get("run") ?? 0)] ?? report.runs[0];
  const own = report.sequences.filter((sequence) => sequence.run === run);
  const sequence = own.find(({ stream }) => stream === named.get("stream")) ?? own[0];
  const step = Math.trunc(Number(named.get("step") ?? 0)) || 0;
  const at = Math.max(sequence.from, Math.min(sequence.to - 1, sequence.from + step));
  const there = { run: report.runs.indexOf(run), stream: sequence.stream, step: at - sequence.from };
  const missing = Object.keys(there).filter((name) => named.has(name) && named.get(name) !== String(there[name])).map((name) => `${name} ${named.get(name)}`);
  return { sequence, at, asked: named.has("step"), missing: missing.join(", ") };
}

export function writePlace(report, { run, stream, from }, at) {
  const number = report.runs.indexOf(run);
  const hash = `#${number ? `run=${number}&` : ""}stream=${stream}&step=${at - from}`;
  if (location.protocol === "about:") return; // the frame of a notebook's cell has no address to change
  if (hash !== location.hash) history.replaceState(null, "", hash);
}
