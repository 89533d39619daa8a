"""The certificate that this node shows, and how it is read again while players are connected.

Settings follow Mozilla's "intermediate": TLS 1.2 and 1.3, and of 1.2 only what has forward secrecy and authenticated
encryption. A client may not ask for a new handshake inside a connection: it would cost the node more than the client.
"""

import ssl
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509

from actors.runtime import Clock
from actors.runtime.meters import Meters
from server.config import ConfigError, Edge

log = structlog.get_logger()
FILE_BYTES: Final = 1_048_576  # no certificate is near it
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; those of 1.3 are all good
SHUTDOWN_S: Final = 2.0  # for the peer to answer that the connection ends; then the socket is cut


class Certificate:
    """The certificate of ``cert`` and ``key``, and the context with which new connections are made.

    Raises:
        ConfigError: a file is missing or unreadable, or they do not belong together.
    """

    def __init__(self, cert: str, key: str, clock: Clock, meters: Meters) -> None:
        self._cert, self._key = cert, key
        self._clock = clock
        self._meters = meters
        self.context = self._load()

    def reload(self) -> None:
        """Read both files again, for connections that come from now on. Where they cannot be used, the one that was
        there stays. Reads files: not for the loop."""
        try:
            self.context = self._load()
        except ConfigError as error:
            log.error("tls.kept", reason=str(error))
        else:
            log.info("tls.reloaded", cert=self._cert, expires_at_s=int(self._meters.tls_expires_at_s))

    def _load(self) -> ssl.SSLContext:
        first = _first_certificate(self._cert)
        _content("edge.tls_key", self._key)
        context = _context()
        try:
            context.load_cert_chain(self._cert, self._key, password=_no_passphrase)
        except ConfigError:
            raise ConfigError(f"edge.tls_key: {self._key} has a passphrase; allowed: a key without one") from None
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(self._why_not(error)) from None
        self._say_dates(first)
        self._meters.tls_expires_at_s = first.not_valid_after_utc.timestamp()
        return context

    def _why_not(self, error: OSError) -> str:
        reason = getattr(error, "reason", None) or error
        if reason == "KEY_VALUES_MISMATCH":
            return f"edge.tls_key: {self._key} is not the key of the certificate in {self._cert}"
        return f"edge.tls_cert, edge.tls_key: {self._cert} and {self._key} cannot be used: {reason}"

    def _say_dates(self, certificate: x509.Certificate) -> None:
        now_s = self._clock.now_ms() / 1000
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        if now_s >= ends.timestamp():
            log.warning("tls.expired", cert=self._cert, at=ends.isoformat())
        elif now_s < begins.timestamp():
            log.warning("tls.not_yet_valid", cert=self._cert, at=begins.isoformat())


def open_certificate(edge: Edge, clock: Clock, meters: Meters) -> Certificate | None:
    """The certificate of the settings; None where there is none, and the ports do not speak TLS.

    Raises:
        ConfigError: it cannot be used.
    """
    if edge.tls_cert is None or edge.tls_key is None:
        return None
    return Certificate(edge.tls_cert, edge.tls_key, clock, meters)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _content(name: str, path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{name}: cannot read {path}: {error.strerror}") from None


def _first_certificate(path: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(_content("edge.tls_cert", path))[0]
    except ValueError:
        raise ConfigError(f"edge.tls_cert: {path} holds no certificate as PEM") from None


def _no_passphrase() -> str:
    """Asked by OpenSSL for an encrypted key; by itself it would ask at the terminal."""
    raise ConfigError("the key has a passphrase")
