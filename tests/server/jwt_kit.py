"""Keys and hand-made tokens for tests: an attacker's tools need no library that refuses to forge."""

import hmac
import json
from base64 import urlsafe_b64encode
from functools import cache
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from server.auth import Tokens
from server.config import Auth, Key, Secret
from tests.server.clocks import START_MS, HandClock

SECRET = "0123456789abcdef0123456789abcdef"
NOW = START_MS // 1000


@cache
def rsa_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@cache
def ed_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def private_pem(key: RSAPrivateKey | Ed25519PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_pem(key: RSAPrivateKey | Ed25519PrivateKey) -> str:
    public = key.public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def forge(header: dict[str, Any], claims: Any, secret: str | None) -> str:
    """A token as an attacker writes it: any header; signed with HMAC, or not at all."""
    signed = f"{_part(header)}.{_part(claims)}"
    if secret is None:
        return signed + "."
    mac = hmac.new(secret.encode(), signed.encode(), sha256).digest()
    return f"{signed}.{_encode(mac)}"


def _part(value: Any) -> str:
    return _encode(json.dumps(value).encode())


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


HMAC_KEY = Key(kid="h", alg="HS256", secret=Secret(SECRET))
RSA_KEY = Key(kid="r", alg="RS256", public_key=public_pem(rsa_key()))
ED_KEY = Key(kid="e", alg="EdDSA", private_key=Secret(private_pem(ed_key())))


def tokens(*keys: Key, clock: HandClock | None = None, **auth: Any) -> Tokens:
    return Tokens(Auth(keys=list(keys), **auth), clock or HandClock())


def claims(**changes: Any) -> dict[str, Any]:
    made = {"sub": "ann", "exp": NOW + 60, **changes}
    return {name: value for name, value in made.items() if value is not None}


def hs256(kid: str | None = "h", secret: str = SECRET, **changes: Any) -> str:
    header = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
    return forge(header, claims(**changes), secret)


def rs256(kid: str = "r", **changes: Any) -> str:
    return jwt.encode(claims(**changes), rsa_key(), algorithm="RS256", headers={"kid": kid})
