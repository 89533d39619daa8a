"""A server in miniature that keeps every promise, and the history that its clients would write.

A test makes it break one: it calls the parts out of order, or changes the records afterwards.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from msgspec import Struct, structs

from loadtest.history import (
    Answered,
    AnyRecord,
    Asked,
    BoardEntry,
    Committed,
    Final,
    FinalBoard,
    Heard,
    LedgerRow,
    Logged,
    Lost,
    TopicLog,
    Welcomed,
)

Message = dict[str, Any]
EPOCH = "e1"
ROOM = "chat:room:raid"


class Device:
    """A client: what it follows, up to where it has heard it."""

    def __init__(self, player: str, session: str) -> None:
        self.player = player
        self.session = session
        self.live = False
        self.places: dict[str, int] = {}
        self.unsaid: list[tuple[str, Message, Message]] = []
        """(op, request, reply) of answers that were lost."""


class World:
    """What is true, and what was seen of it."""

    def __init__(self) -> None:
        self.history: list[AnyRecord] = []
        self.logs: dict[str, list[Logged]] = {"announce": []}
        self.devices: list[Device] = []
        self.members: dict[str, set[str]] = {"room:raid": set()}
        self.rosters: dict[str, list[str]] = {}
        self.seats: dict[str, str | None] = {}
        self.ledger: list[LedgerRow] = []
        self.balances: dict[str, dict[str, int]] = {}
        self.scores: dict[str, tuple[int, int]] = {}
        """Best score and its moment, by player."""
        self._versions: dict[str, int] = {}
        self._owners: dict[str, int] = {}
        self._ops = 0
        self._now = 1_000

    # Parts.
    def tick(self) -> int:
        """The time; each call is later."""
        self._now += 1
        return self._now

    def op(self) -> str:
        """A request id that was never used."""
        self._ops += 1
        return f"a1-{self._ops}"

    def ask(self, device: Device, request: Message, op: str = "") -> str:
        """A request leaves; returns its id."""
        op = op or self.op()
        self.history.append(Asked(self.tick(), device.player, device.session, op, {**request, "id": op}))
        return op

    def answer(self, device: Device, op: str, reply: Message) -> None:
        """An answer arrives."""
        self.history.append(Answered(self.tick(), device.player, device.session, op, {**reply, "re": op}))

    def refuse(self, device: Device, op: str, code: str, retry: str = "never") -> None:
        """An error arrives."""
        self.answer(device, op, {"t": "error", "code": code, "message": "", "retry": retry, "trace": f"t{self._now}"})

    def commit(self, actor: str, events: Sequence[tuple[str, int]] = ()) -> None:
        """The actor's next commit."""
        fence = self._owners.setdefault(actor, 1)
        self._versions[actor] = self._versions.get(actor, 0) + 1
        node = f"n{fence}"
        self.history.append(Committed(self.tick(), node, actor, fence, self._versions[actor], list(events)))

    def take_over(self, actor: str) -> None:
        """Another node owns the actor from here on."""
        self._owners[actor] = self._owners.get(actor, 1) + 1

    def publish(self, topic: str, event: Message, player: str = "", op: str = "") -> Logged:
        """An event is committed, and heard by everybody who follows and is there."""
        log = self.logs.setdefault(topic, [])
        seq = len(log) + 1
        part = sum(e.op == op and e.player == player for e in log) if op else 0
        logged = Logged(seq, {**event, "topic": topic, "seq": seq, "at": self.tick()}, player, op, part)
        log.append(logged)
        self.commit(topic.removeprefix("chat:"), [(topic, seq)])
        for device in self.devices:
            if device.live and topic in device.places:
                self.hear(device, logged)
                if event["t"] in {"guild.member_left", "chat.member_left"} and event["player"] == device.player:
                    del device.places[topic]
        return logged

    def hear(self, device: Device, logged: Logged) -> None:
        """A device hears the next event."""
        topic = logged.event["topic"]
        self.history.append(Heard(self.tick(), device.player, device.session, as_heard(logged.event)))
        device.places[topic] = logged.seq

    # Connections.
    def sign_in(self, player: str, session: str = "phone") -> Device:
        """A device comes for the first time."""
        device = Device(player, session)
        self.devices.append(device)
        self.seats.setdefault(player, None)
        self.connect(device)
        return device

    def connect(self, device: Device) -> None:
        """A device comes, or comes back and hears what it has missed; what was not answered it asks again."""
        cursors = {topic: [EPOCH, seq] for topic, seq in device.places.items()}
        known = max((d.places.get("announce", 0) for d in self.devices if d.player == device.player), default=0)
        topics: dict[str, Message] = {}
        for topic in {f"player:{device.player}": 0, "announce": 0, **cursors}:
            if topic.startswith("guild:") and device.player not in self.rosters[topic.removeprefix("guild:")]:
                topics[topic] = {"status": "gone"}
                del device.places[topic]
                continue
            seq = known if topic == "announce" and topic not in cursors else len(self.logs.get(topic, ()))
            topics[topic] = {"epoch": EPOCH, "seq": seq, "status": "resumed" if topic in cursors else "reset"}
        welcome = {"t": "welcome", "session": "s", "player": device.player, "now": self.tick(), "topics": topics}
        resume = {"session": "s", "cursors": cursors} if cursors else None
        self.history.append(Welcomed(self._now, device.player, device.session, welcome, resume))
        device.live = True
        for topic, place in topics.items():
            if place["status"] != "gone":
                device.places.setdefault(topic, place["seq"])
                for logged in self.logs.get(topic, [])[device.places[topic] :]:
                    self.hear(device, logged)
        for op, request, reply in device.unsaid:
            self.ask(device, request, op)
            self.answer(device, op, reply)
        device.unsaid.clear()

    def lose(self, device: Device) -> None:
        """The connection breaks."""
        self.history.append(Lost(self.tick(), device.player, device.session))
        device.live = False

    # Whole requests.
    def join(self, device: Device, channel: str = "room:raid") -> None:
        """Become a member and follow."""
        op = self.ask(device, {"t": "chat.join", "channel": channel})
        topic = f"chat:{channel}"
        seq = len(self.logs.setdefault(topic, []))
        self.answer(
            device, op, {"t": "chat.joined", "channel": channel, "epoch": EPOCH, "seq": seq, "recent": [], "members": 1}
        )
        self.members.setdefault(channel, set()).add(device.player)
        device.places[topic] = seq

    def line(self, device: Device, op: str, text: str, channel: str = "room:raid") -> Logged:
        """A line is committed and heard."""
        event = {"t": "chat.message", "op": op, "from": {"id": device.player, "name": device.player}, "text": text}
        return self.publish(f"chat:{channel}", event, device.player, op)

    def say(self, device: Device, text: str, channel: str = "room:raid", *, lost: bool = False) -> str:
        """Say a line; with ``lost`` the connection breaks before the answer."""
        request = {"t": "chat.send", "channel": channel, "text": text}
        op = self.ask(device, request)
        if device.player not in self.members[channel]:
            self.refuse(device, op, "chat.not_member")
            return op
        logged = self.line(device, op, text, channel)
        reply = sent(logged)
        if lost:
            self.lose(device)
            device.unsaid.append((op, request, reply))
        else:
            self.answer(device, op, reply)
        return op

    def found(self, device: Device, guild: str) -> None:
        """Found a guild and watch it."""
        op = self.ask(device, {"t": "guild.create", "name": guild})
        self.publish(f"guild:{guild}", {"t": "guild.founded", "name": guild, "mode": "open"})
        self._let_in(device.player, guild)
        self.publish(f"guild:{guild}", {"t": "guild.leader_changed", "player": device.player, "by": device.player})
        self.answer(device, op, {"t": "guild.created", "guild": guild, "name": guild})
        self.watch(device, guild)

    def enter(self, device: Device, guild: str) -> None:
        """Join a guild and watch it."""
        op = self.ask(device, {"t": "guild.join", "guild": guild})
        self._let_in(device.player, guild)
        self.answer(device, op, {"t": "guild.joined", "guild": guild, "name": guild})
        self.watch(device, guild)

    def watch(self, device: Device, guild: str) -> None:
        """Follow the guild."""
        op = self.ask(device, {"t": "guild.watch", "guild": guild})
        topic = f"guild:{guild}"
        seq = len(self.logs[topic])
        reply = {"t": "guild.watched", "guild": {"guild": guild}, "topic": topic, "epoch": EPOCH, "seq": seq}
        self.answer(device, op, reply)
        device.places[topic] = seq

    def leave(self, device: Device) -> None:
        """Leave the own guild."""
        op = self.ask(device, {"t": "guild.leave"})
        guild = self.seats[device.player]
        assert guild is not None
        self.let_go(device.player, guild, "left", device.player)
        self.answer(device, op, {"t": "guild.left", "guild": guild})

    def kick(self, device: Device, player: str) -> None:
        """Remove a member."""
        guild = self.seats[device.player]
        assert guild is not None
        op = self.ask(device, {"t": "guild.kick", "guild": guild, "player": player})
        self.let_go(player, guild, "kicked", device.player, op)
        self.answer(device, op, {"t": "guild.kicked", "guild": guild, "player": player})

    def _let_in(self, player: str, guild: str) -> None:
        self.publish(f"guild:{guild}", {"t": "guild.member_joined", "player": player, "name": player})
        self.rosters.setdefault(guild, []).append(player)
        self.publish(f"player:{player}", {"t": "guild.seat_changed", "guild": guild})
        self.seats[player] = guild

    def let_go(self, player: str, guild: str, reason: str, by: str, op: str = "") -> None:
        """End a membership."""
        left = {"t": "guild.member_left", "player": player, "by": by, "reason": reason}
        self.publish(f"guild:{guild}", left, by if op else "", op)
        self.rosters[guild].remove(player)
        self.publish(f"player:{player}", {"t": "guild.seat_changed", "guild": None, "left": guild, "reason": reason})
        self.seats[player] = None

    def grant(self, player: str, amount: int) -> None:
        """Have staff make some gold."""
        staff = Device("staff", "")
        fields = {"player": player, "currency": "gold", "amount": amount}
        op = self.ask(staff, {"t": "wallet.grant", **fields})
        self.move(LedgerRow(player, "gold", amount, "granted", "", "staff", op))
        self.answer(staff, op, {"t": "wallet.granted", **fields, "balance": self.balances[player]["gold"], "entry": 1})

    def move(self, row: LedgerRow) -> None:
        """Write a row."""
        self.ledger.append(row)
        account = self.balances.setdefault(row.owner, {})
        account[row.currency] = account.get(row.currency, 0) + row.amount
        if row.kind != "opening":
            changed = {"t": "wallet.changed", "currency": row.currency, "delta": row.amount, "reason": row.kind}
            self.publish(f"player:{row.owner}", {**changed, "balance": account[row.currency]})

    def gift(self, device: Device, to: str, amount: int, *, answered: bool = True) -> str:
        """Give gold away."""
        op = self.ask(device, {"t": "wallet.give", "to": to, "currency": "gold", "amount": str(amount)})
        if self.balances.get(device.player, {}).get("gold", 0) < amount:
            self.refuse(device, op, "wallet.insufficient")
            return op
        pair = f"{device.player}/{op}"
        self.move(LedgerRow(device.player, "gold", -amount, "gift_sent", pair, device.player, op))
        self.move(LedgerRow(to, "gold", amount, "gift_received", pair))
        if answered:
            self.answer(device, op, {"t": "wallet.given", "to": to, "currency": "gold", "amount": amount})
        return op

    def submit(self, device: Device, score: int, *, answered: bool = True) -> None:
        """Submit a score to the arena, where the best counts."""
        op = self.ask(device, {"t": "leaderboard.submit", "board": "arena", "score": score})
        before = self.scores.get(device.player)
        if before is None or score > before[0]:
            self.scores[device.player] = (score, self.tick())
            self.commit(f"player:{device.player}")
        if answered:
            best = self.scores[device.player][0]
            improved = before is None or score > before[0]
            self.answer(
                device, op,
                {"t": "leaderboard.submitted", "board": "arena", "period": "all", "score": best, "subscore": 0,
                 "rank": 1, "improved": improved},
            )  # fmt: skip

    # Staff.
    def announce(self, name: str, players: Sequence[str] | None = None) -> None:
        """Announce to everybody, or into inboxes."""
        staff = Device("staff", "")
        request: Message = {"t": "announcement.make", "text": {"en": name, "de": name.upper()}}
        if players is not None:
            request["audience"] = {"players": list(players)}
        op = self.ask(staff, request)
        if players is None:
            self.cry(name)
        for player in players or ():
            data = {"announcement": name}
            notice = {"t": "inbox.notice", "kind": "announcement", "title": "", "body": name, "data": data}
            self.publish(f"player:{player}", notice)
        state = "live" if players is None else "sending"
        made = {"t": "announcement.made", "announcement": name, "state": state, "at": self._now, "expires_at": 10**9}
        self.answer(staff, op, made)

    def cry(self, name: str) -> None:
        """The event of an announcement to everybody."""
        texts = {"en": name, "de": name.upper()}
        event = {"t": "announce.announced", "announcement": name, "texts": texts, "expires_at": 10**9}
        self.publish("announce", event)

    def notify(self, player: str, title: str) -> None:
        """Send a notice."""
        staff = Device("staff", "")
        content = {"kind": "gift", "title": title, "body": ""}
        op = self.ask(staff, {"t": "inbox.deliver", "player": player, "notice": f"key of {title}", **content})
        logged = self.publish(f"player:{player}", {"t": "inbox.notice", **content})
        self.answer(staff, op, {"t": "inbox.delivered", "seq": logged.seq, "at": logged.event["at"]})

    # The end.
    def finals(self) -> list[Final]:
        """What is true now."""
        order = sorted(self.scores.items(), key=lambda item: (-item[1][0], item[1][1]))
        entries = [BoardEntry(n, player, score, 0, at) for n, (player, (score, at)) in enumerate(order, start=1)]
        values: list[tuple[str, Any]] = [
            *(("topic", TopicLog(topic, EPOCH, len(log), list(log))) for topic, log in self.logs.items()),
            ("ledger", list(self.ledger)),
            ("balances", {owner: dict(held) for owner, held in self.balances.items()}),
            ("seats", dict(self.seats)),
            ("rosters", {guild: list(members) for guild, members in self.rosters.items()}),
            ("board", FinalBoard("arena", "all", entries)),
            ("all_topics", True),
            ("settled", True),
        ]
        return [Final(self.tick(), what, value) for what, value in values]

    def end(self) -> list[AnyRecord]:
        """The whole history."""
        return [*self.history, *self.finals()]


