// The session with the server, over many connections: the twin of protocol/client.py with a socket and timers.
//
// It keeps one WebSocket open, signs in, resumes by cursors, and sends every request, with its id, until it is
// answered: an id has its effect once, however often it is sent (PROTOCOL.md, Envelope). Requests made with `keep`
// are written to the tab's storage before they are sent, so that they outlive a reload of the page.

import { Cursors } from "./cursors.js";

const CLIENT = { app: "0.1.0", platform: "web", sdk: "web/0.1", locale: navigator.language.slice(0, 35) };
const KEPT_LIMIT = 64; // kept requests without an answer; one more is refused here
const CONNECT_MS = 10_000; // for the socket to open, and again for the welcome
const REPLY_MS = 15_000; // after which a request without an answer is sent again
const SYNC_MS = 5_000; // after which a hole that does not fill is asked for again
const PING_SHARE = 0.8; // of the heartbeat may pass in silence on our side
const BACKOFF_MS = 500; // bound of the first pause; doubles with each failure
const BACKOFF_CAP_MS = 10_000;
const UNHEARD_LIMIT = 8; // failures in a row, after which a server that closes for want of a hello is believed
const STABLE_MS = 10_000; // online for so long, the next failure is a first one again
const HEARTBEAT_MISSED = 4002;
const NOT_AUTHENTICATED = 4501;

/** The server's, or this session's, answer is no. */
export class Refusal extends Error {
  constructor({ code = "", message = "", trace = "" }) {
    super(message || code);
    this.code = code;
    this.trace = trace;
  }
}

/**
 * Events, each with its facts in `detail`:
 *   state    {state, retryInMs?, code?, reason?}   offline, connecting, resuming, online, blocked
 *   welcome  the server's message
 *   event    a message of a topic; those of a durable one in order, each once
 *   moved    {topic, status}                       reset: load it again; gone: nothing more to hear of it
 *   settled  {id, t, fields, reply?, error?}       a request is answered, maybe one of this tab before a reload;
 *                                                  told before the events that come after the answer
 */
export class Session extends EventTarget {
  state = "offline";
  #cursors = new Cursors();
  #pending = new Map();
  #syncs = new Map(); // id of a topic.sync to its topic
  #prefix = randomHex(8);
  #count = 0;
  #socket = null;
  #hello = "";
  #session = "";
  #failures = 0;
  #due = Infinity;
  #since = 0;
  #sent = 0;
  #heard = 0;
  #heartbeatMs = 25_000;
  #timer = 0;

  /** `findUrl` is asked before each connection, as a restarted server may listen elsewhere. */
  constructor({ token, findUrl, store }) {
    super();
    this.token = token;
    this.findUrl = findUrl;
    this.store = store;
    for (const kept of store.get("pending") ?? []) this.#add({ ...kept, keep: true });
  }

