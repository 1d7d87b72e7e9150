// The data in the page: deflated, in base64; a head of JSON, then columns of numbers.

const ARRAYS = { u1: Uint8Array, i4: Int32Array, u4: Uint32Array, f8: Float64Array, d3: Int32Array, d5: Int32Array };
const DECIMALS = { d3: 1e3, d5: 1e5 };
const UNKNOWN = -(2 ** 31);

/** A whole number, or its decimal digits, as a number; as a BigInt where a number would be rounded. */
export function exact(digits) {
  const value = Number(digits);
  return Number.isSafeInteger(value) ? value : BigInt(digits);
}

function bytesOf(base64) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(base64);
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let at = 0; at < bytes.length; at++) bytes[at] = text.charCodeAt(at);
  return bytes;
}

async function inflated(bytes) {
  const stream = new DecompressionStream("deflate");
  const writer = stream.writable.getWriter();
  writer.write(bytes);
  writer.close();
  return new Uint8Array(await new Response(stream.readable).arrayBuffer());
}

/** Bytes that lie by significance, as an array of numbers. */
function assembled(bytes, Kind, count) {
  const width = Kind.BYTES_PER_ELEMENT;
  if (width === 1) return bytes.slice(0, count);
  const whole = new Uint8Array(count * width);
  for (let byte = 0; byte < width; byte++) {
    for (let at = 0, from = byte * count; at < count; at++) whole[at * width + byte] = bytes[from + at];
  }
  return new Kind(whole.buffer);
}

/** One column: an array of numbers; of kind "n" also of BigInts. */
function read(kind, bytes, count) {
  if (kind === "n") return new TextDecoder().decode(bytes.subarray(0, count)).split(",").map(exact);
  const stored = assembled(bytes, ARRAYS[kind], count);
  const scale = DECIMALS[kind];
  return scale ? Float64Array.from(stored, (value) => (value === UNKNOWN ? NaN : value / scale)) : stored;
}

/** Opens the island of this element: `head`, `column(name)`, and `starts(name)`, the sums of a column of counts. */
export async function openIsland(element) {
  const bytes = await inflated(bytesOf(element.textContent));
  const size = new DataView(bytes.buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + size)));
  const columns = new Map();
  const sums = new Map();

  function column(name) {
    if (!columns.has(name)) {
      const [kind, offset, count] = head.columns[name];
      columns.set(name, read(kind, bytes.subarray(4 + size + offset), count));
    }
    return columns.get(name);
  }

  function starts(name) {
    if (!sums.has(name)) {
      const counts = column(name);
      const sum = new Uint32Array(counts.length + 1);
      counts.forEach((count, at) => (sum[at + 1] = sum[at] + Math.max(count, 0)));
      sums.set(name, sum);
    }
    return sums.get(name);
  }

  return { head, column, starts };
}
