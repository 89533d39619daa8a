"""The load of every experiment: players in rooms and guilds who talk, play for scores, pay each other and wander
between guilds, and a backend that writes notices and announcements."""

import asyncio
from collections.abc import Sequence
from itertools import count
from random import Random

from tests.faults.finals import ask
from tests.support.crowd import together
from tests.support.recorded import Backend, RecordedPlayer

BOARD = "faults"
ROOM_OF = 12  # players of a room
GUILDS = 4
WANDERERS = 4  # players who found no home: they join and leave
GOLD = 200
AT_ONCE = 24  # requests of the setting-up at the same time
NOTICE_S = 0.25
REST_S = 30.0  # tells of a dead node are found within seconds, notices a little later


class Town:
    """Everybody who lives in a cluster whose database is at ``store``."""

    def __init__(self, store: str, players: Sequence[RecordedPlayer], backend: Backend, pause_s: float) -> None:
        self.store = store
        self.players = players
        self.backend = backend
        self.rooms = [f"room:{n}" for n in range(max(1, len(players) // ROOM_OF))]
        self.guilds: list[str] = []
        self._pause_s = pause_s
        """Between two things that a player does, on average."""
        self._homes: dict[str, list[str]] = {}
        self._notices = count(1)
        self._stop = asyncio.Event()

    @property
    def wanderers(self) -> Sequence[RecordedPlayer]:
        """The last few."""
        return self.players[-WANDERERS:]

    async def settle_in(self) -> None:
        """Boards, gold, rooms and guilds; nobody is hurt yet."""
        await together(*(player.linked() for player in self.players))
        await self.backend.define_board(BOARD)
        turn = asyncio.Semaphore(AT_ONCE)

        async def begin(n: int, player: RecordedPlayer) -> None:
            async with turn:
                room = self.rooms[n % len(self.rooms)]
                self._homes[player.name] = [room]
                await player.ask("chat.join", channel=room)
                await self.backend.grant(player.name, GOLD)

        await together(*(begin(n, player) for n, player in enumerate(self.players)))
        for n, founder in enumerate(self.players[:GUILDS]):
            made = await founder.ask("guild.create", name=f"Guild {n}")
            self.guilds.append(made["guild"])

        async def enter(n: int, player: RecordedPlayer) -> None:
            async with turn:
                guild = self.guilds[n % GUILDS]
                if n >= GUILDS:
                    await player.ask("guild.join", guild=guild)
                await player.ask("guild.watch", guild=guild)
                await player.ask("chat.join", channel=f"guild:{guild}")
                self._homes[player.name].append(f"guild:{guild}")

        half = [(n, player) for n, player in enumerate(self.players[: -len(self.wanderers)]) if n % 2 or n < GUILDS]
        await together(*(enter(n, player) for n, player in half))

    async def live(self) -> None:
        """Until told to stop; then everything that was asked is answered."""
        lives = [self._life(n, player) for n, player in enumerate(self.players[: -len(self.wanderers)])]
        wandering = [self._wander(n, player) for n, player in enumerate(self.wanderers)]
        await together(self._write(), *lives, *wandering)

    def stop(self) -> None:
        """Nobody begins anything any more."""
        self._stop.set()

    async def _life(self, seed: int, player: RecordedPlayer) -> None:
        random = Random(seed)
        for n in count():
            await asyncio.sleep(random.uniform(0, 2 * self._pause_s))
            if self._stop.is_set():
                return
            await self._do(player, n, random)

    async def _do(self, player: RecordedPlayer, n: int, random: Random) -> None:
        dice = random.random()
        if dice < 0.6:
            await player.ask("chat.send", channel=random.choice(self._homes[player.name]), text=f"{player.name} {n}")
        elif dice < 0.75:
            await player.ask("leaderboard.submit", board=BOARD, score=random.randrange(1000))
        elif dice < 0.95 or player not in self.players[:GUILDS]:
            to = random.choice(self.players).name
            await player.ask("wallet.give", to=to, currency="gold", amount=random.randrange(1, 20))
        else:
            guild = self.guilds[self.players.index(player)]
            await player.ask("guild.set_motd", guild=guild, motd=f"{player.name} {n}")

    async def _wander(self, seed: int, player: RecordedPlayer) -> None:
        random = Random(-1 - seed)
        while not self._stop.is_set():
            await player.ask("guild.join", guild=random.choice(self.guilds))
            await asyncio.sleep(random.uniform(0, self._pause_s))
            await player.ask("guild.leave")
            await asyncio.sleep(random.uniform(0, self._pause_s))

    async def _write(self) -> None:
        random = Random(0)
        await self.backend.announce("The gates open.")
        while not self._stop.is_set():
            await self.backend.notify(random.choice(self.players).name, next(self._notices))
            await asyncio.sleep(NOTICE_S)
        await self.backend.announce("The gates close.")

    async def come_to_rest(self) -> None:
        """Wait until nothing is under way and everybody has heard everything; after ``REST_S`` the judge will say."""
        try:
            async with asyncio.timeout(REST_S):
                while not await self._rests():  # noqa: ASYNC110 - a table, and places of many
                    await asyncio.sleep(0.25)
        except TimeoutError:
            pass

    async def _rests(self) -> bool:
        waiting = await ask(self.store, "SELECT COUNT(*) FROM outbox WHERE failed IS NULL")
        if waiting != [(0,)]:
            return False
        stand = await self.stand()
        return all(place >= stand.get(topic, 0) for player in self.players for topic, place in player.places.items())

    async def stand(self) -> dict[str, int]:
        """The newest seq of every topic."""
        return dict(await ask(self.store, "SELECT topic, seq FROM topics"))

    async def owners(self) -> dict[str, str]:
        """Node by actor, now."""
        return dict(await ask(self.store, "SELECT actor, owner FROM actors WHERE owner IS NOT NULL"))
