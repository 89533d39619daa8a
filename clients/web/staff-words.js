// What is told to staff, in plain words.

const PROBLEMS = {
  "auth.invalid": "This is not a key, or it was revoked.",
  "auth.expired": "This key has expired.",
  "http.not_found": "The staff endpoints are not at this address.",
  "client.no_answer": "No answer from the server. Try the same again: it will not happen twice.",
  "client.nobody": "Nobody is called so.",
  "client.no_text": "Write the announcement first.",
  "client.same_locale": "There are two texts for one language.",
};

/** A problem in words, with its code for whoever asks about it. */
export function problemWords({ code = "", message = "", trace = "" }) {
  const words = PROBLEMS[code] ?? sentence(message || "That did not work");
  const facts = [code.startsWith("client.") ? "" : code, code === "internal" && trace && `trace ${trace}`].filter(Boolean);
  return facts.length ? `${words} (${facts.join(", ")})` : words;
}

function sentence(text) {
  const whole = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

/** A time in full, as staff compares it with what players report. */
export function when(ms) {
  return new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "medium" });
}

/** Until when a ban or mute holds. */
export function untilWords(until) {
  return until ? `until ${when(until)}` : "for ever";
}

const TIME = /^(at|until)$|_(at|ms)$/; // keys whose numbers are milliseconds since the Unix epoch

function valueWords(key, value) {
  return Number.isInteger(value) && TIME.test(key) ? when(value) : nested(value);
}

function nested(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? `(${compact(value)})` : compact(value);
}

/** Values of JSON in one line. */
export function compact(value) {
  if (value === null || value === undefined) return "nothing";
  if (typeof value !== "object") return `${value}`;
  if (Array.isArray(value)) return value.map(nested).join(", ") || "nothing";
  const entries = Object.entries(value).filter(([, each]) => each !== null);
  return entries.map(([key, each]) => `${key}: ${valueWords(key, each)}`).join(", ") || "nothing";
}
