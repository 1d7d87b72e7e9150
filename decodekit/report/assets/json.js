// JSON as a trace needs it: JSON.parse loses integers above 2^53, and takes texts that are no Unicode.
//
//   parseJson(text)  integers above 2^53 are BigInt, `1e18` too; objects have no prototype, so `__proto__` is a key like
//                    another; throws NotJson for everything else than one JSON value, of at most 200 levels

export class NotJson extends Error {}

const DEEPEST = 200;
const LONGEST_INTEGER = 4300; // digits; the time to read one grows with their square
const LARGEST_FLOAT = 2 ** 63; // a number with a point or an exponent is an integer below

const BLANK = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)((?:\.\d+)?(?:[eE][+-]?\d+)?)/y;
const WORDS = { t: ["true", true], f: ["false", false], n: ["null", null] };
const LONE_SURROGATE = /[\ud800-\udfff]/u; // with this flag a pair is one character, and does not fit

export function parseJson(text) {
  let at = 0;

  function fail(what) {
    throw new NotJson(`${what} at character ${at}`);
  }

  function next() {
    BLANK.lastIndex = at;
    BLANK.test(text);
    at = BLANK.lastIndex;
    return text[at];
  }

  function expect(mark) {
    if (next() !== mark) fail(`no ${mark}`);
    at++;
  }

  function string() {
    expect('"');
    let end = at - 1;
    let slashes;
    do {
      end = text.indexOf('"', end + 1);
      if (end < 0) fail("a text without an end");
      for (slashes = 0; text[end - 1 - slashes] === "\\"; ) slashes++;
    } while (slashes % 2);
    let value;
    try {
      value = JSON.parse(text.slice(at - 1, end + 1));
    } catch {
      fail("a text that is no JSON");
    }
    if (LONE_SURROGATE.test(value)) fail("half a character");
    at = end + 1;
    return value;
  }

  function number() {
    NUMBER.lastIndex = at;
    const found = NUMBER.exec(text);
    if (found === null) fail("no value");
    const [digits, rest] = found;
    const value = Number(digits);
    if (rest === "" && digits.length - digits.startsWith("-") > LONGEST_INTEGER) fail("a number that is too long");
    at = NUMBER.lastIndex;
    if (Number.isSafeInteger(value)) return value;
    if (rest === "") return BigInt(digits);
    return Number.isInteger(value) && Math.abs(value) < LARGEST_FLOAT ? BigInt(value) : value;
  }

  /** What stands between two brackets, separated by commas. */
  function each(close, depth, read) {
    at++;
    if (next() !== close) {
      if (depth === DEEPEST) fail("too many levels");
      read();
      while (next() === ",") {
        at++;
        read();
      }
    }
    expect(close);
  }

  function value(depth) {
    const first = next();
    if (first === '"') return string();
    if (first === "[" || first === "{") {
      const whole = first === "[" ? [] : Object.create(null);
      if (first === "[") each("]", depth, () => whole.push(value(depth + 1)));
      else {
        each("}", depth, () => {
          const key = string();
          expect(":");
          whole[key] = value(depth + 1);
        });
      }
      return whole;
    }
    const word = Object.hasOwn(WORDS, first) ? WORDS[first] : undefined;
    if (word === undefined) return number();
    if (!text.startsWith(word[0], at)) fail("no value");
    at += word[0].length;
    return word[1];
  }

  const whole = value(0);
  if (next() !== undefined) fail("more than one value");
  return whole;
}
