// Who has changed what, the latest first.

import { $, make } from "./elements.js";
import { attempt } from "./staff-forms.js";
import { compact, when } from "./staff-words.js";

const PAGE = 50;

export class AuditSection {
  #before = null; // where the next page begins

  constructor(api) {
    this.api = api;
    $("audit-filter").addEventListener("submit", (event) => {
      event.preventDefault();
      this.open();
    });
    $("audit-more").addEventListener("click", ({ target }) => this.#load(target));
  }

  open() {
    this.#before = null;
    return this.#load();
  }

  close() {}

  #load(button = null) {
    const first = this.#before === null;
    const query = { target: $("audit-target").value.trim(), key: $("audit-key").value.trim(), limit: PAGE };
    return attempt($("audit-error"), async () => {
      const page = await this.api.show("/v1/audit", { ...query, before: this.#before });
      const rows = page.entries.map(rowElement);
      if (first) $("audit-list").replaceChildren(...rows);
      else $("audit-list").append(...rows);
      this.#before = page.entries.at(-1)?.id ?? this.#before;
      $("audit-more").hidden = !page.more;
      $("audit-empty").hidden = $("audit-list").childElementCount > 0;
    }, button);
  }
}

function rowElement({ at, key, key_name: name, address, action, target, before, after }) {
  const who = `${name} (${key}) from ${address}`;
  const row = make("li", { className: "block" });
  row.append(
    make("p", {}, make("b", { textContent: action }), " ", make("span", { className: "target", textContent: target })),
    make("p", { className: "change" }, compact(before), ...arrow(), compact(after)),
    make("p", { className: "hint" }, make("time", { dateTime: new Date(at).toISOString(), textContent: when(at) }), `, by ${who}`),
  );
  return row;
}

function arrow() {
  const seen = make("span", { textContent: " → " });
  seen.setAttribute("aria-hidden", "true");
  return [seen, make("span", { className: "unseen", textContent: " became " })];
}
