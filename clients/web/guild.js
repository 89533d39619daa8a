// The guild's view, kept up to date by its events: the twin of actors/guild/view.py, for what this page shows.

export const RANKS = ["leader", "officer", "member"];

/** Bring `view` up to date; with every event after it, in order, it equals a fresh one. */
export function apply(view, event) {
  switch (event.t) {
    case "guild.founded":
      view.name = event.name;
      break;
    case "guild.member_joined":
      view.members.push({ id: event.player, name: event.name, role: "member", joined_at: event.at });
      break;
    case "guild.member_left":
      view.members = view.members.filter((member) => member.id !== event.player);
      break;
    case "guild.role_changed":
      setRole(view, event.player, event.role);
      break;
    case "guild.leader_changed":
      setRole(view, view.leader, "officer");
      setRole(view, event.player, "leader");
      view.leader = event.player;
      break;
    case "guild.motd_changed":
      view.motd = event.motd;
      break;
    case "guild.edited":
      view.description = event.description ?? "";
      break;
    case "guild.disbanded":
      view.disbanded = true;
      break;
  }
}

function setRole(view, player, role) {
  for (const member of view.members) if (member.id === player) member.role = role;
}
