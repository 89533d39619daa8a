"""What the coordinator and a process of players say to each other: JSON lines over the process's standard streams."""

import msgspec
from msgspec import Struct

from loadtest.figures import Tick
from loadtest.players.networks import Trouble

LINE_BYTES = 2**24  # of a line, at most
STOP = b"stop\n"
"""To a process: end playing, come to rest, leave. The end of its input means the same."""


class Orders(Struct, frozen=True, kw_only=True):
    """The first line to a process: what it plays. The scenario's defaults are filled in already."""

    process: int
    scenario: str
    """Name of an included scenario, or path of a file."""
    urls: list[str]
    run: str
    """In every name that is made: what one run writes no other touches."""
    first: int
    """Number of the process's first player."""
    count: int
    players: int
    """Of all processes."""
    seed: int
    began: float
    """When ``at`` is 0, in the seconds of this machine's monotonic clock."""
    ramp_s: float
    networks: dict[str, float]
    twice: bool = False
    tokens: str = "dev"
    """How a player gets a token: see ``loadtest.players.tokens``."""
    history: str = ""
    """File to write; empty: nothing is recorded."""


class Rested(Struct, frozen=True, tag="rested"):
    """Playing is over and everything is answered and heard, or will not be: ``missing`` says of whom and what."""

    missing: list[str]


class Ended(Struct, frozen=True, tag="ended"):
    """The last line. The history is complete."""

    refused: dict[str, int] = {}
    """Players that were told not to come back, by reason."""
    unreached: dict[str, int] = {}
    """Dials that led to nothing, by reason."""
    failures: dict[str, int] = {}
    """Errors of the scenario's function, by their text."""
    injected: dict[Trouble, int] = {}
    """What the networks did to the players, by kind."""


Said = Tick | Rested | Ended

encode_orders = msgspec.json.Encoder().encode
decode_orders = msgspec.json.Decoder(Orders).decode
encode_said = msgspec.json.Encoder().encode
decode_said = msgspec.json.Decoder(Said).decode
