"""Sign-in tokens: what is accepted, what is refused, and how keys change while the server runs."""

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from jwt.algorithms import RSAAlgorithm

from protocol.errors import NotAuthenticated, TokenExpired
from server.auth import device_key, first_refresh, next_refresh, presented
from server.auth_keys import DEV_SECRET, load_keys
from server.config import Auth, ConfigError, Key, Secret
from tests.server.clocks import START_MS, HandClock
from tests.server.jwt_kit import (
    ED_KEY,
    HMAC_KEY,
    NOW,
    RSA_KEY,
    SECRET,
    claims,
    ed_key,
    forge,
    hs256,
    private_pem,
    public_pem,
    rs256,
    rsa_key,
    tokens,
)


# What is accepted.
@pytest.mark.parametrize("key", [HMAC_KEY, ED_KEY], ids=lambda key: str(key.alg))
def test_a_minted_token_verifies_as_its_player(key: Key) -> None:
    both = tokens(key, access_token_s=300)

    minted = both.mint("ann", name="Ann")
    identity = both.verify(minted.token)

    assert (identity.player, identity.name) == ("ann", "Ann")
    assert identity.expires_at == minted.expires_at == START_MS + 300_000


def test_a_token_of_another_issuer_with_a_known_public_key_is_accepted() -> None:
    identity = tokens(RSA_KEY).verify(rs256(level=7))

    assert identity.player == "ann"
    assert identity.claims["level"] == 7


def test_several_keys_are_good_at_once_so_that_one_can_replace_another() -> None:
    new = Key(kid="h2", alg="HS256", secret=Secret(SECRET[::-1]))
    both = tokens(new, HMAC_KEY, RSA_KEY)

    assert jwt.get_unverified_header(both.mint("ann").token)["kid"] == "h2"
    assert both.verify(hs256("h")).player == "ann"
    assert both.verify(hs256("h2", SECRET[::-1])).player == "ann"
    assert both.verify(rs256()).player == "ann"


def test_a_token_may_leave_out_its_kid_while_there_is_one_key() -> None:
    assert tokens(HMAC_KEY).verify(hs256(kid=None)).player == "ann"
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY, RSA_KEY).verify(hs256(kid=None))


def test_issuer_and_audience_are_put_into_minted_tokens() -> None:
    both = tokens(HMAC_KEY, issuer="game", audience="guildhall")

    assert both.verify(both.mint("ann").token).player == "ann"


@pytest.mark.parametrize("name", [5, "", "x" * 65, "a\nb", "\u202eann"])
def test_a_name_that_cannot_be_shown_is_left_out(name: object) -> None:
    assert tokens(HMAC_KEY).verify(hs256(name=name)).name is None


# What is refused.
def test_a_token_without_a_signature_is_refused() -> None:
    for alg in ("none", "None", "NONE"):
        for kid in ("h", None):
            with pytest.raises(NotAuthenticated):
                tokens(HMAC_KEY).verify(forge({"alg": alg, "kid": kid}, claims(), None))


def test_a_token_signed_with_another_secret_is_refused() -> None:
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify(hs256(secret="x" * 32))


def test_a_public_key_is_never_taken_for_a_shared_secret() -> None:
    """The classic: HS256 with the text of the RSA public key as its secret."""
    header = {"alg": "HS256", "typ": "JWT", "kid": "r"}
    for text in (public_pem(rsa_key()), public_pem(rsa_key()).strip()):
        with pytest.raises(NotAuthenticated):
            tokens(RSA_KEY).verify(forge(header, claims(), text))


def test_a_key_is_used_with_its_own_algorithm_only() -> None:
    wrong = jwt.encode(claims(), SECRET + SECRET, algorithm="HS512", headers={"kid": "h"})
    for token in (wrong, rs256("h"), forge({"alg": "HS384", "kid": "h"}, claims(), SECRET)):
        with pytest.raises(NotAuthenticated):
            tokens(HMAC_KEY, RSA_KEY).verify(token)


@pytest.mark.parametrize("kid", ["other", "", "../../dev/null", 5, ["h"], {}])
def test_an_unknown_kid_is_refused(kid: object) -> None:
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify(forge({"alg": "HS256", "kid": kid}, claims(), SECRET))


def test_a_key_in_the_token_itself_is_not_believed() -> None:
    jwk = json.loads(RSAAlgorithm.to_jwk(rsa_key().public_key()))
    headers = {"kid": "mine", "jwk": jwk, "jku": "https://attacker.example/jwks"}
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify(jwt.encode(claims(), rsa_key(), algorithm="RS256", headers=headers))


def test_a_token_is_good_until_the_instant_it_expires() -> None:
    clock = HandClock()
    verifier = tokens(HMAC_KEY, clock=clock)
    token = hs256()

    clock.advance(59.999)
    assert verifier.verify(token).player == "ann"
    clock.advance(0.001)
    with pytest.raises(TokenExpired):
        verifier.verify(token)


