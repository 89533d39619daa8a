// What is told to people, in plain words.

const ERRORS = {
  "account.banned": "This player is banned.",
  "auth.invalid": "The server does not accept this name. Use letters, digits and . _ ~ - only.",
  "auth.expired": "Your sign-in has expired. Please sign in again.",
  "chat.full": "This room is full.",
  "chat.muted": "You are muted: you can read, but not write.",
  "chat.not_member": "You are not a member of this channel.",
  "chat.not_allowed": "This conversation belongs to other players.",
  "client.not_a_score": "A score is a whole number.",
  "client.too_many_pending": "Too much is waiting to be sent. Wait until the connection is back.",
  "guild.already_member": "You are in a guild already. Leave it first.",
  "guild.banned": "This guild has banned you.",
  "guild.full": "This guild is full.",
  "guild.invite_only": "This guild takes members by invitation only.",
  "guild.name_not_allowed": "A guild's name has 3 to 24 letters, digits, single spaces or - _ ' . and is not a reserved word.",
  "guild.name_taken": "A guild of this name, or one that looks like it, exists already.",
  "guild.needs_request": "This guild takes members by application only.",
  "guild.not_found": "There is no guild of this name.",
  "guild.not_member": "You are not a member of this guild.",
  "internal": "The server made a mistake. It has been logged.",
  "leaderboard.closed": "Players cannot submit scores here.",
  "leaderboard.ended": "This leaderboard has ended.",
  "leaderboard.frozen": "This leaderboard takes no scores for now.",
  "leaderboard.not_found": "There is no such leaderboard.",
  "leaderboard.out_of_bounds": "This score is not within the bounds of the leaderboard.",
  "protocol.invalid": "The server did not understand that.",
  "rate.limited": "That was too fast. Wait a moment.",
  "request.id_reused": "This was sent before with another text. Say it again.",
  "request.too_old": "This has waited too long to be sent safely. Say it again.",
  "topic.not_readable": "You may not read this.",
  "unavailable": "The server cannot answer right now.",
};

const CLOSED = {
  4500: "The server closed the connection: it did not understand this page.",
  4501: "The server does not accept this sign-in.",
  4502: "This player is banned.",
  4503: "This player is signed in with too many windows. This one was closed.",
  4504: "This page is too old for the server. Reload it.",
  4505: "This page and the server have no version of the protocol in common.",
  4506: "An operator has closed this session.",
};

export function errorWords({ code = "", trace = "" }) {
  const known = ERRORS[code];
  if (known && code !== "internal") return known;
  return `${known ?? `That did not work (${code || "unknown reason"}).`}${trace ? ` Trace: ${trace}.` : ""}`;
}

export function closedWords(code, reason) {
  return ERRORS[reason] ?? CLOSED[code] ?? "The server has ended this session.";
}

export function stateWords({ state, retryInMs }) {
  switch (state) {
    case "online":
      return "Online";
    case "resuming":
      return "Signing in…";
    case "connecting":
      return "Connecting…";
    case "blocked":
      return "Signed out";
    default:
      return retryInMs === undefined ? "Offline" : "Connection lost, trying again";
  }
}

export function listed(names) {
  if (names.length > 2) return "Several people are writing…";
  return names.length ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} writing…` : "";
}
