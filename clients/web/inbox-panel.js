// Draws the inbox and its badge, keeps it up to date, and marks it read.

import { $, arrange, drawBadge, make, timeElement } from "./elements.js";
import { attempt } from "./forms.js";
import { Inbox } from "./inbox.js";
import { Alarm, serverNow } from "./server-clock.js";

const PAGE = 30; // notices that are loaded at once

export class InboxPanel {
  #inbox = new Inbox();
  #elements = new Map(); // seq to element
  #alarm = new Alarm(() => this.#draw());
  #loaded = false;
  #topic = "";

  constructor(session) {
    this.session = session;
    session.addEventListener("welcome", ({ detail }) => this.#welcomed(detail));
    session.addEventListener("event", ({ detail }) => this.#happened(detail));
    $("inbox-read").addEventListener("click", ({ target }) => attempt("inbox-error", () => this.#markRead(), target));
    $("inbox-more").addEventListener("click", ({ target }) => attempt("inbox-error", () => this.#older(), target));
    this.#draw();
  }

  #welcomed({ player, topics, state }) {
    this.#topic = `player:${player}`;
    const { seq = 0, status } = topics[this.#topic] ?? {};
    this.#inbox.welcomed(state?.mail ?? { unread: 0, read: 0 }, seq);
    if (status !== "resumed" || !this.#loaded) attempt("inbox-error", () => this.#load());
    this.#draw();
  }

  async #load() {
    this.#loaded = false;
    this.#inbox.clear();
    this.#inbox.page(await this.session.ask("inbox.list", { limit: PAGE }));
    this.#loaded = true;
    this.#draw();
  }

  async #older() {
    const before = this.#inbox.notices[0]?.seq;
    this.#inbox.page(await this.session.ask("inbox.list", { limit: PAGE, ...(before && { before }) }));
    this.#draw();
  }

  #happened(event) {
    if (event.topic !== this.#topic) return;
    if (event.t === "inbox.notice") this.#arrived(event);
    else if (event.t === "inbox.seen") this.#inbox.seen(event);
    else return;
    this.#draw();
  }

  #arrived(notice) {
    this.#inbox.take(notice, serverNow());
    $("inbox-live").textContent = `New in your inbox: ${notice.title}`;
  }

  /** What is shown has been read. The reply says nothing that the event on all devices does not. */
  async #markRead() {
    const unread = this.#inbox.notices.filter((notice) => this.#inbox.isUnread(notice));
    if (unread.length) await this.session.ask("inbox.read", { upto: unread.at(-1).seq });
    for (const { kind, data } of unread) {
      if (kind === "announcement") this.session.request("announce.read", { announcement: data.announcement });
    }
    $("inbox").focus();
  }

  #draw() {
    const inbox = this.#inbox;
    this.#alarm.set(inbox.expire(serverNow()));
    drawBadge($("inbox-badge"), inbox.unread, "unread");
    $("inbox-read").hidden = !inbox.unread;
    $("inbox-more").hidden = !inbox.more;
    $("inbox-empty").hidden = !this.#loaded || inbox.notices.length > 0;
    $("inbox-list").setAttribute("aria-busy", String(!this.#loaded));
    arrange($("inbox-list"), inbox.notices.toReversed().map((notice) => this.#element(notice)));
    const shown = new Set(inbox.notices.map(({ seq }) => seq));
    for (const seq of this.#elements.keys()) if (!shown.has(seq)) this.#elements.delete(seq);
  }

  #element(notice) {
    let element = this.#elements.get(notice.seq);
    if (!element) this.#elements.set(notice.seq, (element = noticeElement(notice)));
    const unread = this.#inbox.isUnread(notice);
    element.classList.toggle("unread", unread);
    element.querySelector(".mark").textContent = unread ? "Unread: " : "";
    return element;
  }
}

function noticeElement({ seq, at, kind, title, body }) {
  const item = make("li", { className: "notice" });
  item.dataset.seq = seq;
  item.dataset.kind = kind;
  const head = make("p", { className: "head" });
  head.append(make("span", { className: "mark unseen" }), make("b", { textContent: title, dir: "auto" }), timeElement(at));
  item.append(head);
  if (body) item.append(make("p", { className: "text", textContent: body, dir: "auto" }));
  return item;
}
