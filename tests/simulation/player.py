"""What players do: they talk, found and leave guilds, kick and promote, play for scores, pay each other, set alarms.

A player knows what its device has been told and no more, so much of what it asks is refused; that is as it should be.
"""

from collections.abc import Callable
from typing import Any

from protocol import TopicMoved
from tests.simulation.device import Device, Fields
from tests.simulation.world import World

ROOMS = ("room:lobby", "room:trade", "room:raid")
BOARDS = ("arena", "laps", "coins")
NAMES = tuple(f"Guild {letter}" for letter in "ABCDEFGHIJ")
PAUSE_S = 2.5  # between two things that a player does, on average


class Town:
    """What all players know of each other: who there is, and which guilds have been founded."""

    def __init__(self, players: int) -> None:
        self.players = [f"p{n:02}" for n in range(players)]
        self.guilds: list[str] = []
        self.announcements: list[str] = []
        self.busy = True
        """Whether players still begin things."""


class Player(Device):
    """One player; ``live`` has it begin."""

    def __init__(self, world: World, town: Town, name: str) -> None:
        super().__init__(world, name)
        self._town = town
        self._guild: str | None = None
        self._members: list[str] = []
        self._channels: dict[str, int] = {}
        """Where it listens: the newest seq it knows of each."""
        self._inbox = 0
        self._alarms = 0
        self._begun = False

    def live(self) -> None:
        """Go online and do things until the town is at rest."""
        self.start()
        self._plan()

    def _plan(self) -> None:
        self._loop.deliver(self.world.clients, self.random.expovariate(1 / PAUSE_S), self._next)

    def _next(self) -> None:
        if self._town.busy:
            if self.random.random() < 0.9:
                self._do_something()
            self._plan()

    # What it hears.
    def welcomed(self, welcome: Fields) -> None:
        self._guild = welcome["state"]["seat"]["guild"]
        if not self._begun:
            self._begun = True
            for room in self.random.sample(ROOMS, 2):
                self.ask("chat.join", channel=room)

    def replied(self, message: Fields, reply: Fields) -> None:
        match reply["t"]:
            case "chat.joined":
                self._channels[reply["channel"]] = reply["seq"] or 0
            case "chat.left":
                self._channels.pop(reply["channel"], None)
                self.session.unfollow(f"chat:{reply['channel']}")
            case "guild.created":
                self._town.guilds.append(reply["guild"])
                self._settle_in(reply["guild"])
            case "guild.joined":
                self._settle_in(reply["guild"])
            case "guild.left":
                self._guild = None
            case "guild.watched":
                self._members = [member["id"] for member in reply["guild"]["members"]]
            case _:
                pass

    def happened(self, event: Fields) -> None:
        match event["t"]:
            case "guild.seat_changed":
                before, self._guild = self._guild, event["guild"]
                if self._guild is None and before is not None:
                    self._channels.pop(f"guild:{before}", None)
            case "chat.message":
                channel = event["topic"].removeprefix("chat:")
                if channel in self._channels:
                    self._channels[channel] = event["seq"]
            case "chat.member_left" if event["player"] == self.name:
                self._channels.pop(event["topic"].removeprefix("chat:"), None)
            case "inbox.notice":
                self._inbox = event["seq"]
            case "announce.message":
                if event["announcement"] not in self._town.announcements:
                    self._town.announcements.append(event["announcement"])
            case _:
                pass

    def moved(self, moved: TopicMoved) -> None:
        if moved.status == "gone":
            self._channels.pop(moved.topic.removeprefix("chat:"), None)

    def _settle_in(self, guild: str) -> None:
        self._guild = guild
        self.ask("guild.watch", guild=guild)
        self.ask("chat.join", channel=f"guild:{guild}")

    # What it does.
    def _do_something(self) -> None:
        deeds = self._deeds()
        choice = self.random.random() * sum(weight for weight, _ in deeds)
        for weight, deed in deeds:
            choice -= weight
            if choice < 0:
                deed()
                return

    def _deeds(self) -> list[tuple[float, Callable[[], Any]]]:
        deeds: list[tuple[float, Callable[[], Any]]] = [
            (26, self._talk),
            (2, self._change_room),
            (2, self._whisper),
            (2, self._read_mark),
            (2, self._history),
            (1, self._rename),
            (2, self._read_inbox),
            (6, self._play),
            (1, self._look_at_board),
            (5, self._pay),
            (2, self._order),
            (3, self._wind),
            (3, self._add),
            (1, lambda: self.ask("player.get")),
            (1, lambda: self.ask("chat.channels")),
            (1, self._read_announcement),
        ]
        if self._guild is None:
            deeds += [(6, self._found), (14, self._join), (1, self._apply)]
        else:
            deeds += [
                (1.5, lambda: self.ask("guild.leave")),
                (2, self._office),
                (1, self._invite),
                (1, self._set_motd),
                (1, self._accept),
                (0.3, lambda: self.ask("guild.disband", guild=self._guild)),
                (1, lambda: self.ask("guild.watch", guild=self._guild)),
            ]
        return deeds

    def _talk(self) -> None:
        if self._channels:
            channel = self.random.choice(list(self._channels))
            self.ask("chat.send", channel=channel, text=f"{self.name} {self.random.getrandbits(30)}")

    def _change_room(self) -> None:
        room = self.random.choice(ROOMS)
        self.ask("chat.leave" if room in self._channels else "chat.join", channel=room)

    def _whisper(self) -> None:
        other = self.random.choice(self._town.players)
        if other != self.name:
            first, second = sorted((self.name, other))
            self.ask("chat.send", channel=f"dm:{first}:{second}", text="psst")

    def _read_mark(self) -> None:
        if self._channels:
            channel = self.random.choice(list(self._channels))
            self.ask("chat.read", channel=channel, seq=self._channels[channel])

    def _history(self) -> None:
        if self._channels:
            self.ask("chat.history", channel=self.random.choice(list(self._channels)), limit=20)

    def _rename(self) -> None:
        self.ask("player.rename", name=f"{self.name} {self.random.randrange(100)}")

    def _read_inbox(self) -> None:
        if self.random.random() < 0.5:
            self.ask("inbox.read", upto=self._inbox)
        else:
            self.ask("inbox.list", limit=10)

    def _play(self) -> None:
        self.ask("leaderboard.submit", board=self.random.choice(BOARDS), score=self.random.randrange(1000))

    def _look_at_board(self) -> None:
        self.ask(self.random.choice(["leaderboard.top", "leaderboard.watch"]), board=self.random.choice(BOARDS))

    def _read_announcement(self) -> None:
        if self._town.announcements:
            self.ask("announce.read", announcement=self.random.choice(self._town.announcements))

    # Rooms of tests/runtime, for value that moves and alarms that ring.
    def _pay(self) -> None:
        to = self.random.choice(self._town.players)
        self.ask("purse.pay", purse=self.name, to=f"purse:{to}", amount=self.random.randrange(1, 50))

    def _order(self) -> None:
        self.ask("purse.order", purse=self.name, via=self.random.choice(self._town.players))

    def _wind(self) -> None:
        self._alarms += 1
        fields = {"counter": f"k{self.random.randrange(6)}", "name": f"{self.name}.{self._alarms}"}
        self.ask("counter.wind", **fields, in_s=self.random.random() * 12, then="count")

    def _add(self) -> None:
        self.ask("counter.add", counter=f"k{self.random.randrange(6)}", by=1)

    # Guilds.
    def _found(self) -> None:
        mode = self.random.choice(["open", "open", "open", "request", "invite"])
        self.ask("guild.create", name=self.random.choice(NAMES), mode=mode)

    def _join(self) -> None:
        if self._town.guilds:
            self.ask("guild.join", guild=self.random.choice(self._town.guilds[-12:]))

    def _apply(self) -> None:
        if self._town.guilds:
            self.ask("guild.apply", guild=self.random.choice(self._town.guilds[-12:]), text="me")

    def _office(self) -> None:
        verb = self.random.choice(["kick", "kick", "promote", "promote", "demote", "transfer", "ban"])
        other = self.random.choice(self._members or self._town.players)
        self.ask(f"guild.{verb}", guild=self._guild, player=other)

    def _invite(self) -> None:
        self.ask("guild.invite", guild=self._guild, player=self.random.choice(self._town.players))

    def _accept(self) -> None:
        self.ask("guild.accept", guild=self._guild, player=self.random.choice(self._town.players))

    def _set_motd(self) -> None:
        self.ask("guild.set_motd", guild=self._guild, motd=f"day {self.random.randrange(100)}")

    def follows(self, topic: str) -> bool:
        """Whether the server is sure to send this topic to the player."""
        if topic.startswith("chat:"):
            return topic.removeprefix("chat:") in self._channels
        return topic in {f"player:{self.name}", "announce"}
