"""The short way through a token takes nothing that PyJWT would not take, and says the same of it."""

import json
import warnings
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import NotAuthenticated
from server.auth_keys import AuthKey, load_keys
from server.auth_plain import plain_token
from server.config import Auth, ConfigError, Key, Secret
from tests.server.jwt_kit import (
    ED_KEY,
    HMAC_KEY,
    NOW,
    RSA_KEY,
    SECRET,
    claims,
    forge,
    hs256,
    public_pem,
    rs256,
    rsa_key,
)
from tests.server.jwt_kit import tokens as verifier

KEYS = load_keys(Auth(keys=[HMAC_KEY, RSA_KEY, ED_KEY])).by_kid
ISSUER, AUDIENCE = "https://accounts.example", "guildhall"
REFUSED = "refused"


def plainly(token: str, key: AuthKey, issuer: str | None, audience: str | None) -> Any:
    """What the short way makes of a token; None where it leaves it to PyJWT."""
    try:
        plain = plain_token(token)
        return plain and plain.claims_by(key, issuer=issuer, audience=audience)
    except NotAuthenticated:
        return REFUSED


def by_pyjwt(token: str, key: AuthKey, issuer: str | None, audience: str | None) -> Any:
    """What PyJWT makes of it, asked as ``Tokens`` does."""
    options: Any = {"require": ["exp", "sub"], "verify_aud": audience is not None}
    options |= {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "jti")}
    try:
        return jwt.decode(token, key.public, [key.alg], options, audience=audience, issuer=issuer)
    except jwt.InvalidTokenError:
        return REFUSED


def encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("kid", KEYS)
def test_what_issuers_write_is_plain(kid: str) -> None:
    key = KEYS[kid]
    signing: Any = {"h": SECRET, "r": rsa_key(), "e": key.private}[kid]
    said = claims(iss=ISSUER, aud=AUDIENCE, iat=NOW, name="Zo\u00eb", level=7)
    token = jwt.encode(said, signing, algorithm=key.alg, headers={"kid": kid})

    assert plainly(token, key, None, None) == plainly(token, key, ISSUER, AUDIENCE) == said


def test_a_signature_that_is_not_the_keys_is_refused_at_once() -> None:
    for token, kid in ((hs256(secret=SECRET[::-1]), "h"), (rs256()[:-8] + "AAAAAAAA", "r")):
        assert plainly(token, KEYS[kid], None, None) == by_pyjwt(token, KEYS[kid], None, None) == REFUSED


@pytest.mark.parametrize(
    "token",
    [
        hs256() + "=",
        hs256() + ".",
        hs256() + "\n",
        hs256()[:-1] + chr(ord(hs256()[-1]) + 1),
        hs256().replace(".", ".!"),
        forge({"alg": "HS256", "crit": ["exp"]}, claims(), SECRET),
        forge({"alg": "HS256", "b64": False, "crit": ["b64"]}, claims(), SECRET),
        forge({"alg": "HS256", "kid": 5}, claims(), SECRET),
        forge({"kid": "h"}, claims(), SECRET),
        forge({"alg": "HS384", "kid": "h"}, claims(), SECRET),
        forge({"alg": "none"}, claims(), SECRET),
        forge({"alg": "HS256"}, ["sub", "exp"], SECRET),
        hs256(sub=5),
        hs256(sub=None),
        hs256(exp=None),
        forge({"alg": "HS256"}, claims(), None),
        rs256("h"),
        "a.b.c",
        "..",
        "",
    ],
)
def test_what_is_not_plain_is_left_to_pyjwt(token: str) -> None:
    assert plainly(token, KEYS["h"], None, None) is None


@pytest.mark.parametrize("said", [{"iss": "other"}, {"iss": [ISSUER]}, {"aud": "other"}, {"aud": [AUDIENCE]}, {}])
def test_what_does_not_fit_word_for_word_is_left_to_pyjwt(said: dict[str, Any]) -> None:
    token = hs256(**({"iss": ISSUER, "aud": AUDIENCE} | said)) if said else hs256()

    assert plainly(token, KEYS["h"], ISSUER, AUDIENCE) is None
    both = verifier(HMAC_KEY, issuer=ISSUER, audience=AUDIENCE)
    if said.get("aud") == [AUDIENCE]:
        assert both.verify(token).player == "ann"
    else:
        with pytest.raises(NotAuthenticated):
            both.verify(token)


values = st.none() | st.booleans() | st.integers(-1, 2**70) | st.floats() | st.text(max_size=3) | st.lists(st.just("x"))
headers = st.dictionaries(
    st.sampled_from(("alg", "kid", "typ", "crit", "b64", "x")), st.sampled_from(("HS256", "h", 5, []))
)
spoken = st.dictionaries(
    st.sampled_from(("sub", "exp", "iss", "aud", "nbf")), values | st.sampled_from((ISSUER, AUDIENCE))
)
bodies = st.dictionaries(st.text(max_size=3), values).map(json.dumps).map(str.encode) | st.binary(max_size=20)


@settings(max_examples=500)
@given(
    headers,
    spoken,
    st.none() | bodies,
    st.lists(st.tuples(st.integers(0, 300), st.sampled_from("Aa0-_=+.~ \u00fc")), max_size=2),
    st.sampled_from(((None, None), (ISSUER, None), (None, AUDIENCE))),
)
def test_what_is_taken_pyjwt_takes_too(
    header: dict[str, Any],
    said: dict[str, Any],
    body: bytes | None,
    places: list[tuple[int, str]],
    demanded: tuple[str | None, str | None],
) -> None:
    """Any token that somebody signs who has the key, and what becomes of it on the way."""
    whole = json.dumps({"alg": "HS256", "kid": "h"} | header).encode()
    claimed = json.dumps({"sub": "ann", "exp": NOW + 60} | said).encode() if body is None else body
    letters = list(signed(whole, claimed))
    for place, letter in places:
        letters[place % len(letters)] = letter
    token, key = "".join(letters), KEYS["h"]

    plain = plainly(token, key, *demanded)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert plain is None or same(plain, by_pyjwt(token, key, *demanded))


def signed(header: bytes, said: bytes) -> str:
    """A token of these parts, whatever is in them."""
    parts = f"{encoded(header)}.{encoded(said)}"
    return f"{parts}.{encoded(jwt.get_algorithm_by_name('HS256').sign(parts.encode(), SECRET.encode()))}"


def same(one: Any, other: Any) -> bool:
    """NaN is not itself."""
    return repr(one) == repr(other)


@pytest.mark.parametrize("wrap", [b"%b}", b"%b{}", b"%b\n", b" %b", b"\xef\xbb\xbf%b", b"[%b]", b"%b\0"])
def test_claims_with_anything_around_them_are_left_to_pyjwt(wrap: bytes) -> None:
    header, said = b'{"alg":"HS256","kid":"h"}', json.dumps({"sub": "ann", "exp": NOW + 60}).encode()

    assert plainly(signed(header, said), KEYS["h"], None, None) is not None
    assert plainly(signed(header, wrap % said), KEYS["h"], None, None) is None


@pytest.mark.parametrize("secret", [public_pem(rsa_key()), '{"kty": "oct", "k": "' + "A" * 40 + '"}'])
def test_a_public_key_is_no_secret(secret: str) -> None:
    """PyJWT refuses every token with such a secret; who has set it is told at the start."""
    with pytest.raises(ConfigError, match=r"auth\.keys: the secret of key h is a key of another kind"):
        load_keys(Auth(keys=[Key(kid="h", alg="HS256", secret=Secret(secret))]))
