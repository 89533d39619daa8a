// The page of the staff API, made of its OpenAPI document. What only reads can be tried with a key.

import { $, make } from "./elements.js";

const DOCUMENT = "/v1/docs/openapi.json";
const PATIENCE_MS = 10_000;

class Page {
  constructor(document) {
    this.schemas = document.components.schemas;
    this.operations = Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
    );
  }

  draw() {
    const groups = new Map();
    for (const operation of this.operations) {
      const title = operation.tags?.[0] ?? "Everybody";
      groups.set(title, [...(groups.get(title) ?? []), operation]);
    }
    for (const [title, operations] of groups) {
      const heading = make("h2", { id: `group-${title}`, textContent: title });
      $("endpoints").append(heading, ...operations.map((each) => this.#endpoint(each)));
      $("groups").append(make("a", { href: `#${heading.id}`, textContent: title }));
    }
  }

  #endpoint(operation) {
    const method = make("span", { className: "method", textContent: operation.method });
    method.dataset.changes = String(operation.method !== "GET");
    const path = make("span", { className: "path", textContent: operation.path });
    const what = make("span", { className: "what", textContent: operation.summary });
    const inside = make("div", { className: "inside" });
    const endpoint = make("details", { className: "endpoint" }, make("summary", {}, method, path, what), inside);
    endpoint.addEventListener("toggle", () => inside.childElementCount || inside.append(...this.#parts(operation)));
    return endpoint;
  }

  #parts(operation) {
    const parts = [];
    if (operation.description) parts.push(make("p", { textContent: operation.description }));
    parts.push(make("p", {}, "Scope: ", make("code", { textContent: operation["x-scope"] ?? "none" })));
    if (operation.parameters?.length) parts.push(section("Parameters", table(operation.parameters.map(parameterRow))));
    const body = operation.requestBody?.content["application/json"]?.schema;
    if (body) parts.push(section("Body", this.#fields(body)));
    const answer = operation.responses["200"]?.content?.["application/json"]?.schema;
    if (answer) parts.push(section("Answer", this.#fields(answer)));
    parts.push(section("Refusals", table(refusalRows(operation.responses))));
    if (operation.method === "GET") parts.push(tryForm(operation));
    return parts;
  }

  #fields(schema, seen = []) {
    const { properties, required = [], name } = this.#resolved(schema);
    if (!properties) return make("p", {}, make("code", { textContent: this.#words(schema) }));
    const rows = Object.entries(properties).map(([field, inner]) => {
      const words = make("td", {}, make("code", { textContent: this.#words(inner) }));
      const description = inner.description ?? "";
      if (description) words.append(` ${description}`);
      const below = this.#named(inner).filter((each) => each !== name && !seen.includes(each));
      for (const each of below) {
        const more = make("details", {}, make("summary", { textContent: each }));
        more.append(this.#fields(this.schemas[each], [...seen, name, ...below]));
        words.append(more);
      }
      return [make("code", { textContent: field }), required.includes(field) ? "" : "optional", words];
    });
    return table(rows);
  }

  #resolved(schema) {
    const [name] = this.#named(schema);
    return schema.$ref && name ? { ...this.schemas[name], name } : schema;
  }

  /** Names of the structs that a type speaks of. */
  #named(schema) {
    const refs = JSON.stringify(schema.properties ? {} : schema).matchAll(/#\/components\/schemas\/([\w-]+)/g);
    return [...new Set([...refs].map(([, name]) => name))];
  }

  #words(schema) {
    if (schema.$ref) return schema.$ref.split("/").at(-1);
    if (schema.oneOf) return schema.oneOf.map((each) => this.#words(each)).join(" or ");
    if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(" or ");
    if (schema.type === "array") return `list of ${this.#words(schema.items ?? {})}`;
    return [[schema.type ?? "anything"].flat().join(" or "), bounds(schema)].filter(Boolean).join(", ");
  }
}

function bounds({ minimum, maximum, minLength, maxLength }) {
  const [low, high] = [minimum ?? minLength, maximum ?? maxLength];
  if (low === undefined && high === undefined) return "";
  const unit = minLength ?? maxLength ? " characters" : "";
  return `${low ?? "up"} to ${high ?? "any"}${unit}`;
}

function parameterRow({ name, in: where, required, description, schema }) {
  const words = [schema.type, bounds(schema), schema.default !== undefined && `default ${schema.default}`];
  const value = make("td", {}, make("code", { textContent: words.filter(Boolean).join(", ") }), ` ${description ?? ""}`);
  return [make("code", { textContent: name }), required ? where : `${where}, optional`, value];
}

function refusalRows(responses) {
  return Object.entries(responses)
    .filter(([status]) => status >= "400")
    .map(([status, { description }]) => [status, make("td", {}, ...marked(description))]);
}

/** Text with what stands in backquotes as code. */
function marked(text) {
  return text.split("`").map((part, n) => (n % 2 ? make("code", { textContent: part }) : part));
}

function section(title, ...content) {
  return make("div", {}, make("h3", { textContent: title }), ...content);
}

function table(rows) {
  const cell = (content) => (content instanceof HTMLTableCellElement ? content : make("td", {}, content));
  return make("table", {}, ...rows.map((cells) => make("tr", {}, ...cells.map(cell))));
}

// Trying.
function tryForm({ path, parameters = [] }) {
  const inputs = parameters.filter((each) => each.in !== "header").map((each) => [each, make("input", { name: each.name })]);
  const fields = inputs.map(([{ name, required }, input]) => {
    input.required = required;
    input.autocomplete = "off";
    return make("label", {}, name, input);
  });
  const answer = make("pre", { className: "answer", hidden: true, tabIndex: 0 });
  const form = make("form", { className: "try" }, make("h3", { textContent: "Try" }));
  form.append(make("div", { className: "fields" }, ...fields), make("button", { textContent: "Send" }), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    event.submitter.disabled = true;
    answer.textContent = await tried(path, inputs);
    answer.hidden = false;
    event.submitter.disabled = false;
  });
  return form;
}

async function tried(path, inputs) {
  const query = new URLSearchParams();
  for (const [{ name, in: where }, { value }] of inputs) {
    if (where === "path") path = path.replace(`{${name}}`, encodeURIComponent(value));
    else if (value) query.set(name, value);
  }
  const key = $("key").value.trim();
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  try {
    const options = { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) };
    const given = await fetch(query.size ? `${path}?${query}` : path, options);
    return `${given.status} ${given.statusText}\n\n${pretty(await given.text())}`;
  } catch {
    return "The server has not answered.";
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

$("try-with").addEventListener("submit", (event) => event.preventDefault());
try {
  new Page(await (await fetch(DOCUMENT)).json()).draw();
} catch {
  $("problem").textContent = "The description of the API could not be loaded. Load this page again.";
}
$("endpoints").setAttribute("aria-busy", "false");
