"""The release after this one: it adds, so that this one can go on beside it, and after it.

It can also read the form of the wallet that the release after it will write, so that one can go back to it.
"""

from typing import Any

from msgspec import structs

from actors.guild import guild
from actors.guild.roster import Member, Roster
from actors.guild.tells import Admit
from actors.guild.turns import admit
from actors.runtime import Context, Deferred, Feature
from actors.wallet import wallet
from actors.wallet.ledger import Wallet
from actors.wallet.messages import WalletGive
from actors.wallet.turns import give
from storage import Migration
from tests.faults.builds.build import changed, release, run
from tests.faults.builds.notebook import note, notebook


# The wallet counts the gifts that it has noted.
class Purse(Wallet):
    noted: int = 0


def give_and_note(ctx: Context, purse: Purse, msg: WalletGive) -> Deferred:
    """Give, and note it."""
    given: Deferred = give(ctx, purse, msg)
    purse.noted += 1
    note(ctx, purse.noted)
    return given


def to_1(plain: dict[str, Any]) -> dict[str, Any]:
    """Of the wallet's next form the present one (see ``raising``)."""
    today = plain.pop("today")
    return {**plain, "day": today["day"], "given": today["given"]}


SEASON = Migration(4, "ALTER TABLE wallet_ledger ADD COLUMN season VARCHAR(16) NULL")
purse = changed(wallet, Purse, {WalletGive: give_and_note}, [SEASON])
purse.downgrades = {2: to_1}


# A guild's leader, deep in the roster, counts whom it has admitted.
class Host(Member):
    noted: int = 0


class Hall(Roster):
    members: dict[str, Host] = {}  # type: ignore[assignment]


def admit_and_note(ctx: Context, hall: Hall, msg: Admit) -> None:
    """Admit, and note it."""
    before = len(hall.members)
    admit(ctx, hall, msg)
    if len(hall.members) > before:
        leader: Member = hall.members[hall.leader]
        host = leader if isinstance(leader, Host) else Host(**structs.asdict(leader))
        host.noted += 1
        hall.members[hall.leader] = host
        note(ctx, host.noted)


FEATURES: tuple[Feature[Any], ...] = tuple(release(purse, changed(guild, Hall, {Admit: admit_and_note}), notebook))

if __name__ == "__main__":
    run(FEATURES)
