// Draws one conversation. Elements are kept by line, so that reading, selecting and screen readers are not disturbed.

import { $, arrange, avatar, make } from "./elements.js";

const GROUP_MS = 5 * 60_000; // lines of one sender within this time stand under one name
const NEAR_PX = 80; // so close to the end, the view follows what comes

export class ChatView {
  #conversation = null;
  #elements = new Map();
  #drawing = false;
  #following = true; // whether the end is to stay in view

  /** `actions`: earlier(), retry(op), dismiss(op). */
  constructor(actions) {
    this.actions = actions;
    this.me = "";
    this.scroll = $("scroll");
    this.lines = $("lines");
    $("earlier").addEventListener("click", () => actions.earlier());
    $("newest").addEventListener("click", () => this.toEnd());
    this.scroll.addEventListener("scroll", () => {
      const { scrollHeight, scrollTop, clientHeight } = this.scroll;
      this.#following = scrollHeight - scrollTop - clientHeight < NEAR_PX;
      if (this.#following) $("newest").hidden = true;
    });
    // A keyboard on the screen, a longer text in the composer: the end stays in view.
    new ResizeObserver(() => this.#following && this.toEnd()).observe(this.scroll);
  }

  toEnd() {
    this.#following = true;
    this.scroll.scrollTop = this.scroll.scrollHeight;
    $("newest").hidden = true;
  }

  show(conversation) {
    this.#conversation = conversation;
    this.#elements.clear();
    this.lines.replaceChildren();
    this.#drawNow();
    this.toEnd();
  }

  /** Draw soon, once for all that happens in this turn. */
  draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    queueMicrotask(() => this.#drawNow());
  }

  #drawNow() {
    this.#drawing = false;
    const conversation = this.#conversation;
    if (!conversation) return;
    const follow = this.#following;
    const fromEnd = this.scroll.scrollHeight - this.scroll.scrollTop;
    const newestBefore = this.lines.lastElementChild;
    if (follow) conversation.trim();
    arrange(this.lines, this.#wanted(conversation));
    arrange($("waiting"), [...conversation.waiting.values()].map((line) => this.#waiting(line)));
    $("earlier").hidden = !conversation.more;
    $("empty").hidden = conversation.lines.length + conversation.waiting.size > 0 || !conversation.joined;
    if (follow) this.toEnd();
    else if (newestBefore === this.lines.lastElementChild) this.scroll.scrollTop = this.scroll.scrollHeight - fromEnd;
    else $("newest").hidden = false;
  }

  /** Every element of the list, in order. */
  #wanted({ lines }) {
    const wanted = [];
    let before = null;
    for (const line of lines) {
      const day = new Date(line.at).toDateString();
      const newDay = !before || new Date(before.at).toDateString() !== day;
      if (newDay) wanted.push(this.#kept(`day ${day}`, () => dayElement(line.at)));
      const element = this.#kept(line.seq, () => lineElement(line, line.from.id === this.me));
      const grouped = !newDay && before.from.id === line.from.id && line.at - before.at < GROUP_MS;
      element.classList.toggle("grouped", grouped);
      wanted.push(element);
      before = line;
    }
    for (const [key, element] of this.#elements) if (!wanted.includes(element)) this.#elements.delete(key);
    return wanted;
  }

  #kept(key, make) {
    let element = this.#elements.get(key);
    if (!element) this.#elements.set(key, (element = make()));
    return element;
  }

  #waiting(line) {
    const item = make("li", { className: line.error ? "line mine failed" : "line mine pending" });
    item.dataset.op = line.op;
    const note = make("p", { className: "note", textContent: line.error ?? "On its way…" });
    if (line.error) {
      const again = make("button", { className: "quiet", textContent: "Say it again" });
      const drop = make("button", { className: "quiet", textContent: "Drop it" });
      again.addEventListener("click", () => this.actions.retry(line.op));
      drop.addEventListener("click", () => this.actions.dismiss(line.op));
      note.append(" ", again, drop);
    }
    item.append(make("p", { className: "text", textContent: line.text }), note);
    return item;
  }
}

function lineElement(line, mine) {
  const item = make("li", { className: mine ? "line mine" : "line" });
  item.dataset.seq = line.seq;
  const head = make("p", { className: "head" });
  const time = make("time", {
    dateTime: new Date(line.at).toISOString(),
    textContent: new Date(line.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
  });
  head.append(make("b", { textContent: line.from.name }), ...(mine ? [make("i", { textContent: "you" })] : []), time);
  item.append(avatar(line.from.id, line.from.name), head, make("p", { className: "text", textContent: line.text }));
  return item;
}

function dayElement(at) {
  const day = new Date(at);
  const today = day.toDateString() === new Date().toDateString();
  const text = today ? "Today" : day.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
  return make("li", { className: "day", textContent: text });
}
