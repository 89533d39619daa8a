// Sends announcements, and shows what became of them.

import { $, arrange, make } from "./elements.js";
import { Problem } from "./staff-api.js";
import { attempt, confirmed, submitted, timeOf, wordsOf } from "./staff-forms.js";
import { compact, when } from "./staff-words.js";

const EVERY_MS = 2_000; // the counts rise while people read

export class AnnouncementSection {
  #open = false;
  #timer = 0;
  #cards = new Map(); // id to card

  constructor(api) {
    this.api = api;
    $("zone").textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
    $("announce-add").addEventListener("click", () => addText("").querySelector("input").focus());
    addText("en");
    submitted($("announce"), () => this.#send());
    document.addEventListener("visibilitychange", () => this.#open && this.#look());
  }

  open() {
    this.#open = true;
    this.#look();
  }

  close() {
    this.#open = false;
    clearTimeout(this.#timer);
  }

  async #send() {
    const announcement = {
      text: writtenTexts(),
      at: timeOf($("announce-at")),
      expires_at: timeOf($("announce-end")),
      audience: writtenAudience(),
    };
    await this.api.change("POST", "/v1/announcements", announcement);
    $("announce").reset();
    $("announce-texts").replaceChildren();
    addText("en");
    await this.#look();
    return announcement.at ? "Planned." : "Sent.";
  }

  async #look() {
    clearTimeout(this.#timer);
    if (!this.#open || document.hidden) return;
    await attempt($("announced-error"), async () => this.#draw((await this.api.show("/v1/announcements")).announcements));
    clearTimeout(this.#timer); // another look may have begun meanwhile
    if (this.#open) this.#timer = setTimeout(() => this.#look(), EVERY_MS);
  }

  #draw(announcements) {
    const here = new Set(announcements.map(({ announcement }) => announcement));
    for (const id of this.#cards.keys()) if (!here.has(id)) this.#cards.delete(id);
    arrange($("announced"), announcements.map((each) => this.#card(each)));
    $("announced-empty").hidden = announcements.length > 0;
  }

  #card(announcement) {
    const { announcement: id, state, at, expires_at: end, reached, read } = announcement;
    let card = this.#cards.get(id);
    if (!card) this.#cards.set(id, (card = this.#newCard(announcement)));
    card.querySelector(".chip").textContent = state;
    card.querySelector(".chip").dataset.state = state;
    card.querySelector(".times").textContent = end ? `${when(at)}, expires ${when(end)}` : when(at);
    card.querySelector("[data-fact=reached]").textContent = reached.toLocaleString();
    card.querySelector("[data-fact=read]").textContent = read.toLocaleString();
    card.querySelector("button").hidden = !["scheduled", "live", "sending"].includes(state);
    return card;
  }

  #newCard({ announcement: id, text, audience }) {
    const card = make("li", { className: "block" });
    card.dataset.announcement = id;
    const texts = Object.entries(text).map(([locale, words]) =>
      make("p", { className: "text", dir: "auto", lang: locale }, make("b", { className: "locale", textContent: locale }), ` ${words}`),
    );
    const facts = make("dl", { className: "facts" });
    for (const [fact, label] of [["reached", "Reached"], ["read", "Read"]]) {
      const value = make("dd");
      value.dataset.fact = fact;
      facts.append(make("div", {}, make("dt", { textContent: label }), value));
    }
    const to = audience ? `To ${compact(audience)}` : "To everyone";
    const problem = make("p", { className: "problem", role: "alert" });
    const cancel = make("button", { className: "quiet", textContent: "Cancel it" });
    cancel.addEventListener("click", () => attempt(problem, () => this.#cancel(id), cancel));
    card.append(make("div", { className: "card-head" }, make("p", { className: "hint times" }), make("span", { className: "chip" })));
    card.append(...texts, make("p", { className: "hint", textContent: to }), facts, problem, cancel);
    return card;
  }

  async #cancel(id) {
    const text = "Whoever has not seen it will not, and it goes away where it is shown.";
    if (!(await confirmed({ title: "Cancel this announcement?", text, yes: "Cancel it" }))) return;
    await this.api.change("DELETE", `/v1/announcements/${encodeURIComponent(id)}`);
    await this.#look();
  }
}

/** Another language for the new announcement. */
function addText(locale) {
  const number = $("announce-texts").childElementCount + 1;
  const language = make("input", { id: `locale-${number}`, className: "locale", value: locale, required: true, maxLength: 35 });
  const text = make("textarea", { id: `text-${number}`, rows: 2, required: true, maxLength: 2000, dir: "auto" });
  language.setAttribute("aria-label", "Language of this text, as en or tr-TR");
  const label = make("label", { htmlFor: text.id, textContent: "Text" });
  const row = make("div", { className: "translation" }, label, language, text);
  $("announce-texts").append(row);
  return row;
}

function writtenTexts() {
  const texts = {};
  for (const row of $("announce-texts").children) {
    const locale = row.querySelector("input").value.trim();
    const text = row.querySelector("textarea").value.trim();
    if (!text) throw new Problem({ code: "client.no_text", retry: "never" });
    if (locale in texts) throw new Problem({ code: "client.same_locale", retry: "never" });
    texts[locale] = text;
  }
  return texts;
}

/** Whom it is for; undefined for everyone. */
function writtenAudience() {
  const audience = {
    platforms: wordsOf($("to-platform")),
    locales: wordsOf($("to-locale")),
    app_min: $("to-from").value.trim() || undefined,
    app_max: $("to-until").value.trim() || undefined,
    guild: $("to-guild").value.trim() || undefined,
    players: wordsOf($("to-players")),
  };
  return Object.values(audience).some(Boolean) ? audience : undefined;
}