  /** Requests that outlive a reload and have no answer yet, oldest first. */
  get kept() {
    return [...this.#pending.values()].filter((pending) => pending.keep);
  }

  connect() {
    if (this.state === "offline" || this.state === "blocked") this.#open();
  }

  /** Go offline until `connect`. What is kept stays kept. */
  disconnect() {
    this.#closeSocket(1000);
    this.#offline(Infinity);
    this.#announce();
  }

  /** Where the network is said to be back, or somebody looks at the page: do not wait out the pause. */
  hurry() {
    if (this.state === "offline" && this.#due < Infinity) this.#open();
  }

  /**
   * Send a request until it is answered. Returns {id, answer}, a promise of the reply or a Refusal.
   * Of the requests of one `lane` each is sent when the one before it has its answer: they cannot overtake each other.
   */
  request(t, fields, { keep = false, lane = "" } = {}) {
    if (keep && this.kept.length >= KEPT_LIMIT) throw new Refusal({ code: "client.too_many_pending" });
    const pending = this.#add({ id: this.#nextId(), t, fields, keep, lane, at: Date.now() });
    if (keep) this.#save();
    if (this.state === "online" && this.#isNext(pending)) this.#sendPending(pending);
    this.#arm();
    return pending;
  }

  /** The reply to a request that need not outlive this page. */
  ask(t, fields) {
    return this.request(t, fields).answer;
  }

  unfollow(topic) {
    this.#cursors.unfollow(topic);
  }

  // Connections.
  async #open() {
    this.state = "connecting";
    this.#due = now() + CONNECT_MS;
    const call = (this.#socket = { socket: null });
    this.#announce();
    this.#arm();
    try {
      const url = await this.findUrl();
      if (this.#socket !== call) return;
      call.socket = new WebSocket(url, ["guildhall.v1.json"]);
    } catch {
      if (this.#socket === call) this.#lost(1006, "the server cannot be reached");
      return;
    }
    const { socket } = call;
    const current = () => this.#socket === call;
    socket.addEventListener("open", () => current() && this.#greet());
    socket.addEventListener("message", ({ data }) => current() && this.#receive(data));
    socket.addEventListener("close", ({ code, reason }) => current() && this.#lost(code, reason));
  }

  #greet() {
    this.state = "resuming";
    this.#due = now() + CONNECT_MS;
    this.#hello = this.#nextId();
    const hello = { t: "hello", id: this.#hello, token: this.token, client: CLIENT };
    if (this.#session) hello.resume = { session: this.#session, cursors: this.#cursors.forHello() };
    this.#send(hello);
    this.#announce();
    this.#arm();
  }

  #closeSocket(code, reason = "") {
    const call = this.#socket;
    this.#socket = null; // from now on nobody listens to it
    call?.socket?.close(code, reason);
  }

  #offline(due) {
    this.state = "offline";
    this.#socket = null;
    this.#due = due;
    this.#syncs.clear();
    this.#cursors.disconnected();
    this.#arm();
  }

  #lost(code, reason, pauseMs = null) {
    if (this.state === "online" && now() - this.#since >= STABLE_MS) this.#failures = 0;
    const unheard = this.#helloWasUnheard(code);
    this.#offline(Infinity);
    if (code >= 4500 && code <= 4999 && !unheard) {
      this.#blocked(code, reason);
      return;
    }
    const retryInMs = this.#pause(pauseMs ?? (code === 4000 ? retryAfter(parsed(reason)) : null), this.#failures++);
    this.#due = now() + retryInMs;
    this.#announce({ code, reason, retryInMs });
    this.#arm();
  }

  /** Whether the server closed because no hello came, as in a tunnel: of one that it refuses it says so first. */
  #helloWasUnheard(code) {
    return this.state !== "online" && code === NOT_AUTHENTICATED && this.#failures < UNHEARD_LIMIT;
  }

  #blocked(code, reason) {
    this.state = "blocked";
    this.#announce({ code, reason });
  }

  /** What the server asked for and a little, else full jitter under a doubling bound. */
  #pause(askedMs, failures) {
    if (askedMs !== null) return askedMs + Math.random() * BACKOFF_MS;
    return Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_MS * 2 ** Math.min(failures, 16));
  }

  // What comes.
  #receive(data) {
    this.#heard = now();
    const message = parsed(data);
    if (this.state === "resuming") {
      if (!message.re || message.re === this.#hello) this.#helloAnswered(message);
    } else if (message.t === "ping") {
      this.#send({ t: "pong", re: message.id ?? "" });
    } else if (typeof message.re === "string") {
      this.#takeReply(message);
    } else if (typeof message.t === "string" && message.t !== "error") {
      this.#takeEvent(message);
    }
    this.#arm();
  }

  #helloAnswered(message) {
    if (message.t === "welcome") {
      this.#welcomed(message);
    } else if (message.t === "error") {
      this.#closeSocket(1000);
      if (message.retry === "never") {
        this.#offline(Infinity);
        this.#blocked(NOT_AUTHENTICATED, message.code);
      } else {
        this.#lost(1000, message.code, retryAfter(message));
      }
    }
  }

  #welcomed(welcome) {
    this.state = "online";
    this.#since = now();
    this.#session = welcome.session;
    this.#heartbeatMs = welcome.heartbeat_ms ?? 25_000;
    const moved = this.#cursors.welcomed(welcome.topics ?? {}, now());
    const waiting = [...this.#pending.values()].filter(
      (pending) => this.#isNext(pending) && (!pending.paused || pending.due <= now()),
    );
    this.#announce();
    this.#tell("welcome", welcome); // the page joins its channels now, before it says in them what waited
    for (const each of moved) if (each.status !== "resumed") this.#tell("moved", each);
    for (const pending of waiting) this.#sendPending(pending);
  }

  #takeReply(reply) {
    const topic = this.#syncs.get(reply.re);
    const pending = this.#pending.get(reply.re);
    if (topic !== undefined) {
      this.#syncs.delete(reply.re);
      this.#takeSync(topic, reply);
    } else if (pending && reply.t === "error" && reply.retry !== "never") {
      this.#tryAgain(pending, reply);
    } else if (pending) {
      this.#pending.delete(reply.re);
      if (pending.keep) this.#save();
      this.#sendNext(pending.lane);
      this.#settle(pending, reply);
    }
  }

