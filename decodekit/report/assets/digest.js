// BLAKE2b (RFC 7693) without a key, over bytes; each word of 64 bits is a low and a high half in a Uint32Array.
//
//   digest(bytes)  the digest of a trace: 16 bytes in hexadecimal digits
//   new Blake2b(size, person).update(bytes).hex()

const TWO32 = 2 ** 32;
const BLOCK = 128;

// The initial values of SHA-512, low half first.
const START = Uint32Array.of(
  0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a,
  0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19,
);
// The order of the words of a block in each round, one hexadecimal digit a word.
const ORDERS = (
  "0123456789abcdef ea489fd61c02b753 b8c052fdae367194 7931dcbe265a40f8 905724afe1bc683d " +
  "2c6a0b834d75fe19 c51fed4a0763928b db7ec13950f4862a 6fe9b308c2d714a5 a2847615fb9e3cd0"
)
  .split(" ")
  .map((digits) => Array.from(digits, (digit) => 2 * parseInt(digit, 16)));
const v = new Int32Array(32); // the working words of a block
const m = new Int32Array(32); // its message words

/** 1 if a sum of two 32-bit integers went over, by the sum modulo 2^32 and one of the two. */
const carry = (sum, one) => (sum >>> 0 < one >>> 0 ? 1 : 0);

/** Mixes four words of `v` and two of `m`, each named by where its low half stands. */
function mix(a, b, c, d, x, y) {
  let al = v[a] | 0, ah = v[a + 1] | 0, bl = v[b] | 0, bh = v[b + 1] | 0;
  let cl = v[c] | 0, ch = v[c + 1] | 0, dl = v[d] | 0, dh = v[d + 1] | 0;
  let low, high;
  for (let half = 0; half < 2; half++) {
    const at = half ? y : x;
    al = (al + bl) | 0;
    ah = (ah + bh + carry(al, bl)) | 0;
    low = m[at] | 0;
    al = (al + low) | 0;
    ah = (ah + m[at + 1] + carry(al, low)) | 0;
    low = dl ^ al;
    high = dh ^ ah;
    if (half) {
      dl = (low >>> 16) | (high << 16);
      dh = (high >>> 16) | (low << 16);
    } else {
      dl = high;
      dh = low;
    }
    cl = (cl + dl) | 0;
    ch = (ch + dh + carry(cl, dl)) | 0;
    low = bl ^ cl;
    high = bh ^ ch;
    if (half) {
      bl = (low << 1) | (high >>> 31);
      bh = (high << 1) | (low >>> 31);
    } else {
      bl = (low >>> 24) | (high << 8);
      bh = (high >>> 24) | (low << 8);
    }
  }
  v[a] = al;
  v[a + 1] = ah;
  v[b] = bl;
  v[b + 1] = bh;
  v[c] = cl;
  v[c + 1] = ch;
  v[d] = dl;
  v[d + 1] = dh;
}

export class Blake2b {
  /** `size` in bytes, at most 64; `person`: at most 16 characters of ASCII. */
  constructor(size, person = "") {
    this.size = size;
    this.words = START.slice();
    this.words[0] ^= 0x01010000 ^ size;
    for (let i = 0; i < person.length; i++) this.words[12 + (i >> 2)] ^= person.charCodeAt(i) << (8 * (i % 4));
    this.rest = new Uint8Array(BLOCK); // what was not compressed yet: at least a byte, unless there were none
    this.view = new DataView(this.rest.buffer);
    this.held = 0;
    this.total = 0;
  }

  update(bytes) {
    let at = 0;
    while (at < bytes.length) {
      if (this.held === BLOCK) this.compress(false);
      const taken = Math.min(BLOCK - this.held, bytes.length - at);
      this.rest.set(bytes.subarray(at, at + taken), this.held);
      this.held += taken;
      at += taken;
    }
    return this;
  }

  compress(last) {
    this.total += this.held;
    this.held = 0;
    for (let i = 0; i < 32; i++) m[i] = this.view.getInt32(4 * i, true);
    v.set(this.words);
    v.set(START, 16);
    v[24] ^= this.total;
    v[25] ^= Math.floor(this.total / TWO32);
    if (last) [v[28], v[29]] = [~v[28], ~v[29]];
    for (let round = 0; round < 12; round++) {
      const o = ORDERS[round % 10];
      mix(0, 8, 16, 24, o[0], o[1]);
      mix(2, 10, 18, 26, o[2], o[3]);
      mix(4, 12, 20, 28, o[4], o[5]);
      mix(6, 14, 22, 30, o[6], o[7]);
      mix(0, 10, 20, 30, o[8], o[9]);
      mix(2, 12, 22, 24, o[10], o[11]);
      mix(4, 14, 16, 26, o[12], o[13]);
      mix(6, 8, 18, 28, o[14], o[15]);
    }
    for (let i = 0; i < 16; i++) this.words[i] ^= v[i] ^ v[i + 16];
  }

  /** The digest; nothing can be added after this. */
  hex() {
    this.rest.fill(0, this.held);
    this.compress(true);
    const bytes = Array.from({ length: this.size }, (_, i) => (this.words[i >> 2] >>> (8 * (i % 4))) & 255);
    return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
}

export const digest = (bytes) => new Blake2b(16).update(bytes).hex();
