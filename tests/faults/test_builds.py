"""The builds of the experiments with upgrades are what they are said to be, and start like the server."""

from pathlib import Path
from typing import Any

import msgspec

from actors.runtime import Feature
from actors.runtime.slices import open_slots
from actors.wallet.ledger import Wallet
from actors.wallet.messages import WalletGive
from server.config import Config, StoreConfig
from server.features import FEATURES, blueprint
from storage import SliceRow
from tests.faults.builds import expanding, raising
from tests.faults.builds.build import Build
from tests.support.room import Room

WALLET = {"balances": {"gold": 5}, "entries": 2, "sending": {}, "day": 20_000, "given": 3, "noted": 1, "later": "kept"}
"""As ``expanding`` writes it, with a field of a release that nobody knows yet."""


def reopened(body: bytes, schema: int, room: Feature[Any]) -> SliceRow:
    """What a node of a build saves of a wallet that it has read."""
    kind = blueprint([room]).kinds["player"]
    return open_slots(kind, {"wallet": SliceRow(schema, body)})["wallet"].row()


def test_the_wallet_comes_through_all_three_releases_and_back() -> None:
    this = next(room for room in FEATURES if room.name == "wallet")
    row = reopened(msgspec.msgpack.encode(WALLET), 1, this)
    row = reopened(row.body, row.schema, expanding.purse)
    assert msgspec.msgpack.decode(row.body) == WALLET

    row = reopened(row.body, row.schema, raising.purse)
    newest = msgspec.msgpack.decode(row.body)
    assert (row.schema, newest["today"], newest["noted"]) == (2, {"day": 20_000, "given": 3}, 1)

    row = reopened(row.body, row.schema, expanding.purse)
    assert row.schema == 1
    assert msgspec.msgpack.decode(row.body, type=Wallet) == msgspec.convert(WALLET, Wallet)


def test_a_turn_begins_a_slice_in_the_form_of_the_build_that_runs_it() -> None:
    """A turn that a build has taken over names the room that it was made for, which has another state."""
    player = Room(expanding.FEATURES, actor="player:ann")
    turn = player.kind.turns[WalletGive]

    assert isinstance(player.actor._slot(turn.feature).state, expanding.Purse)


async def test_a_build_migrates_what_its_rooms_have_more(tmp_path: Path) -> None:
    config = Config(store=StoreConfig(url=f"sqlite:///{tmp_path}/guildhall.db"))
    await Build(FEATURES).migrate(config)

    assert await Build(expanding.FEATURES).migrate(config) == ["wallet/4", "notebook/1"]
    assert await Build(FEATURES).migrate(config) == []
