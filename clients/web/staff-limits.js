// The limits in force, and what staff sets over the configured ones: on all nodes, at once, until it is reset.
//
// The server takes an order whole (PUT /v1/limits). A change of one limit is put into the order as it stands at that
// moment, so that what somebody else has set meanwhile stays.

import { $, arrange, make } from "./elements.js";
import { attempt, confirmed, submitted, wordsOf } from "./staff-forms.js";

const SECTIONS = [
  ["session", "Sessions", "What one session may ask for."],
  ["player", "Players", "What one player may ask for, over all sessions."],
  ["sign_in", "Sign-ins", "How often one may try to sign in."],
  ["admission", "Connections", "What each node takes in."],
  ["shedding", "Overload", "How late a node's event loop may be before it turns this away."],
];
const KINDS = "kinds"; // of requests, each with a rate of its own

export class LimitSection {
  #rows = new Map(); // path as text to Row

  constructor(api) {
    this.api = api;
    $("limits-list").replaceChildren(...SECTIONS.map((each) => this.#block(...each)));
    $("limits-reset").addEventListener("click", ({ target }) => attempt($("limits-error"), () => this.#reset(), target));
  }

  open() {
    return attempt($("limits-error"), () => this.#look());
  }

  close() {}

  async #look() {
    const { enforced, configured, order, effective } = await this.api.show("/v1/limits");
    $("limits-off").hidden = enforced;
    $("limits-reset").hidden = Object.keys(order).length === 0;
    for (const [section] of SECTIONS) {
      const paths = pathsOf(section, effective[section] ?? {});
      const rows = paths.map((path) => this.#row(path, at(effective, path)));
      for (const row of rows) row.draw(at(effective, row.path), at(configured, row.path), at(order, row.path) !== undefined);
      arrange($(`limits-${section}`), rows.map((row) => row.element));
    }
  }

  #block(section, title, says) {
    const list = make("ul", { id: `limits-${section}`, className: "limits" });
    const block = make("article", { className: "block" }, make("h3", { textContent: title }), make("p", { className: "hint", textContent: says }), list);
    if (section === "session" || section === "player") block.append(this.#addForm(section));
    return block;
  }

  #row(path, value) {
    const name = path.join("/");
    if (!this.#rows.has(name)) this.#rows.set(name, new Row(path, value, (wanted) => this.#set(path, wanted)));
    return this.#rows.get(name);
  }

  /** Another kind of request gets a rate. */
  #addForm(section) {
    const kind = field(`add-${section}`, "Request", { name: "kind", placeholder: "chat.send", autocapitalize: "none", spellcheck: false });
    const form = formElement(kind, ...rateFields(`add-${section}`));
    form.append(make("button", { textContent: "Set" }));
    submitted(form, async () => {
      const name = form.elements.kind.value.trim();
      await this.#set([section, KINDS, name], rateOf(form));
      form.reset();
      return `${name} is set.`;
    });
    return make("details", {}, make("summary", { textContent: "Limit another request" }), form);
  }

  /** Have `value` hold at `path`, or what is configured where it is undefined. */
  async #set(path, value) {
    const { order } = await this.api.show("/v1/limits");
    await this.api.change("PUT", "/v1/limits", ordered(order, path, value));
    await this.#look();
  }

  async #reset() {
    const text = "Every limit is as configured again, on all nodes.";
    if (!(await confirmed({ title: "Reset all limits?", text, yes: "Reset" }))) return;
    await this.api.change("DELETE", "/v1/limits");
    await this.#look();
  }
}

/** One limit: what holds, and beneath it, once opened, the form that changes it. */
class Row {
  #value = make("span", { className: "value" });
  #chip = make("span", { className: "chip", textContent: "set" });
  #configured = make("p", { className: "hint" });
  #back = make("button", { type: "button", className: "quiet", textContent: "As configured" });

  /** `set` makes a value hold, or with undefined what is configured. */
  constructor(path, value, set) {
    this.path = path;
    const name = path.join("-").replaceAll(/\W/g, "-");
    this.kind = kindOf(value);
    const words = labelOf(path);
    this.form = formElement(...this.kind.fields(name, words));
    this.form.append(this.#configured, make("p", { className: "row" }, make("button", { textContent: "Set" }), this.#back));
    const summary = make("summary", {}, make("span", { textContent: words }), this.#chip, this.#value);
    this.element = make("li", {}, make("details", {}, summary, this.form));
    this.element.dataset.limit = path.join(".");
    submitted(this.form, async () => {
      await set(this.kind.read(this.form));
      return "Set on all nodes.";
    });
    const problem = this.form.querySelector(".problem");
    this.#back.addEventListener("click", () => attempt(problem, () => set(undefined), this.#back));
  }

  draw(value, configured, isSet) {
    const shown = this.kind.words(value, this.path.at(-1));
    if (this.#value.textContent !== shown) this.kind.write(this.form.elements, value); // else somebody may be typing
    this.#value.textContent = shown;
    this.#chip.hidden = this.#back.hidden = !isSet;
    const usual = configured === undefined ? "no limit of its own" : this.kind.words(configured, this.path.at(-1));
    this.#configured.textContent = `Configured: ${usual}.`;
  }
}

// Kinds of values: how they are shown, asked for, and read.
const RATE = {
  words: ({ per_s: each, burst }) => `${number(each)}/s, ${number(burst)} at once`,
  fields: rateFields,
  write: (elements, { per_s: each, burst }) => {
    elements.per_s.value = each;
    elements.burst.value = burst;
  },
  read: rateOf,
};
const NUMBER = {
  words: (value, name) => (name.endsWith("_s") ? `${number(value)} s` : number(value)),
  fields: (id, words) => [field(id, words, numberInput("value"))],
  write: (elements, value) => {
    elements.value.value = value;
  },
  read: ({ elements }) => Number(elements.value.value),
};
const LIST = {
  words: (value) => value.join(", ") || "none",
  fields: (id) => [field(id, "Requests", { name: "value", autocapitalize: "none", spellcheck: false })],
  write: (elements, value) => {
    elements.value.value = value.join(", ");
  },
  read: ({ elements }) => wordsOf(elements.value) ?? [],
};

function kindOf(value) {
  if (Array.isArray(value)) return LIST;
  return typeof value === "object" ? RATE : NUMBER;
}

function rateFields(id) {
  return [field(`${id}-per-s`, "A second", numberInput("per_s")), field(`${id}-burst`, "At once", numberInput("burst"))];
}

function rateOf({ elements }) {
  return { per_s: Number(elements.per_s.value), burst: Number(elements.burst.value) };
}

function numberInput(name) {
  return { name, type: "number", step: "any", required: true, inputMode: "decimal" };
}

function field(id, words, properties) {
  const control = make("input", { id: `limit-${id}`, autocomplete: "off", ...properties });
  return make("div", {}, make("label", { htmlFor: control.id, textContent: words }), control);
}

function formElement(...fields) {
  const problem = make("p", { className: "problem", role: "alert" });
  const done = make("p", { className: "done", role: "status" });
  return make("form", {}, make("div", { className: "fields" }, ...fields), problem, done);
}

// Paths into the sections.
function pathsOf(section, settings) {
  return Object.keys(settings).flatMap((name) =>
    name === KINDS ? Object.keys(settings[KINDS]).map((kind) => [section, KINDS, kind]) : [[section, name]],
  );
}

function at(settings, path) {
  return path.reduce((inner, name) => inner?.[name], settings);
}

/** `order` with `value` at `path`, or without it where it is undefined; what is empty then is left out. */
function ordered(order, [name, ...rest], value) {
  const inner = rest.length ? ordered(order[name] ?? {}, rest, value) : value;
  const { [name]: _before, ...others } = order;
  const empty = inner === undefined || (rest.length > 0 && Object.keys(inner).length === 0);
  return empty ? others : { ...others, [name]: inner };
}

function labelOf(path) {
  return path.length > 2 ? path.at(-1) : path.at(-1).replace(/_s$/, "").replaceAll("_", " ");
}

function number(value) {
  return value.toLocaleString([], { maximumFractionDigits: 6 });
}
