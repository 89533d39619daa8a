"""The release after ``expanding``: the wallet is in another form, with a number of its own."""

from typing import Any

from msgspec import Struct, field

from actors.wallet import wallet
from actors.wallet.ledger import Sending
from actors.wallet.messages import WalletGive
from tests.faults.builds.build import changed, run
from tests.faults.builds.expanding import FEATURES, SEASON, give_and_note


class Today(Struct):
    """Gifts of a day; both fields stood in the wallet itself."""

    day: int = 0
    given: int = 0


class Purse2(Struct):
    balances: dict[str, int] = {}
    entries: int = 0
    sending: dict[str, Sending] = {}
    today: Today = field(default_factory=Today)
    noted: int = 0

    # For the turns, which are as before.
    @property
    def day(self) -> int:
        return self.today.day

    @day.setter
    def day(self, day: int) -> None:
        self.today.day = day

    @property
    def given(self) -> int:
        return self.today.given

    @given.setter
    def given(self, given: int) -> None:
        self.today.given = given


def from_1(plain: dict[str, Any]) -> dict[str, Any]:
    """Of the wallet's first form its second one."""
    day, given = plain.pop("day", 0), plain.pop("given", 0)
    return {**plain, "today": {"day": day, "given": given}}


purse = changed(wallet, Purse2, {WalletGive: give_and_note}, [SEASON])
purse.schema, purse.upgrades = 2, {1: from_1}

if __name__ == "__main__":
    run([purse if room.name == purse.name else room for room in FEATURES])
