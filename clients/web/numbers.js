// 64-bit integers: decimal strings on the wire, BigInt here; a Number would round them (PROTOCOL.md, Envelope).

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

/** The integer that somebody wrote, or null where it is none of 64 bits. */
export function int64(text) {
  if (!/^\s*[+-]?\d{1,19}\s*$/.test(text)) return null;
  const value = BigInt(text.trim().replace(/^\+/, ""));
  return value < MIN || value > MAX ? null : value;
}

/** As people read it, whether it came as a string, a BigInt or a small number. */
export function written(value) {
  return BigInt(value ?? 0).toLocaleString();
}
