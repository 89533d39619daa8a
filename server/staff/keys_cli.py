"""``guildhall key``: make, list and revoke keys of the staff API, beside the nodes that run."""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from secrets import token_bytes, token_hex

import msgspec

from actors.runtime import Clock, SystemClock
from actors.staff import By, audit_row, entry_id
from server.config import Config, ConfigError
from server.staff.keys import NAME_CHARS, SCOPES, SELECT, StaffKey, key_of, new_key
from storage import Editor, Insert, SchemaBehind, Upsert, edit_store

DAY_MS = 86_400_000
UNITS_MS = {"d": DAY_MS, "h": 3_600_000, "m": 60_000}
LONGEST_MS = 3650 * DAY_MS

_EXPIRES = re.compile(r"([1-9][0-9]{0,6})([dhm])")

Print = Callable[[str], None]


async def run(config: Config, given: dict[str, str | list[str]], out: Print, clock: Clock | None = None) -> None:
    """Carry out ``key create``, ``key list`` or ``key revoke``; ``given`` as the command line has it.

    Raises:
        ConfigError: a name, scope, time or id that is none; nothing was changed.
        SchemaBehind, StoreDown: the database cannot be used.
    """
    clock = clock or SystemClock()
    match given:
        case {"action": "create", "name": str(name)}:
            await _create(config, name, given.get("scope") or [], given.get("expires"), out, clock)
        case {"action": "revoke", "id": str(key)}:
            await _revoke(config, key, out, clock)
        case _:
            await _list(config, out, clock)


async def _create(
    config: Config, name: str, scopes: str | list[str], expires: str | list[str] | None, out: Print, clock: Clock
) -> None:
    now_ms = clock.now_ms()
    key = new_key(
        _name(name),
        _scopes(scopes),
        now_ms=now_ms,
        expires_ms=None if expires is None else now_ms + _expires(str(expires)),
        random_bytes=token_bytes,
    )
    async with _store(config) as store:
        after = _shown(key.key)
        await store.edit([Insert("staff_keys", key.key.row), _entry("key.created", key.key.id, None, after, now_ms)])
    out(key.text)


async def _revoke(config: Config, key_id: str, out: Print, clock: Clock) -> None:
    now_ms = clock.now_ms()
    async with _store(config) as store:
        rows = await store.select(f"{SELECT} WHERE id = ?", (key_id,))
        if not rows:
            raise ConfigError(f"key revoke: there is no key {key_id!r}; `guildhall key list` shows them")
        key = key_of(rows[0])
        if key.revoked_ms is None:
            revoked = msgspec.structs.replace(key, revoked_ms=now_ms)
            entry = _entry("key.revoked", key.id, _shown(key), _shown(revoked), now_ms)
            await store.edit([Upsert("staff_keys", revoked.row, ("id",)), entry])
    out(f"{key_id} is revoked")


async def _list(config: Config, out: Print, clock: Clock) -> None:
    async with _store(config) as store:
        keys = [key_of(row) for row in await store.select(f"{SELECT} ORDER BY created_ms, id")]
    for key in keys:
        out("  ".join([key.id, f"{_state(key, clock.now_ms()):<20}", " ".join(sorted(key.scopes)), key.name]))


@asynccontextmanager
async def _store(config: Config) -> AsyncIterator[Editor]:
    async with edit_store(config.store.url) as store:
        if not await store.select("SELECT 1 FROM migrations WHERE room = ? AND number = ?", ("staff", 2)):
            raise SchemaBehind("the database has no table of keys: run `guildhall migrate` first")
        yield store


def _entry(action: str, key_id: str, before: object, after: object, now_ms: int) -> Insert:
    """What is done here stands in the audit too, by nobody's key."""
    by = By(key="cli", name="command line", address="", op=token_hex(16), digest=b"")
    id_ = entry_id(now_ms * 1000, token_hex(3))
    row = audit_row(by, action, f"key:{key_id}", id_=id_, at_ms=now_ms, before=before, after=after)
    return Insert("audit", {**row, "reply": "{}"})


def _shown(key: StaffKey) -> dict[str, object]:
    """A key for the audit: all but the hash."""
    return {name: value for name, value in key.row.items() if name != "hash"}


def _state(key: StaffKey, now_ms: int) -> str:
    if key.revoked_ms is not None:
        return "revoked"
    if key.expired(now_ms):
        return "expired"
    return "good" if key.expires_ms is None else f"good until {_day(key.expires_ms)}"


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d")


def _name(text: str) -> str:
    if not (0 < len(text) <= NAME_CHARS and text.isprintable()):
        raise ConfigError(f"key create: a name has 1 to {NAME_CHARS} printable characters")
    return text


def _scopes(asked: Sequence[str]) -> Sequence[str]:
    wrong = [scope for scope in asked if scope not in SCOPES]
    if wrong or not asked:
        raise ConfigError(f"key create: --scope {' '.join(wrong) or 'is missing'}; allowed: {', '.join(SCOPES)}")
    return asked


def _expires(text: str) -> int:
    found = _EXPIRES.fullmatch(text)
    length_ms = int(found[1]) * UNITS_MS[found[2]] if found else 0
    if not 0 < length_ms <= LONGEST_MS:
        raise ConfigError("key create: --expires; allowed: a number with d, h or m behind it, up to 3650d")
    return length_ms
