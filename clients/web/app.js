// The demo page: a game client in a browser, over the same protocol as every other. See session.js for the wire.

import { Announcements } from "./announcements.js";
import { ArenaPanel } from "./arena-panel.js";
import { ChatView } from "./chat-view.js";
import { Conversation } from "./conversation.js";
import { $, drawBadge } from "./elements.js";
import { attempt, submitted } from "./forms.js";
import { drawGuild } from "./guild-view.js";
import { apply } from "./guild.js";
import { InboxPanel } from "./inbox-panel.js";
import { setClock } from "./server-clock.js";
import { Session } from "./session.js";
import { store } from "./store.js";
import { Tabs } from "./tabs.js";
import { closedWords, errorWords, listed, stateWords } from "./words.js";

const LOBBY = "room:lobby";
const PAGE = 50; // lines that "load earlier" brings
const TYPING_MS = 3_000; // how often others are told that somebody writes
const TYPING_SHOWN_MS = 4_500;

class Hall {
  #conversations = new Map(); // channel to Conversation
  #typing = new Map(); // player to {name, until, channel}
  #typed = 0;
  #shown = LOBBY;

  constructor(name) {
    this.name = name;
    this.guild = undefined; // id; null: none; undefined: not known yet
    this.view = null;
    this.session = new Session({ token: `dev:${name}`, findUrl, store });
    this.chat = new ChatView({
      earlier: () => this.#loadEarlier(),
      retry: (op) => this.#retry(op),
      dismiss: (op) => this.#dismiss(op),
    });
    this.chat.me = name;
    this.tabs = new Tabs((which) => this.#open(which === "guild" ? this.#guildChannel : LOBBY));
    this.session.addEventListener("welcome", ({ detail }) => setClock(detail.now)); // before any part hears of it
    this.parts = [new InboxPanel(this.session), new ArenaPanel(this.session), new Announcements(this.session, store)];
    for (const { id, t, fields, at } of this.session.kept) if (t === "chat.send") this.#wait(id, fields, at);
    this.#listen();
    $("me").textContent = name;
    this.#drawGuild();
    this.#open(LOBBY);
    this.session.connect();
  }

  #listen() {
    const on = (type, hear) => this.session.addEventListener(type, ({ detail }) => hear(detail));
    on("state", (facts) => this.#drawState(facts));
    on("welcome", (welcome) => this.#welcomed(welcome));
    on("event", (event) => this.#happened(event));
    on("moved", (moved) => this.#moved(moved));
    on("settled", (settled) => this.#settled(settled));
  }

  #conversation(channel) {
    let found = this.#conversations.get(channel);
    if (!found) this.#conversations.set(channel, (found = new Conversation(channel)));
    return found;
  }

  // What the server says.
  #welcomed({ player, state }) {
    this.chat.me = this.name = player;
    this.#seat(state?.seat?.guild ?? null);
    for (const channel of [LOBBY, this.#guildChannel]) this.#join(channel);
  }

  get #guildChannel() {
    return this.guild ? `guild:${this.guild}` : null;
  }

  #join(channel) {
    const conversation = channel && this.#conversation(channel);
    if (!conversation || conversation.joined || conversation.joining) return;
    conversation.joining = true;
    this.session.request("chat.join", { channel });
  }

  /** The player's place is in `guild` now, or in none (null). */
  #seat(guild) {
    if (guild === this.guild) return;
    const before = this.#guildChannel;
    this.guild = guild;
    this.view = null;
    if (before) {
      this.session.unfollow(`guild:${before.slice(6)}`);
      this.session.unfollow(`chat:${before}`);
      this.#conversations.delete(before);
      if (this.#shown === before) this.#open(LOBBY);
    }
    if (guild && this.session.state === "online") {
      this.session.request("guild.watch", { guild });
      this.#join(this.#guildChannel);
    }
    this.#drawGuild();
  }

  #happened(event) {
    if (event.t === "chat.message") this.#heard(event);
    else if (event.t === "chat.message_deleted") this.#removed(event);
    else if (event.t === "chat.typing_shown") this.#showTyping(event);
    else if (event.t === "guild.seat_changed") this.#seat(event.guild ?? null);
    else if (this.view && event.topic === `guild:${this.guild}`) {
      apply(this.view, event);
      this.#drawGuild();
    }
  }

  #heard(line) {
    const channel = line.topic.slice("chat:".length);
    const conversation = this.#conversation(channel);
    if (!conversation.take(line)) return;
    if (channel !== this.#shown || !this.tabs.showsChat) conversation.unread += 1;
    if (this.#typing.delete(line.from.id)) this.#drawTyping();
    this.#draw(conversation);
  }

  #removed({ topic, deleted }) {
    const conversation = this.#conversation(topic.slice("chat:".length));
    conversation.remove(deleted);
    this.#draw(conversation);
  }

  #moved({ topic, status }) {
    if (topic === `guild:${this.guild}` && status === "reset") {
      this.session.request("guild.watch", { guild: this.guild });
    } else if (topic.startsWith("chat:")) {
      const conversation = this.#conversation(topic.slice("chat:".length));
      conversation.clear();
      if (status === "reset") this.#join(conversation.channel);
      this.#draw(conversation);
    }
  }

  #settled({ id, t, fields, reply, error }) {
    if (t === "chat.send" && error) this.#notSent(id, fields, error);
    else if (error) this.#refused(t, fields, error);
    else if (t === "chat.send") this.#conversation(fields.channel).sent(id, reply.seq);
    else if (t === "chat.join") this.#conversation(fields.channel).open(reply);
    else if (t === "chat.history") this.#conversation(fields.channel).prepend(reply);
    else if (t === "guild.watch" && fields.guild === this.guild) this.view = reply.guild;
    else if (t === "guild.create" || t === "guild.join") this.#seat(reply.guild);
    else if (t === "guild.leave") this.#seat(null);
    if (t.startsWith("guild.")) this.#drawGuild();
    else if (fields.channel) this.#draw(this.#conversation(fields.channel));
  }

