"""Keys for sign-in tokens, from the settings and from JSON Web Key Sets (RFC 7517)."""

from collections.abc import Mapping
from typing import Any

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from jwt.exceptions import InvalidKeyError
from msgspec import Struct

from server.config import SECRET_BYTES, Auth, ConfigError, Key, Secret
from server.config_sources import read_file

RSA_BITS = 2048  # RFC 7518 section 3.3
DEV_SECRET = b"guildhall-development-only-not-a-secret"
"""Signs the tokens of a development server that has no key of its own, where ``dev:NAME`` opens
every account anyway. The same at each start, so that tokens outlive a restart and are good on every
node."""


class AuthKey(Struct, frozen=True):
    """A key bound to its one algorithm."""

    kid: str
    alg: str
    public: Any
    """What verifies: bytes (HS256) or a public key object."""
    private: Any = None
    """What signs; None where this server only verifies."""

    def __repr__(self) -> str:
        return f"AuthKey(kid={self.kid!r}, alg={self.alg!r})"


class KeySet(Struct, frozen=True):
    """Keys by their ``kid``, in the order of the settings."""

    by_kid: Mapping[str, AuthKey]

    @property
    def signing(self) -> AuthKey | None:
        """The first key that can sign."""
        return next((key for key in self.by_kid.values() if key.private is not None), None)

    @property
    def only(self) -> AuthKey | None:
        """The key of a set of one: a token may leave out its ``kid`` then."""
        return next(iter(self.by_kid.values())) if len(self.by_kid) == 1 else None


def load_keys(auth: Auth) -> KeySet:
    """The keys that the settings name, read from their files.

    Raises:
        ConfigError: a file cannot be read, or what it holds is no key for its algorithm or too
            weak.
    """
    keys = {key.kid: _load(key) for key in auth.keys}
    if auth.jwks_file is not None:
        fetched = parse_jwks(read_file("auth.jwks_file", auth.jwks_file).encode())
        if not fetched:
            raise ConfigError(f"auth.jwks_file: {auth.jwks_file} holds no RSA or Ed25519 public key with a kid")
        keys = fetched | keys
    if auth.dev and not keys:
        keys["dev"] = AuthKey("dev", "HS256", DEV_SECRET, DEV_SECRET)
    return KeySet(keys)


def parse_jwks(body: bytes) -> dict[str, AuthKey]:
    """The public keys of a JSON Web Key Set that tokens may be signed with; what else it holds is
    left out.

    A shared secret in a key set that anyone can read is never taken.
    """
    try:
        found: Any = msgspec.json.decode(body)
        entries = found["keys"]
    except (msgspec.DecodeError, KeyError, TypeError):
        return {}
    parsed = (_parse_jwk(entry) for entry in entries if isinstance(entry, dict)) if isinstance(entries, list) else ()
    return {key.kid: key for key in parsed if key is not None}


def _parse_jwk(entry: dict[str, Any]) -> AuthKey | None:
    kid, kind = entry.get("kid"), entry.get("kty")
    alg = {"RSA": "RS256", "OKP": "EdDSA"}.get(kind) if isinstance(kind, str) else None
    if not isinstance(kid, str) or alg is None or entry.get("use", "sig") != "sig" or entry.get("alg", alg) != alg:
        return None
    try:
        key: Any = (RSAAlgorithm if alg == "RS256" else OKPAlgorithm).from_jwk(entry)
    except (InvalidKeyError, ValueError, KeyError, TypeError):
        return None
    return AuthKey(kid, alg, key) if _fits(alg, key) else None


def _load(key: Key) -> AuthKey:
    if key.alg == "HS256":
        secret = (_text(key, "secret", key.secret, key.secret_file) or "").encode()
        if len(secret) < SECRET_BYTES:
            raise ConfigError(
                f"auth.keys: the secret of key {key.kid} is too short; allowed: {SECRET_BYTES} bytes or more"
            )
        if secret == DEV_SECRET:
            raise ConfigError(f"auth.keys: the secret of key {key.kid} is the public one of development mode")
        _refuse_public(key, secret)
        return AuthKey(key.kid, key.alg, secret, secret)
    private_text = _text(key, "private_key", key.private_key, key.private_key_file)
    public_text = _text(key, "public_key", key.public_key, key.public_key_file)
    private: Any = _pem(key, private_text, private=True) if private_text else None
    public: Any = _pem(key, public_text, private=False) if public_text else private.public_key()
    if private is not None and _raw(private.public_key()) != _raw(public):
        raise ConfigError(f"auth.keys: the private and the public part of key {key.kid} do not belong together")
    if not _fits(key.alg, public):
        allowed = f"RSA of {RSA_BITS} bits or more" if key.alg == "RS256" else "Ed25519"
        raise ConfigError(f"auth.keys: key {key.kid} does not fit {key.alg}; allowed: {allowed}")
    return AuthKey(key.kid, key.alg, public, private)


def _refuse_public(key: Key, secret: bytes) -> None:
    """A key that others may have is no secret, and whoever has it could sign: PyJWT knows one when it sees it."""
    try:
        jwt.get_algorithm_by_name(key.alg).prepare_key(secret)
    except InvalidKeyError:
        raise ConfigError(
            f"auth.keys: the secret of key {key.kid} is a key of another kind or a certificate; allowed: random bytes"
        ) from None


def _text(key: Key, name: str, inline: Secret | str | None, path: str | None) -> str | None:
    if path is not None:
        return read_file(f"auth.keys: {name}_file of key {key.kid}", path).strip()
    return inline.reveal() if isinstance(inline, Secret) else inline


def _pem(key: Key, text: str, *, private: bool) -> Any:
    try:
        if private:
            return serialization.load_pem_private_key(text.encode(), password=None)
        return serialization.load_pem_public_key(text.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        kind = "private" if private else "public"
        raise ConfigError(f"auth.keys: key {key.kid} holds no {kind} key; allowed: PEM without a password") from None


def _raw(public: Any) -> bytes:
    der: bytes = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return der


def _fits(alg: str, key: Any) -> bool:
    if alg == "EdDSA":
        return isinstance(key, Ed25519PublicKey)
    return isinstance(key, RSAPublicKey) and key.key_size >= RSA_BITS