def sent(logged: Logged) -> Message:
    """The acknowledgement of a line."""
    channel = logged.event["topic"].removeprefix("chat:")
    return {"t": "chat.sent", "channel": channel, "seq": logged.seq, "at": logged.event["at"]}


def as_heard(event: Message) -> Message:
    """An event as it comes to a client: announcements in one language."""
    if event["t"] != "announce.announced":
        return event
    heard = {key: value for key, value in event.items() if key != "texts"}
    return {**heard, "t": "announce.message", "text": event["texts"]["en"]}


def evening() -> World:
    """Ann, Bo and Cy: some of everything."""
    world = World()
    ann, bo, cy = (world.sign_in(player) for player in ("ann", "bo", "cy"))
    pad = world.sign_in("ann", "pad")
    for device in (ann, bo, pad):
        world.join(device)
    for n in range(4):
        world.say(ann, f"hello {n}")
        world.say(bo, f"hi {n}", lost=n == 2)
        if not bo.live:
            world.say(ann, "where is bo?")
            world.take_over("room:raid")
            world.connect(bo)
    world.say(cy, "may I?")
    again = world.say(pad, "twice")
    repeat(world, pad, again)
    world.found(ann, "g1")
    world.enter(bo, "g1")
    world.enter(cy, "g1")
    world.kick(ann, "cy")
    world.leave(bo)
    world.enter(bo, "g1")
    for player in ("ann", "bo"):
        world.move(LedgerRow(player, "gold", 10, "opening"))
        world.grant(player, 90)
    world.gift(ann, "bo", 30)
    world.gift(bo, "cy", 5, answered=False)
    world.gift(cy, "ann", 50)
    world.submit(ann, 10)
    world.submit(bo, 10)
    world.submit(bo, 7)
    world.submit(cy, 3, answered=False)
    world.announce("party")
    world.announce("quiet", ["ann", "cy"])
    world.notify("bo", "a shield")
    world.say(ann, "the last line")
    return world


def repeat(world: World, device: Device, op: str) -> None:
    """Send a request again, and have the same answer."""
    [request] = [r.message for r in world.history if isinstance(r, Asked) and r.op == op]
    [reply] = [r.reply for r in world.history if isinstance(r, Answered) and r.op == op]
    world.ask(device, request, op)
    world.answer(device, op, reply)


class Picked(Struct, frozen=True):
    """A record and its place in the history."""

    at: int
    record: Any


def pick(history: list[AnyRecord], random: Random, wanted: Callable[[Any], bool]) -> Picked | None:
    """Any record that is ``wanted``."""
    places = [n for n, record in enumerate(history) if wanted(record)]
    if not places:
        return None
    at = random.choice(places)
    return Picked(at, history[at])


def changed(record: Any, **fields: Any) -> Any:
    """A record with other fields."""
    return structs.replace(record, **fields)
