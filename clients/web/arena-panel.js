// The leaderboard `arena`, live: the ten best, the player's own place, and a form that submits a score.
//
// Watching is for one connection: it is asked for at every welcome, and the reply holds the board as it stands.

import { $, arrange, avatar, make } from "./elements.js";
import { attempt } from "./forms.js";
import { int64, written } from "./numbers.js";
import { Refusal } from "./session.js";

const BOARD = "arena";
const TOP = 10; // entries that the server names to watchers
const OWN_PAUSE_MS = 1_000; // between two questions for the own place, which the watched top does not tell
const MOVE_MS = 220; // done before the next change can come
const calm = matchMedia("(prefers-reduced-motion: reduce)");

export class ArenaPanel {
  #top = [];
  #watching = false;
  #own = null; // the player's own entry
  #size = 0;
  #me = "";
  #rows = new Map(); // owner to {row, drawn}
  #asked = -Infinity;
  #timer = 0;

  constructor(session) {
    this.session = session;
    session.addEventListener("welcome", ({ detail }) => this.#welcomed(detail));
    session.addEventListener("event", ({ detail }) => this.#happened(detail));
    session.addEventListener("settled", ({ detail }) => this.#settled(detail));
    $("arena-form").addEventListener("submit", (event) => {
      event.preventDefault();
      attempt("arena-error", () => this.#submit(), event.submitter);
    });
    suggest();
  }

  #welcomed({ player }) {
    this.#me = player;
    attempt("arena-error", async () => this.#take(await this.#watch()));
  }

  async #watch() {
    const ask = () => this.session.ask("leaderboard.watch", { board: BOARD });
    try {
      return await ask();
    } catch (refusal) {
      if (refusal.code !== "leaderboard.not_found") throw refusal;
      await defineBoard();
      return ask();
    }
  }

  #happened({ t, board, top, size }) {
    if (board !== BOARD) return;
    if (t === "leaderboard.changed") {
      this.#take({ top, size });
    } else if (t === "leaderboard.reset") {
      $("arena-note").textContent = "A new period has begun. Every score starts afresh.";
      this.#own = null;
      this.#take({ top: [], size: 0 });
    }
  }

  /** A score of this tab is in, maybe one that was sent before a reload. */
  #settled({ t, fields, reply }) {
    if (t !== "leaderboard.submit" || fields.board !== BOARD || !reply) return;
    const begin = reply.improved ? "Well done: your score is now" : "Your score stays";
    $("arena-note").textContent = `${begin} ${written(reply.score)}, at place ${written(reply.rank)}.`;
    this.#findOwnSoon();
  }

  async #submit() {
    const score = int64($("arena-score").value);
    if (score === null) throw new Refusal({ code: "client.not_a_score" });
    await this.session.request("leaderboard.submit", { board: BOARD, score: `${score}` }, { keep: true }).answer;
    suggest();
  }

  #take({ top, size }) {
    this.#watching = true;
    this.#top = top;
    this.#size = size;
    const mine = top.find(({ owner }) => owner === this.#me);
    if (mine) this.#own = mine;
    else this.#findOwnSoon();
    this.#draw();
  }

  /** Ask for the own place below the top, at most once in a while: a busy board changes four times a second. */
  #findOwnSoon() {
    clearTimeout(this.#timer);
    const pause = this.#asked + OWN_PAUSE_MS - performance.now();
    this.#timer = setTimeout(() => this.#findOwn(), Math.max(pause, 0));
  }

  async #findOwn() {
    this.#asked = performance.now();
    const asked = { board: BOARD, player: this.#me, limit: 1 };
    const found = await this.session.ask("leaderboard.around", asked).catch(() => null);
    this.#own = found?.entries.find(({ owner }) => owner === this.#me) ?? null;
    this.#draw();
  }

  // What is shown.
  #draw() {
    const below = this.#own && !this.#top.some(({ owner }) => owner === this.#me);
    const entries = this.#top.slice(0, TOP);
    if (below) entries.push(this.#own);
    const before = new Map([...this.#rows].map(([owner, { row }]) => [owner, row.offsetTop]));
    arrange($("arena-list"), entries.map((entry) => this.#row(entry)));
    for (const owner of this.#rows.keys()) if (!entries.some((each) => each.owner === owner)) this.#rows.delete(owner);
    for (const [owner, { row }] of this.#rows) {
      row.classList.toggle("below", Boolean(below) && owner === this.#me);
      move(row, before.get(owner));
    }
    $("arena-empty").hidden = entries.length > 0 || !this.#watching;
    $("arena-own").textContent = this.#ownWords();
  }

  #ownWords() {
    if (!this.#watching) return "";
    if (!this.#own) return "You have no score here yet.";
    return `You are at place ${written(this.#own.rank)} of ${written(this.#size)}.`;
  }

  #row(entry) {
    const drawn = JSON.stringify(entry);
    let kept = this.#rows.get(entry.owner);
    if (!kept) this.#rows.set(entry.owner, (kept = { row: rowElement(entry, entry.owner === this.#me), drawn: "" }));
    if (kept.drawn !== drawn) fillRow(kept.row, entry);
    kept.drawn = drawn;
    return kept.row;
  }
}

function rowElement({ owner, name }, mine) {
  const row = make("li", { className: mine ? "entry mine" : "entry" });
  row.dataset.owner = owner;
  row.append(make("span", { className: "rank" }), avatar(owner, name), make("b", { className: "name" }));
  if (mine) row.append(make("i", { textContent: "you" }));
  row.append(make("span", { className: "score" }));
  return row;
}

function fillRow(row, { rank, name, owner, score, subscore }) {
  row.querySelector(".rank").textContent = written(rank);
  row.querySelector(".name").textContent = name || owner;
  row.querySelector(".score").textContent = written(score);
  row.querySelector(".score").title = subscore ? `and ${written(subscore)}` : "";
}

/** Let a row glide from where it was. */
function move(row, before) {
  const distance = before === undefined ? 0 : before - row.offsetTop;
  if (!distance || calm.matches || !row.checkVisibility()) return;
  row.animate([{ transform: `translateY(${distance}px)` }, { transform: "none" }], { duration: MOVE_MS, easing: "ease-out" });
}

/** Define the board of a server that has none yet, as staff would: this page is there in development mode only. */
async function defineBoard() {
  await fetch(`v1/leaderboards/${BOARD}`, {
    method: "PUT",
    headers: { authorization: "Bearer dev", "idempotency-key": "demo-page-1", "content-type": "application/json" },
    body: JSON.stringify({ title: "Arena" }),
  });
}

/** Fill in a score, so that trying it takes one click. */
function suggest() {
  $("arena-score").value = `${100 + Math.floor(Math.random() * 9_900)}`;
}
