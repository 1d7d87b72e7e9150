// Numbers and tokens in words.

export const unknown = (value) => value === null || value === undefined || Number.isNaN(value);

/** A number with this many digits behind the point; "?" where it is not known. */
export function number(value, digits = 3) {
  if (unknown(value)) return "?";
  if (!Number.isFinite(value)) return value < 0 ? "−∞" : "∞";
  return value.toFixed(digits).replace("-", "−");
}

export function share(value) {
  if (unknown(value)) return "?";
  if (value === 0) return "0 %";
  return value >= 5e-5 ? `${(100 * value).toFixed(2)} %` : "< 0.01 %";
}

export const count = (value) => (unknown(value) || value < 0 ? "?" : String(value).replace(/\B(?=(\d{3})+$)/g, ","));

export const many = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;

/** Text as it is shown in running text: a line end has a sign of its own. */
export const running = (text) => text.replaceAll("\n", "↵\n");

const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0d\uffa0]/gu;

const hex = (c, digits) => c.codePointAt(0).toString(16).padStart(digits, "0");

/** Text with every invisible character as an escape. */
export const visible = (text) => String(text).replace(UNSEEN, (c) => (c > "\uffff" ? `\\U${hex(c, 8)}` : `\\u${hex(c, 4)}`));