  #refused(t, { channel }, error) {
    if (t === "chat.join") this.#conversation(channel).joining = false;
    if (t === "guild.watch" || t === "chat.typing") return;
    if (t.startsWith("guild.")) $("guild-error").textContent = errorWords(error);
    else if (channel === this.#shown) $("chat-error").textContent = errorWords(error);
  }

  // What the player does.
  say(text) {
    const channel = this.#shown;
    const options = { keep: true, lane: channel };
    const { id, fields, at } = this.session.request("chat.send", { channel, text }, options);
    this.#wait(id, fields, at);
    this.#typed = 0;
    this.#draw(this.#conversation(channel));
    this.chat.toEnd();
  }

  #wait(op, { channel, text }, at) {
    this.#conversation(channel).waiting.set(op, { op, text, at });
  }

  #notSent(op, { channel }, error) {
    const line = this.#conversation(channel).waiting.get(op);
    if (line) line.error = errorWords(error);
  }

  #retry(op) {
    const line = this.#dismiss(op);
    if (line) attempt("chat-error", () => this.say(line.text));
  }

  #dismiss(op) {
    const conversation = this.#conversation(this.#shown);
    const line = conversation.waiting.get(op);
    conversation.waiting.delete(op);
    this.#draw(conversation);
    return line;
  }

  typing() {
    const now = performance.now();
    if (this.session.state !== "online" || (this.#typed && now - this.#typed < TYPING_MS)) return;
    this.#typed = now;
    this.session.request("chat.typing", { channel: this.#shown });
  }

  async #loadEarlier() {
    const { channel, before } = this.#conversation(this.#shown);
    $("earlier").disabled = true;
    await this.session.ask("chat.history", { channel, limit: PAGE, ...(before && { before }) }).catch(() => {});
    $("earlier").disabled = false;
  }

  async create(name) {
    await this.session.request("guild.create", { name }, { keep: true }).answer;
  }

  async join(name) {
    const { guild } = await this.session.ask("guild.find", { name });
    await this.session.request("guild.join", { guild }, { keep: true }).answer;
  }

  async leave() {
    await this.session.request("guild.leave", {}, { keep: true }).answer;
  }

  // What is shown.
  #open(channel) {
    this.#shown = channel;
    const conversation = this.#conversation(channel);
    conversation.unread = 0;
    $("chat-error").textContent = "";
    $("empty").textContent = channel === LOBBY ? "Nobody has said anything here yet." : "Say hello to your guild.";
    this.tabs.channel = channel === LOBBY ? "lobby" : "guild";
    this.chat.show(conversation);
    this.#draw(conversation);
    this.#drawTyping();
  }

  #draw(conversation) {
    const { channel, joined } = conversation;
    if (channel === this.#shown) {
      this.chat.draw();
      const guild = channel !== LOBBY;
      $("channel-title").textContent = guild ? (this.view?.name ?? "Guild chat") : "Lobby";
      $("channel-note").textContent = guild ? "Only members hear this." : "Everyone can hear this.";
      $("text").placeholder = guild ? "Say something to your guild" : "Say something to everyone";
      $("scroll").setAttribute("aria-busy", String(!joined));
    }
    this.#drawTabs();
  }

  #drawTabs() {
    const channels = { lobby: LOBBY, guild: this.#guildChannel };
    for (const tab of document.querySelectorAll("nav [data-channel]")) {
      const channel = channels[tab.dataset.channel];
      const unread = (channel && this.#conversations.get(channel)?.unread) || 0;
      tab.disabled = !channel;
      drawBadge(tab.querySelector(".badge"), unread, "new");
    }
  }

  #drawGuild() {
    drawGuild(this.guild, this.view, this.name);
    this.#draw(this.#conversation(this.#shown));
  }

  #drawState(facts) {
    $("state").textContent = stateWords(facts);
    $("state").dataset.state = facts.state;
    $("banner").hidden = facts.state !== "blocked";
    if (facts.state === "blocked") $("banner").firstElementChild.textContent = closedWords(facts.code, facts.reason);
    if (facts.state !== "online") this.#typing.clear();
    this.#drawTyping();
  }

  #showTyping({ from, topic }) {
    if (from.id === this.name) return;
    this.#typing.set(from.id, { name: from.name, channel: topic.slice(5), until: performance.now() + TYPING_SHOWN_MS });
    this.#drawTyping();
    setTimeout(() => this.#drawTyping(), TYPING_SHOWN_MS + 50);
  }

  #drawTyping() {
    for (const [player, { until }] of this.#typing) if (until < performance.now()) this.#typing.delete(player);
    const here = [...this.#typing.values()].filter(({ channel }) => channel === this.#shown);
    $("typing").textContent = listed(here.map(({ name }) => name));
  }
}