  /** Obey the error's rule; a second `now` in a row waits too, so that nobody spins. */
  #tryAgain(pending, error) {
    pending.tries += 1;
    if (error.retry === "now" && pending.tries === 1) {
      this.#sendPending(pending);
      return;
    }
    pending.paused = true;
    pending.due = now() + this.#pause(retryAfter(error), pending.tries);
  }

  #settle({ id, t, fields, resolve, reject }, reply) {
    if (reply.t === "error") {
      const error = new Refusal(reply);
      this.#tell("settled", { id, t, fields, error });
      reject(error);
      return;
    }
    this.#tell("settled", { id, t, fields, reply });
    if (reply.epoch && Number.isInteger(reply.seq)) {
      const topic = reply.topic ?? `chat:${reply.channel}`;
      const waited = this.#cursors.follow(topic, reply.epoch, reply.seq, now());
      for (const event of waited) this.#tell("event", event);
    }
    resolve(reply);
  }

  #takeEvent(event) {
    const track = this.#cursors.find(event.topic);
    if (!track || !Number.isInteger(event.seq)) {
      this.#tell("event", event);
      return;
    }
    for (const ready of track.take(event, now())) this.#tell("event", ready);
    if (track.hasHole && track.asked === null) this.#sync(event.topic, track);
  }

  // Holes.
  #sync(topic, track) {
    for (const [old, name] of this.#syncs) if (name === topic) this.#syncs.delete(old);
    const id = this.#nextId();
    this.#syncs.set(id, topic);
    track.asked = now();
    this.#send({ t: "topic.sync", id, topic, after: track.seq });
  }

  #takeSync(topic, reply) {
    if (reply.t === "error" && reply.retry !== "never") return; // asked again by the tick
    const moved = this.#cursors.stands(topic, reply.t === "error" ? { status: "gone" } : reply, now());
    if (moved.status !== "resumed") this.#tell("moved", moved);
  }

  // Time.
  get #deadline() {
    if (this.state !== "online") return this.#due;
    return Math.min(
      this.#sent + PING_SHARE * this.#heartbeatMs,
      this.#heard + 2 * this.#heartbeatMs,
      ...[...this.#pending.values()].map((pending) => pending.due),
      ...this.#cursors.holes().map(([, track]) => (track.asked ?? 0) + SYNC_MS),
    );
  }

  #arm() {
    clearTimeout(this.#timer);
    const deadline = this.#deadline;
    if (deadline < Infinity) this.#timer = setTimeout(() => this.#tick(), Math.max(deadline - now(), 1));
  }

  #tick() {
    if (this.state === "online") this.#tickOnline();
    else if (now() >= this.#due && this.state === "offline") this.#open();
    else if (now() >= this.#due) this.#giveUp("no answer in time");
    this.#arm();
  }

  #tickOnline() {
    if (now() >= this.#heard + 2 * this.#heartbeatMs) {
      this.#giveUp("nothing was heard");
      return;
    }
    for (const pending of this.#pending.values()) if (now() >= pending.due) this.#sendPending(pending);
    for (const [topic, track] of this.#cursors.holes()) {
      if (now() >= (track.asked ?? 0) + SYNC_MS) this.#sync(topic, track);
    }
    if (now() >= this.#sent + PING_SHARE * this.#heartbeatMs) this.#send({ t: "ping", id: this.#nextId() });
  }

  #giveUp(reason) {
    this.#closeSocket(HEARTBEAT_MISSED, reason);
    this.#lost(HEARTBEAT_MISSED, reason);
  }

  // Requests.
  #add(pending) {
    Object.assign(pending, { tries: 0, paused: false, due: Infinity });
    pending.answer = new Promise((resolve, reject) => Object.assign(pending, { resolve, reject }));
    pending.answer.catch(() => {}); // whoever asked may be gone
    this.#pending.set(pending.id, pending);
    return pending;
  }

  #isNext(pending) {
    return !pending.lane || this.#first(pending.lane) === pending;
  }

  #first(lane) {
    for (const pending of this.#pending.values()) if (pending.lane === lane) return pending;
    return null;
  }

  #sendNext(lane) {
    const next = lane && this.#first(lane);
    if (next) this.#sendPending(next);
  }

  #sendPending(pending) {
    pending.paused = false;
    pending.due = now() + REPLY_MS;
    this.#send({ ...pending.fields, t: pending.t, id: pending.id });
  }

  #send(message) {
    this.#sent = now();
    this.#socket?.socket?.send(JSON.stringify(message));
  }

  #save() {
    this.store.set(
      "pending",
      this.kept.map(({ id, t, fields, lane, at }) => ({ id, t, fields, lane, at })),
    );
  }

  // A new prefix for every load of the page: a duplicated tab copies its storage, and an id must never be used twice.
  #nextId() {
    this.#count += 1;
    return `${this.#prefix}-${this.#count}`;
  }

  #announce(facts = {}) {
    this.#tell("state", { state: this.state, ...facts });
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const now = () => performance.now();

function parsed(text) {
  try {
    return Object(JSON.parse(text));
  } catch {
    return {};
  }
}

function retryAfter({ retry_after_ms: ms }) {
  return Number.isInteger(ms) && ms >= 0 ? ms : null;
}

function randomHex(bytes) {
  return Array.from(crypto.getRandomValues(new Uint8Array(bytes)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
