// Announcements to everybody: each is put before the player once, until it is dismissed, withdrawn or over.
//
// The server follows the topic `announce` from where this player was last seen, so a reload repeats nothing; what this
// tab remembers is for the one that came while the tab was in the background, and for one that comes twice all the same.

import { $, arrange, make, timeElement } from "./elements.js";
import { attempt } from "./forms.js";
import { Alarm, serverNow } from "./server-clock.js";

const REMEMBERED = 200; // ids of those that were shown; the oldest is forgotten first

export class Announcements {
  #standing = new Map(); // id to the message
  #elements = new Map();
  #shown = [];
  #alarm = new Alarm(() => this.#draw());

  constructor(session, store) {
    this.session = session;
    this.store = store;
    const { shown = [], waiting = [] } = store.get("announcements") ?? {};
    this.#shown = shown;
    for (const message of waiting) this.#standing.set(message.announcement, message);
    session.addEventListener("event", ({ detail }) => this.#happened(detail));
    document.addEventListener("visibilitychange", () => this.#look());
    this.#look();
  }

  #happened(event) {
    if (event.t === "announce.message") this.#arrived(event);
    else if (event.t === "announce.withdrawn") this.#remove(event.announcement);
  }

  #arrived({ announcement, text, at, expires_at }) {
    if (this.#standing.has(announcement) || this.#shown.includes(announcement)) return;
    this.#standing.set(announcement, { announcement, text, at, expires_at });
    this.#look();
  }

  /** Draw; with somebody at the window, everything that stands there has been shown. */
  #look() {
    this.#draw();
    if (!document.hidden) this.#shown = [...new Set([...this.#shown, ...this.#standing.keys()])].slice(-REMEMBERED);
    this.#save();
  }

  #dismiss(announcement) {
    this.#remove(announcement);
    attempt("chat-error", () => void this.session.request("announce.read", { announcement }, { keep: true }));
  }

  #remove(announcement) {
    const had = this.#elements.get(announcement)?.contains(document.activeElement);
    this.#standing.delete(announcement);
    this.#look();
    if (had) ($("announcements").querySelector("button") ?? $("text")).focus();
  }

  #save() {
    const waiting = [...this.#standing.values()].filter(({ announcement }) => !this.#shown.includes(announcement));
    this.store.set("announcements", { shown: this.#shown, waiting });
  }

  #draw() {
    const now = serverNow();
    for (const [id, { expires_at: end }] of this.#standing) if (end && end <= now) this.#standing.delete(id);
    for (const id of this.#elements.keys()) if (!this.#standing.has(id)) this.#elements.delete(id);
    arrange($("announcements"), [...this.#standing.values()].map((message) => this.#element(message)));
    this.#alarm.set(Math.min(Infinity, ...[...this.#standing.values()].map(({ expires_at: end }) => end || Infinity)));
  }

  #element(message) {
    const { announcement, text, at } = message;
    let element = this.#elements.get(announcement);
    if (element) return element;
    const dismiss = make("button", { className: "quiet", textContent: "Dismiss" });
    dismiss.addEventListener("click", () => this.#dismiss(announcement));
    element = make("li", { className: "announcement" }, make("p", { className: "text", textContent: text, dir: "auto" }));
    element.append(timeElement(at), dismiss);
    element.dataset.announcement = announcement;
    this.#elements.set(announcement, element);
    return element;
  }
}