def test_an_expired_token_with_a_wrong_signature_is_not_told_to_be_expired() -> None:
    with pytest.raises(NotAuthenticated) as refused:
        tokens(HMAC_KEY).verify(hs256(secret="x" * 32, exp=1))
    assert refused.value.code == "auth.invalid"


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_of_the_near_future_is_good_and_of_the_far_is_not(claim: str) -> None:
    near: dict[str, Any] = {claim: NOW + 30}
    far: dict[str, Any] = {claim: NOW + 31}

    assert tokens(HMAC_KEY).verify(hs256(**near)).player == "ann"
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify(hs256(**far))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": float("nan")},
        {"exp": 1e400},
        {"exp": -1},
        {"iat": "now"},
        {"nbf": float("nan")},
        {"sub": None},
        {"sub": 5},
        {"sub": ""},
        {"sub": "a b"},
        {"sub": "ann\n"},
        {"sub": "guild:42"},
        {"sub": "x" * 65},
    ],
    ids=str,
)
def test_a_signed_token_with_senseless_claims_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify(hs256(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"iss": "other", "aud": "guildhall"},
        {"iss": "game"},
        {"iss": "game", "aud": "other"},
        {"iss": "game", "aud": []},
        {"iss": ["game"], "aud": "guildhall"},
    ],
    ids=str,
)
def test_issuer_and_audience_are_demanded_where_they_are_set(changes: dict[str, Any]) -> None:
    verifier = tokens(HMAC_KEY, issuer="game", audience="guildhall")

    with pytest.raises(NotAuthenticated):
        verifier.verify(hs256(**changes))
    assert verifier.verify(hs256(iss="game", aud=["x", "guildhall"])).player == "ann"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "\0", "\ud800", "e30.e30.e30", "a" * 100_000, "[" * 5000 + ".."],
    ids=lambda token: token[:6].encode("unicode_escape").decode(),
)
def test_what_is_no_token_is_refused_and_nothing_worse(token: str) -> None:
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify(token)


def test_claims_that_are_no_object_are_refused() -> None:
    bodies: list[Any] = [[], "ann", 5, None]
    for body in bodies:
        with pytest.raises(NotAuthenticated):
            tokens(HMAC_KEY).verify(forge({"alg": "HS256", "kid": "h"}, body, SECRET))


# Development mode.
def test_a_development_token_signs_in_by_name_in_development_only() -> None:
    identity = tokens(dev=True).verify("dev:ann")

    assert (identity.player, identity.name, identity.expires_at) == ("ann", "ann", None)
    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify("dev:ann")


@pytest.mark.parametrize("token", ["dev:", "dev:a b", "dev:" + "x" * 65, "dev:a:b"])
def test_a_development_name_is_a_player_id(token: str) -> None:
    with pytest.raises(NotAuthenticated):
        tokens(dev=True).verify(token)


def test_a_development_server_without_keys_mints_tokens_that_outlive_its_restart() -> None:
    minted = tokens(dev=True).mint("ann")

    assert tokens(dev=True).verify(minted.token).player == "ann"


def test_the_development_secret_opens_nothing_in_production() -> None:
    token = hs256("dev", DEV_SECRET.decode())

    with pytest.raises(NotAuthenticated):
        tokens(HMAC_KEY).verify(token)
    with pytest.raises(ConfigError, match="development"):
        tokens(Key(kid="dev", alg="HS256", secret=Secret(DEV_SECRET.decode())))


# Keys of the settings.
def test_keys_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "hmac").write_text(SECRET + "\n")
    (tmp_path / "rsa.pem").write_text(public_pem(rsa_key()))
    verifier = tokens(
        Key(kid="h", alg="HS256", secret_file=str(tmp_path / "hmac")),
        Key(kid="r", alg="RS256", public_key_file=str(tmp_path / "rsa.pem")),
    )

    assert verifier.verify(hs256()).player == "ann"
    assert verifier.verify(rs256()).player == "ann"


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (Key(kid="k", alg="HS256", secret=Secret("x" * 31)), "too short"),
        (Key(kid="k", alg="HS256", secret_file="/no/such"), "/no/such"),
        (Key(kid="k", alg="RS256", public_key="junk"), "no public key"),
        (Key(kid="k", alg="RS256", public_key=public_pem(ed_key())), "RSA of 2048"),
        (Key(kid="k", alg="EdDSA", public_key=public_pem(rsa_key())), "Ed25519"),
        (Key(kid="k", alg="EdDSA", private_key=Secret("junk")), "no private key"),
        (
            Key(
                kid="k",
                alg="RS256",
                public_key=public_pem(rsa_key()),
                private_key=Secret(private_pem(ed_key())),
            ),
            "do not belong together",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_that_cannot_work_is_told_at_start(key: Key, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        load_keys(Auth(keys=[key]))


def test_without_a_signing_key_nothing_is_minted() -> None:
    with pytest.raises(ConfigError, match="no key can sign"):
        tokens(RSA_KEY).mint("ann")


def test_keys_do_not_show_their_secrets() -> None:
    assert SECRET not in repr(load_keys(Auth(keys=[HMAC_KEY])))


# Devices and refresh tokens.
def test_a_device_is_known_by_a_hash_that_fits_an_actors_key() -> None:
    key = device_key("my-device")

    assert key == device_key("my-device") != device_key("my-device2")
    assert "my-device" not in key
    assert 1 <= len(key) <= 64
    assert key.isalnum()


def test_a_refresh_token_names_its_family_and_shows_only_hashes() -> None:
    token = first_refresh(lambda size: b"\1" * size)
    family, hashed = presented(token.text)

    assert (family, hashed) == (token.family, token.hashed)
    assert token.text.split(".")[1] not in (hashed.anchor, hashed.secret)
    assert token.text not in repr(token)


def test_the_next_refresh_token_keeps_family_and_anchor_and_has_a_new_secret() -> None:
    first = first_refresh(lambda size: b"\1" * size)
    second = next_refresh(first.text, lambda size: b"\2" * size)

    assert second.family == first.family
    assert second.hashed.anchor == first.hashed.anchor
    assert second.hashed.secret != first.hashed.secret


@pytest.mark.parametrize("text", ["", "a.b", "a.b.c", "dev:ann", "x" * 10_000, "\0", "a" * 26 + ".."])
def test_what_is_no_refresh_token_is_refused(text: str) -> None:
    with pytest.raises(NotAuthenticated):
        presented(text)
