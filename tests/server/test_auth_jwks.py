"""Keys that another service publishes: which are taken, and how they change while the server runs."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm

from protocol.errors import NotAuthenticated, Unavailable
from server.auth import Tokens
from server.auth_jwks import PAUSE_S, REFRESH_S, RemoteKeys
from server.auth_keys import parse_jwks
from server.config import Auth, ConfigError
from tests.server.clocks import HandClock
from tests.server.jwt_kit import NOW, ed_key, rs256, rsa_key, tokens


def jwks(**kids: Any) -> bytes:
    return json.dumps({"keys": [{"kid": kid, **entry} for kid, entry in kids.items()]}).encode()


def rsa_jwk(**more: Any) -> dict[str, Any]:
    return {**json.loads(RSAAlgorithm.to_jwk(rsa_key().public_key())), **more}


def test_a_key_set_gives_its_rsa_and_ed25519_keys_and_nothing_else() -> None:
    oct_key = {"kty": "oct", "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}
    found = parse_jwks(
        jwks(
            r=rsa_jwk(),
            e=json.loads(OKPAlgorithm.to_jwk(ed_key().public_key())),
            shared=oct_key,
            encrypts=rsa_jwk(use="enc"),
            other=rsa_jwk(alg="RS512"),
            broken=rsa_jwk(n="!"),
            secret=json.loads(RSAAlgorithm.to_jwk(rsa_key())),
        )
    )

    assert {kid: key.alg for kid, key in found.items()} == {"r": "RS256", "e": "EdDSA"}


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys":5}', b'{"keys":[5,{"kid":1}]}'])
def test_a_broken_key_set_gives_no_key(body: bytes) -> None:
    assert parse_jwks(body) == {}


def test_a_key_set_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(jwks(r=rsa_jwk()))

    assert tokens(jwks_file=str(path)).verify(rs256()).player == "ann"
    path.write_bytes(b"{}")
    with pytest.raises(ConfigError, match="jwks_file"):
        tokens(jwks_file=str(path))


class KeyService:
    """Answers for the address of a key set; a test sets what."""

    def __init__(self) -> None:
        self.body = jwks(r=rsa_jwk())
        self.status = 200
        self.asked = 0

    def __call__(self, _request: httpx.Request) -> httpx.Response:
        self.asked += 1
        return httpx.Response(self.status, content=self.body)


@pytest.fixture
def service() -> KeyService:
    return KeyService()


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
async def remote(service: KeyService, clock: HandClock) -> AsyncIterator[RemoteKeys]:
    keys = RemoteKeys("https://k.example", clock, transport=httpx.MockTransport(service))
    async with keys.running():
        yield keys


async def test_before_the_first_fetch_a_token_is_told_to_come_back(clock: HandClock, service: KeyService) -> None:
    keys = RemoteKeys("https://k.example", clock, transport=httpx.MockTransport(service))
    verifier = Tokens(Auth(), clock, more=keys)

    with pytest.raises(Unavailable) as refused:
        verifier.verify(rs256())
    assert refused.value.retry_after_ms
    async with keys.running():
        await keys.settled()

        assert verifier.verify(rs256()).player == "ann"


async def test_a_new_key_is_fetched_when_a_token_names_it(
    remote: RemoteKeys, clock: HandClock, service: KeyService
) -> None:
    verifier = Tokens(Auth(), clock, more=remote)
    await remote.settled()
    service.body = jwks(r=rsa_jwk(), r2=rsa_jwk())
    clock.advance(PAUSE_S)

    with pytest.raises(Unavailable):
        verifier.verify(rs256("r2"))
    await remote.settled()

    assert verifier.verify(rs256("r2")).player == "ann"


async def test_made_up_kids_do_not_flood_the_key_service(
    remote: RemoteKeys, clock: HandClock, service: KeyService
) -> None:
    verifier = Tokens(Auth(), clock, more=remote)
    await remote.settled()

    for number in range(100):
        with pytest.raises(NotAuthenticated):
            verifier.verify(rs256(f"made-up-{number}"))
    await remote.settled()

    assert service.asked == 1


async def test_a_withdrawn_key_is_forgotten_at_the_next_refresh(
    remote: RemoteKeys, clock: HandClock, service: KeyService
) -> None:
    verifier = Tokens(Auth(), clock, more=remote)
    await remote.settled()
    await clock.until_asleep()
    service.body = jwks(other=rsa_jwk())

    clock.advance(REFRESH_S)
    await clock.until_asleep()
    await remote.settled()

    with pytest.raises(NotAuthenticated):
        verifier.verify(rs256(exp=NOW + 10_000))


@pytest.mark.parametrize("broken", ["status", "body", "size"])
async def test_keys_stay_known_while_their_service_fails(
    remote: RemoteKeys, clock: HandClock, service: KeyService, broken: str
) -> None:
    verifier = Tokens(Auth(), clock, more=remote)
    await remote.settled()
    await clock.until_asleep()
    if broken == "status":
        service.status = 500
    service.body = b"x" * 300_000 if broken == "size" else b"sorry"

    clock.advance(REFRESH_S)
    await clock.until_asleep()
    await remote.settled()

    assert service.asked == 2
    assert verifier.verify(rs256(exp=NOW + 10_000)).player == "ann"
