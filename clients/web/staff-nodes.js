// The nodes, once a second while somebody looks.

import { $, arrange, make } from "./elements.js";
import { attempt, confirmed } from "./staff-forms.js";
import { when } from "./staff-words.js";

const EVERY_MS = 1_000;
const FACTS = [
  ["sessions", "Sessions"],
  ["messages_in_per_s", "Messages/s in"],
  ["messages_out_per_s", "Messages/s out"],
];

export class NodeSection {
  #cards = new Map(); // name to card
  #open = false;
  #timer = 0;

  constructor(api) {
    this.api = api;
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

  async #look() {
    clearTimeout(this.#timer);
    if (!this.#open || document.hidden) return;
    await attempt($("nodes-error"), async () => this.#draw((await this.api.show("/v1/nodes")).nodes));
    clearTimeout(this.#timer); // another look may have begun meanwhile
    if (this.#open) this.#timer = setTimeout(() => this.#look(), EVERY_MS);
  }

  #draw(nodes) {
    const sum = (fact) => nodes.reduce((all, { numbers }) => all + (numbers?.[fact] ?? 0), 0);
    const messages = sum("messages_in_per_s") + sum("messages_out_per_s");
    const many = nodes.length === 1 ? "1 node" : `${nodes.length} nodes`;
    $("nodes-sum").textContent = `${many}, ${count(sum("sessions"))} sessions, ${count(messages)} messages a second`;
    for (const name of this.#cards.keys()) if (!nodes.some((node) => node.node === name)) this.#cards.delete(name);
    arrange($("nodes-list"), nodes.map((node) => this.#card(node)));
  }

  #card({ node, address, draining, numbers }) {
    let card = this.#cards.get(node);
    if (!card) this.#cards.set(node, (card = this.#newCard(node)));
    const state = draining ? "draining" : numbers ? "serving" : "no answer";
    card.querySelector(".chip").textContent = state;
    card.querySelector(".chip").dataset.state = state;
    card.querySelector(".address").textContent = address;
    card.querySelector(".since").textContent = numbers ? `Since ${when(numbers.started_at)}` : "";
    for (const [fact] of FACTS) card.querySelector(`[data-fact=${fact}]`).textContent = count(numbers?.[fact]);
    card.querySelector("button").hidden = state !== "serving";
    return card;
  }

  #newCard(node) {
    const card = make("li", { className: "block" });
    card.dataset.node = node;
    const head = make("div", { className: "card-head" }, make("h3", { textContent: node }), make("span", { className: "chip" }));
    const facts = make("dl", { className: "facts" });
    for (const [fact, label] of FACTS) {
      const value = make("dd");
      value.dataset.fact = fact;
      facts.append(make("div", {}, make("dt", { textContent: label }), value));
    }
    const drain = make("button", { className: "quiet", textContent: "Drain" });
    drain.setAttribute("aria-label", `Drain ${node}`);
    const problem = make("p", { className: "problem", role: "alert" });
    drain.addEventListener("click", () => attempt(problem, () => this.#drain(node), drain));
    card.append(head, make("p", { className: "hint address" }), facts, make("p", { className: "hint since" }), problem, drain);
    return card;
  }

  async #drain(node) {
    const text = "Its players move to other nodes, and the process ends. Somebody has to start it again.";
    if (!(await confirmed({ title: `Drain ${node}?`, text, yes: "Drain" }))) return;
    await this.api.change("POST", `/v1/nodes/${encodeURIComponent(node)}/drain`);
    await this.#look();
  }
}

function count(value) {
  return value == null ? "–" : Math.round(value).toLocaleString();
}