/** Where the gateway listens now. */
async function findUrl() {
  const answer = await fetch("/v1/config", { cache: "no-store", signal: AbortSignal.timeout(5_000) });
  const { gateway_port: port } = await answer.json();
  if (!answer.ok || !port) throw new Error("the server is starting");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  return `${scheme}://${location.hostname}:${port}/ws`;
}

let hall = null;

function enter(name) {
  store.set("name", name);
  document.title = `${name} · Guildhall`;
  $("door").hidden = true;
  $("hall").hidden = false;
  hall = new Hall(name);
}

function say() {
  const text = $("text").value.trim();
  if (!text) return;
  attempt("chat-error", () => {
    hall.say(text);
    $("text").value = "";
    fit();
  });
}

/** The composer grows with its text, up to what style.css allows. */
function fit() {
  $("text").style.height = "auto";
  $("text").style.height = `${$("text").scrollHeight + 2}px`;
}

submitted("sign-in", "sign-in-error", enter);
submitted("create", "guild-error", (name) => hall.create(name));
submitted("join", "guild-error", (name) => hall.join(name));
$("leave").addEventListener("click", ({ target }) => attempt("guild-error", () => hall.leave(), target));
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  say();
});
$("text").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});
$("text").addEventListener("input", () => {
  fit();
  if ($("text").value) hall.typing();
});
$("banner").querySelector("button").addEventListener("click", () => hall.session.connect());
$("sign-out").addEventListener("click", () => {
  store.clear();
  location.reload();
});
addEventListener("online", () => hall?.session.hurry());
document.addEventListener("visibilitychange", () => document.hidden || hall?.session.hurry());

const name = store.get("name");
if (typeof name === "string" && name) {
  enter(name);
} else {
  $("door").hidden = false;
  $("name").focus();
}
