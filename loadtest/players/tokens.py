"""Where simulated players get their tokens.

``dev``: development tokens, ``dev:NAME``. ``jwt:FILE``: minted with the HS256 secret in the file, which the server has
as one of its keys; ``jwt:FILE?kid=K&aud=A&iss=I`` says the rest, where the server asks for it. ``file:FILE``: a token a
line, one for each player, for servers that only their own backend signs players in at.
"""

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl

import jwt

VALID_S = 24 * 3600  # longer than any run


class BadTokens(Exception):
    """There are no tokens where they should be; says why."""


Tokens = Callable[[int, str], str]
"""The token of a player by number and name."""


def tokens_of(where: str, players: int) -> Tokens:
    """How the players get their tokens.

    Raises:
        BadTokens: it is none of the ways above, or the file is not there, empty, or too short for so many players.
    """
    way, _, rest = where.partition(":")
    if where == "dev":
        return lambda _, name: f"dev:{name}"
    if way == "jwt":
        file, _, more = rest.partition("?")
        return _minting(_read(file), dict(parse_qsl(more)))
    if way == "file":
        given = _read(rest).split()
        if len(given) < players:
            raise BadTokens(f"{rest} holds {len(given)} tokens, and {players} players need one each")
        return lambda number, _: given[number]
    raise BadTokens(f"tokens are dev, jwt:FILE or file:FILE, not {where!r}")


def _minting(secret: str, claims: dict[str, str]) -> Tokens:
    headers = {"kid": claims.pop("kid")} if "kid" in claims else None
    if unknown := claims.keys() - {"aud", "iss"}:
        raise BadTokens(f"a token has kid, aud and iss, not {', '.join(sorted(unknown))}")
    return lambda _, name: jwt.encode(
        {"sub": name, "exp": int(time.time()) + VALID_S, **claims}, secret, "HS256", headers=headers
    )


def _read(file: str) -> str:
    try:
        text = Path(file).read_text().strip()
    except OSError as error:
        raise BadTokens(f"{file}: {error.strerror}") from None
    if not text:
        raise BadTokens(f"{file} is empty")
    return text
