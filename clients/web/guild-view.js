// Draws the guild's side of the page.

import { $, arrange, avatar, make } from "./elements.js";
import { RANKS } from "./guild.js";

/** `guild` is the id of the player's guild, null for none, undefined before the server has said; `view` its view. */
export function drawGuild(guild, view, me) {
  $("no-guild").hidden = guild !== null;
  $("in-guild").hidden = !guild || !view;
  if (!guild || !view) return;
  $("guild-title").textContent = view.name;
  $("guild-motd").textContent = view.motd ?? "";
  $("member-count").textContent = `${view.members.length}`;
  const members = [...view.members].sort((a, b) => RANKS.indexOf(a.role) - RANKS.indexOf(b.role));
  arrange($("roster"), members.map((member) => memberElement(member, me)));
}

function memberElement({ id, name, role }, me) {
  const item = make("li");
  item.dataset.player = id;
  item.append(avatar(id, name), make("b", { textContent: name }));
  if (id === me) item.append(make("i", { textContent: "you" }));
  if (role !== "member") item.append(make("span", { className: "role", textContent: role }));
  return item;
}
