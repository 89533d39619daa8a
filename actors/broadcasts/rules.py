"""Languages, audiences and places in the log: pure rules of announcements."""

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from actors.broadcasts.messages import Audience
from actors.player import app_order

FALLBACK = "en"
_TAG = "LOWER(REPLACE(locale, '_', '-'))"  # see _tag

LIVE_ROWS = """
SELECT t.epoch, t.seq, a.seq, a.expires_ms
FROM topics t LEFT JOIN announcements a ON a.state = 'live'
WHERE t.topic = 'announce'
"""
"""Where the topic stands, and the announcements that stand in it: one statement, so that they fit together."""


class Live(Struct, frozen=True):
    """The announcements that are shown to whoever comes, as of the place ``seq`` of the topic."""

    epoch: str
    seq: int
    standing: tuple[tuple[int, int], ...]
    """(place, time at which it expires) of each."""


def live_of(rows: Sequence[tuple[Any, ...]]) -> Live:
    """From ``LIVE_ROWS``."""
    if not rows:
        return Live("", 0, ())
    epoch, seq = rows[0][:2]
    return Live(epoch, seq, tuple((place, expires_ms) for _, _, place, expires_ms in rows if place is not None))


def first_to_show(live: Live, *, epoch: str, seen: int, now_ms: int) -> int:
    """The place after which a player who has seen ``seen`` is told what it missed: before the oldest announcement that
    still stands. What came after ``live`` was read may stand too."""
    if live.epoch != epoch:
        return seen
    oldest = min((place for place, expires_ms in live.standing if expires_ms > now_ms), default=live.seq + 1)
    return max(seen, min(oldest - 1, live.seq))


def in_language(texts: Mapping[str, str], locale: str) -> str:
    """The text that comes nearest: the locale's, its language's, another region's of it, English, the first."""
    wanted = _tag(locale)
    language = wanted.partition("-")[0]
    by_tag = {_tag(tag): text for tag, text in texts.items()}
    while wanted:
        if wanted in by_tag:
            return by_tag[wanted]
        wanted = wanted.rpartition("-")[0]
    for tag, text in by_tag.items():
        if language and tag.partition("-")[0] == language:
            return text
    return by_tag.get(FALLBACK) or next(iter(texts.values()))


def page_of(audience: Audience, after: str, limit: int) -> tuple[str, list[Any]]:
    """The query for (player, locale) of an audience, in order, after ``after``."""
    terms: list[str] = ["player > ?"]
    values: list[Any] = [after]
    if audience.platforms is not None:
        terms.append(f"platform IN ({_marks(audience.platforms)})")
        values += audience.platforms
    if audience.app_min is not None:
        terms.append("app_order >= ?")
        values.append(app_order(audience.app_min))
    if audience.app_max is not None:
        terms.append("app_order BETWEEN 1 AND ?")
        values.append(app_order(audience.app_max))
    if audience.locales is not None:
        either = " OR ".join(f"{_TAG} = ? OR {_TAG} LIKE ?" for _ in audience.locales)
        terms.append(f"({either})")
        for locale in audience.locales:
            values += [_tag(locale), f"{_tag(locale)}-%"]
    if audience.guild is not None:
        terms.append("guild = ?")
        values.append(audience.guild)
    if audience.players is not None:
        terms.append(f"player IN ({_marks(audience.players)})")
        values += audience.players
    sql = f"SELECT player, locale FROM players WHERE {' AND '.join(terms)} ORDER BY player LIMIT ?"  # noqa: S608
    return sql, [*values, limit]


def _tag(locale: str) -> str:
    """``pt_BR`` and ``pt-br`` are one locale; clients say either."""
    return locale.lower().replace("_", "-")


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
