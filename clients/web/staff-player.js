// One player: what the server knows, and what staff may do.

import { make } from "./elements.js";
import { attempt, confirmed, submitted, timeOf } from "./staff-forms.js";
import { untilWords, when } from "./staff-words.js";

const HOUR_S = 3_600;
const SPANS = [
  ["1 hour", HOUR_S],
  ["1 day", 24 * HOUR_S],
  ["7 days", 7 * 24 * HOUR_S],
  ["30 days", 30 * 24 * HOUR_S],
  ["for ever", 0],
];

export class PlayerSheet {
  #player = "";
  #facts = make("dl", { className: "facts wide" });
  #ops = make("ol", { className: "ops" });
  #problem = make("p", { className: "problem", role: "alert" });
  #lifts = make("p", { className: "row" });

  /** `place` is the element that holds the sheet. */
  constructor(api, place) {
    this.api = api;
    this.place = place;
  }

  async show(player) {
    if (player !== this.#player) {
      this.#player = player;
      this.#build();
    }
    await this.refresh();
    this.place.querySelector("h2").focus();
  }

  /** Load again what is shown. */
  async refresh() {
    const player = this.#player;
    if (!player) return;
    await attempt(this.#problem, async () => {
      const sheet = await this.api.show(this.#path());
      if (player === this.#player) this.#draw(sheet);
    });
    const ops = await this.api.show(this.#path("/ops")).catch(() => ({ ops: [] }));
    if (player === this.#player) this.#drawOps(ops.ops);
  }

  #path(rest = "") {
    return `/v1/players/${encodeURIComponent(this.#player)}${rest}`;
  }

  // What is shown.
  #build() {
    const title = make("h2", { id: "player-name", tabIndex: -1 });
    const forms = make("div", { className: "fields" }, this.#banForm(), this.#muteForm(), this.#noticeForm());
    const recent = make("details", {}, make("summary", { textContent: "Recent requests" }), this.#ops);
    this.place.replaceChildren(title, this.#facts, this.#lifts, this.#problem, forms, recent);
    this.place.dataset.player = this.#player;
    this.#facts.replaceChildren();
    this.#ops.replaceChildren();
  }

  #draw(sheet) {
    this.place.hidden = false;
    this.place.querySelector("h2").textContent = sheet.name === sheet.player ? sheet.player : `${sheet.name} (${sheet.player})`;
    const sessions = sheet.sessions.map((each) => sessionWords(each)).join("; ");
    const facts = [
      ["State", stateWords(sheet)],
      ["Online", sessions || "no"],
      ["First sign-in", sheet.created_at ? when(sheet.created_at) : "not yet"],
      ["Guild", sheet.guild ?? "none"],
      ["Notices", `${sheet.inbox.notices}, ${sheet.inbox.unread} unread`],
    ];
    this.#facts.replaceChildren(...facts.map(([name, value]) => factElement(name, value)));
    this.#lifts.replaceChildren(
      ...(sheet.ban ? [this.#liftButton("Lift the ban", "/ban")] : []),
      ...(sheet.mute ? [this.#liftButton("Lift the mute", "/mute")] : []),
    );
  }

  #drawOps(ops) {
    const rows = ops.map((op) => make("li", { textContent: `${when(op.at_ms)}: ${op.reply} (${op.op})` }));
    this.#ops.replaceChildren(...(rows.length ? rows : [make("li", { textContent: "None is kept." })]));
  }

  // What staff does.
  #banForm() {
    const form = formElement("Ban", spanField("ban"), reasonField("ban"));
    submitted(form, async () => {
      const seconds = Number(form.elements.span.value);
      const text = `Every window of ${this.#player} is closed at once, and nobody can sign in as this player, ${spanWords(seconds)}.`;
      if (!(await confirmed({ title: `Ban ${this.#player}?`, text, yes: "Ban" }))) return "";
      const reason = form.elements.reason.value;
      const until = seconds ? Date.now() + seconds * 1000 : undefined;
      await this.api.change("POST", this.#path("/ban"), { reason, until }, { reason, seconds });
      return this.#done(form, "Banned.");
    });
    return form;
  }

  #muteForm() {
    const form = formElement("Mute", spanField("mute"), reasonField("mute"));
    submitted(form, async () => {
      const seconds = Number(form.elements.span.value) || undefined;
      await this.api.change("POST", this.#path("/mute"), { reason: form.elements.reason.value, seconds });
      return this.#done(form, "Muted.");
    });
    return form;
  }

  #noticeForm() {
    const title = field("notice-title", "Title", make("input", { name: "title", required: true, maxLength: 100 }));
    const body = field("notice-body", "Text", make("textarea", { name: "body", rows: 2, maxLength: 2000 }));
    const end = field("notice-end", "Expires at, if ever", make("input", { name: "end", type: "datetime-local" }));
    const form = formElement("Send notice", title, body, end);
    submitted(form, async () => {
      const { title, body, end } = form.elements;
      const notice = { kind: "staff.notice", title: title.value, body: body.value, expires_at: timeOf(end) };
      await this.api.change("POST", this.#path("/notices"), notice);
      return this.#done(form, "Sent.");
    });
    return form;
  }

  #liftButton(words, rest) {
    const button = make("button", { textContent: words });
    button.addEventListener("click", () =>
      attempt(this.#problem, async () => {
        await this.api.change("DELETE", this.#path(rest));
        await this.refresh();
        this.place.querySelector("h2").focus();
      }, button),
    );
    return button;
  }

  async #done(form, words) {
    form.reset();
    await this.refresh();
    return words;
  }
}

function stateWords({ ban, mute }) {
  const words = [];
  if (ban) words.push(`banned ${untilWords(ban.until)} by ${ban.by}: ${ban.reason}`);
  if (mute) words.push(`muted ${untilWords(mute.until)} by ${mute.by}: ${mute.reason}`);
  return words.join("; ") || "in good standing";
}

function sessionWords({ node, since, client }) {
  const what = [client?.platform, client?.app, client?.locale].filter(Boolean).join(" ");
  return `on ${node} since ${when(since)}${what ? ` (${what})` : ""}`;
}

function spanWords(seconds) {
  const [words] = SPANS.find(([, each]) => each === seconds);
  return seconds ? `for ${words}` : words;
}

function factElement(name, value) {
  return make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }));
}

function formElement(words, ...fields) {
  const problem = make("p", { className: "problem", role: "alert" });
  const done = make("p", { className: "done", role: "status" });
  const form = make("form", { className: "action" }, make("h3", { textContent: words }), ...fields, problem, done);
  form.append(make("button", { textContent: words }));
  form.dataset.action = words.split(" ").at(-1).toLowerCase();
  return form;
}

function field(id, words, control) {
  control.id = id;
  return make("div", {}, make("label", { htmlFor: id, textContent: words }), control);
}

function spanField(prefix) {
  const options = SPANS.map(([words, seconds]) => make("option", { textContent: words, value: seconds }));
  return field(`${prefix}-span`, "How long", make("select", { name: "span" }, ...options));
}

function reasonField(prefix) {
  const control = make("input", { name: "reason", required: true, maxLength: 500, autocomplete: "off" });
  return field(`${prefix}-reason`, "Reason, which the player is not told", control);
}
