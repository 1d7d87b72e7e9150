// The random numbers of docs/RNG.md (decodekit-rng-1): Philox4x64-10 in halves of 32 bits.
//
//   const noise = noiseOf(seed, domain, step, stream, draw);  // each a BigInt, a safe integer or decimal digits
//   noise.word(lane)     16 hexadecimal digits
//   noise.uniform(lane)  strictly inside (0, 1), exact
//   noise.gumbel(lane)   -log(-log(uniform))
//
// A lane is a token id: a safe integer, or a BigInt above 2^53.

const TWO32 = 2 ** 32;
// The two multipliers and the two steps of the key, each as a high and a low half.
const [M0H, M0L, M1H, M1L] = [0xd2e7470e, 0xe14c6c93, 0xca5a8263, 0x95121157];
const [W0H, W0L, W1H, W1L] = [0x9e3779b9, 0x7f4a7c15, 0xbb67ae85, 0x84caa73b];

/** The high and the low half of an integer, modulo 2^64. */
function halves(value) {
  if (typeof value === "number" && value >= 0) return [Math.floor(value / TWO32), value >>> 0];
  const whole = BigInt.asUintN(64, BigInt(value));
  return [Number(whole >> 32n), Number(whole & 0xffffffffn)];
}

/** The high half of a product of two 32-bit integers. The float is wrong by less than 2^12, so rounding is exact. */
const high = (a, b) => Math.round((a * b - (Math.imul(a, b) >>> 0)) / TWO32);

/** Writes the 128 bits of a 64-bit product to `out`, highest 32 bits first. */
function multiply(ah, al, bh, bl, out) {
  const middle = high(al, bl) + (Math.imul(al, bh) >>> 0) + (Math.imul(ah, bl) >>> 0);
  const upper = high(al, bh) + high(ah, bl) + (Math.imul(ah, bh) >>> 0) + Math.floor(middle / TWO32);
  out[0] = high(ah, bh) + Math.floor(upper / TWO32);
  out[1] = upper;
  out[2] = middle;
  out[3] = Math.imul(al, bl);
}

const [left, right] = [new Uint32Array(4), new Uint32Array(4)];

/** Ten rounds over `c`, the four words of the counter as eight halves; the key is two words as four halves. */
function philox(c, key) {
  let [k0h, k0l, k1h, k1l] = key;
  for (let round = 0; round < 10; round++) {
    multiply(M0H, M0L, c[0], c[1], left);
    multiply(M1H, M1L, c[4], c[5], right);
    c[0] = right[0] ^ c[2] ^ k0h;
    c[1] = right[1] ^ c[3] ^ k0l;
    c[2] = right[2];
    c[3] = right[3];
    c[4] = left[0] ^ c[6] ^ k1h;
    c[5] = left[1] ^ c[7] ^ k1l;
    c[6] = left[2];
    c[7] = left[3];
    k0h = (k0h + W0H + (k0l + W0L >= TWO32)) >>> 0;
    k0l = (k0l + W0L) >>> 0;
    k1h = (k1h + W1H + (k1l + W1L >= TWO32)) >>> 0;
    k1l = (k1l + W1L) >>> 0;
  }
}

export const gumbelOf = (uniform) => -Math.log(-Math.log(uniform));

export function noiseOf(seed, domain, step, stream, draw) {
  const key = [...halves(seed), ...halves(domain)];
  const rest = [...halves(step), ...halves(stream), ...halves(draw)];
  const block = new Uint32Array(8);
  let made = null;

  /** Computes the block of four words that holds the lane; where its word begins in `block`. */
  function seek(lane) {
    const big = typeof lane === "bigint";
    const at = big ? lane >> 2n : Math.floor(lane / 4);
    if (at !== made) {
      block.set(halves(big ? at + 1n : at + 1));
      block.set(rest, 2);
      philox(block, key);
      made = at;
    }
    return 2 * (big ? Number(lane & 3n) : lane % 4);
  }

  function uniform(lane) {
    const at = seek(lane);
    return (block[at] * 2 ** 20 + (block[at + 1] >>> 12) + 0.5) * 2 ** -52;
  }

  const digits = (half) => half.toString(16).padStart(8, "0");

  function word(lane) {
    const at = seek(lane);
    return digits(block[at]) + digits(block[at + 1]);
  }

  return { word, uniform, gumbel: (lane) => gumbelOf(uniform(lane)) };
}
