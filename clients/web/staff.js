// The staff page: signed in by a key, over the same HTTP endpoints as a game's own servers. See staff-api.js.

import { $ } from "./elements.js";
import { Api, Problem } from "./staff-api.js";
import { AnnouncementSection } from "./staff-announcements.js";
import { AuditSection } from "./staff-audit.js";
import { LimitSection } from "./staff-limits.js";
import { NodeSection } from "./staff-nodes.js";
import { PlayerSection } from "./staff-players.js";
import { problemWords } from "./staff-words.js";
import { store } from "./store.js";

const KEY = "staff-key";
const SECTIONS = {
  nodes: NodeSection,
  announcements: AnnouncementSection,
  players: PlayerSection,
  limits: LimitSection,
  audit: AuditSection,
};

function enter(key) {
  const api = new Api(key, leave);
  const sections = Object.fromEntries(Object.entries(SECTIONS).map(([name, Section]) => [name, new Section(api)]));
  const open = () => show(sections, location.hash.slice(1));
  for (const tab of document.querySelectorAll("[data-section]")) {
    tab.addEventListener("click", () => {
      location.hash = tab.dataset.section;
    });
  }
  addEventListener("hashchange", open);
  $("door").hidden = true;
  $("office").hidden = false;
  open();
}

/** Show one section; those that are not shown ask the server nothing. */
function show(sections, wanted) {
  const name = wanted in SECTIONS ? wanted : "nodes";
  for (const [each, section] of Object.entries(sections)) {
    $(each).hidden = each !== name;
    if (each !== name) section.close();
  }
  for (const tab of document.querySelectorAll("[data-section]")) {
    tab.setAttribute("aria-current", String(tab.dataset.section === name));
  }
  sections[name].open();
}

/** Forget the key; `problem` is why, where it is not the person's wish. */
function leave(problem = null) {
  store.drop(KEY);
  if (problem) store.set("staff-problem", problemWords(problem));
  location.reload(); // with everything that was shown
}

/** A key is good when the server knows it, whatever it may do. */
async function signIn(key) {
  try {
    await new Api(key, () => {}).show("/v1/nodes");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    if (problem.status !== 403) return problemWords(problem);
  }
  store.set(KEY, key);
  enter(key);
  return "";
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter;
  button.disabled = true;
  $("sign-in-error").textContent = "";
  $("sign-in-error").textContent = await signIn($("key").value.trim());
  $("key").value = "";
  button.disabled = false;
  if ($("sign-in-error").textContent) $("key").focus();
});
$("sign-out").addEventListener("click", () => leave());

const key = store.get(KEY);
if (typeof key === "string" && key) {
  enter(key);
} else {
  $("sign-in-error").textContent = store.get("staff-problem") ?? "";
  store.drop("staff-problem");
  $("door").hidden = false;
  $("key").focus();
}
