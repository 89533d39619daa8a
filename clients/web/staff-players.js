// Finds players, and opens one.

import { $, arrange, make } from "./elements.js";
import { Problem } from "./staff-api.js";
import { submitted } from "./staff-forms.js";
import { PlayerSheet } from "./staff-player.js";

const FOUND_LIMIT = 20;

export class PlayerSection {
  #sheet;

  constructor(api) {
    this.api = api;
    this.#sheet = new PlayerSheet(api, $("player"));
    submitted($("find"), () => this.#find($("find-name").value.trim()));
  }

  open() {
    this.#sheet.refresh();
  }

  close() {}

  /** Those whose name begins so, and the one whose id it is. */
  async #find(text) {
    const named = this.api.show("/v1/players", { name: text, limit: FOUND_LIMIT });
    const exact = this.api.show(`/v1/players/${encodeURIComponent(text)}`).catch(unknown);
    const [{ players }, sheet] = await Promise.all([named, exact]);
    const found = players.filter(({ player }) => player !== text);
    if (sheet) found.unshift(sheet);
    arrange($("found"), found.map((each) => this.#foundElement(each)));
    if (!found.length) throw new Problem({ code: "client.nobody", retry: "never" });
    if (found.length === 1) await this.#sheet.show(found[0].player);
  }

  #foundElement({ player, name }) {
    const button = make("button", { textContent: name === player ? player : `${name} (${player})` });
    button.type = "button";
    button.dataset.player = player;
    button.addEventListener("click", () => this.#sheet.show(player));
    return make("li", {}, button);
  }
}

/** Whoever is not known by this id may be by name. */
function unknown(problem) {
  if (problem instanceof Problem && problem.settled && [400, 404].includes(problem.status)) return null;
  throw problem;
}
