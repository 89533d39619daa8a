// The staff endpoints (`/v1/...`), as this page uses them.
//
// A change carries an Idempotency-Key of its own and is repeated under it until its outcome is known: it happens once,
// however often it is sent. Where even that does not tell, the person may ask for the same thing again, and that is a
// repeat too, for as long as the key is remembered.

const TRIES = 4; // of one request, with doubling pauses between them
const PAUSE_MS = 500; // the first of them
const PATIENCE_MS = 10_000; // for one answer
const UNSETTLED_MS = 10 * 60_000; // later, the same request is a new wish

/** The answer is no, or there is none. `settled`: whether it is certain that nothing was changed. */
export class Problem extends Error {
  constructor({ status = 0, code = "", detail = "", title = "", retry, retry_after_ms: pause, trace = "" }) {
    super(detail || title || code);
    Object.assign(this, { status, code, trace, pause, settled: status > 0 && (retry ?? (status < 500 ? "never" : "later")) === "never" });
  }
}

export class Api {
  #unsettled = new Map(); // wish as text to {key, body, since}

  /** `unauthorized` hears the problem when the key is not accepted any more. */
  constructor(key, unauthorized) {
    this.key = key;
    this.unauthorized = unauthorized;
  }

  /** What stands at `path`; `query` without its empty values. */
  async show(path, query = {}) {
    const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
    return this.#send("GET", words.size ? `${path}?${words}` : path);
  }

  /**
   * Make a change, exactly once. Two requests of one `wish` are the same, until the first one's outcome is known; it is
   * the body where that holds nothing that depends on the time of day.
   */
  async change(method, path, body, wish = body) {
    const name = JSON.stringify([method, path, wish]);
    const known = this.#unsettled.get(name);
    const fresh = { key: newKey(), body, since: Date.now() };
    const request = known && fresh.since - known.since < UNSETTLED_MS ? known : fresh;
    this.#unsettled.set(name, request);
    try {
      const answer = await this.#untilSettled(() => this.#send(method, path, request.body, request.key));
      this.#unsettled.delete(name);
      return answer;
    } catch (problem) {
      if (problem.settled) this.#unsettled.delete(name);
      throw problem;
    }
  }

  async #untilSettled(send) {
    for (let tries = 1; ; tries += 1) {
      try {
        return await send();
      } catch (problem) {
        if (problem.settled || tries === TRIES) throw problem;
        await pause(problem.pause ?? PAUSE_MS * 2 ** (tries - 1));
      }
    }
  }

  async #send(method, path, body, key) {
    const headers = { authorization: `Bearer ${this.key}`, accept: "application/json" };
    if (key) headers["idempotency-key"] = key;
    if (body !== undefined) headers["content-type"] = "application/json";
    const options = { method, headers, body: JSON.stringify(body), cache: "no-store" };
    let answer;
    let content;
    try {
      answer = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
      content = await answer.text();
    } catch {
      throw new Problem({ code: "client.no_answer", retry: "later" });
    }
    if (answer.ok) return parsed(content);
    const problem = new Problem({ title: answer.statusText, ...parsed(content), status: answer.status });
    if (answer.status === 401) this.unauthorized(problem);
    throw problem;
  }
}

function parsed(text) {
  try {
    return Object(JSON.parse(text, exact));
  } catch {
    return {};
  }
}

/** A number that JavaScript would round stays as it was written, where the browser tells how that was. */
function exact(_name, value, written) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? (written?.source ?? value) : value;
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
