"""The certificate of a node: what is refused at start, what is said, and how another takes its place."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from actors.runtime import SystemClock
from actors.runtime.meters import Meters
from server.config import ConfigError, Edge
from server.tls import Certificate, open_certificate
from tests.support.certificates import Pair

CLOCK = SystemClock()


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def opened(pair: Pair, meters: Meters | None = None) -> Certificate:
    return Certificate(str(pair.cert), str(pair.key), CLOCK, meters or Meters())


def shown(server: ssl.SSLContext, client: ssl.SSLContext) -> ssl.SSLObject:
    """The client's end after a handshake, in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    there = server.wrap_bio(to_server, to_client, server_side=True)
    open_ends = [here, there]
    while open_ends:
        for end in tuple(open_ends):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            open_ends.remove(end)
    return here


def name_of(end: ssl.SSLObject) -> str:
    """The common name of the certificate that was shown."""
    certificate = end.getpeercert()
    assert certificate is not None
    return str(dict(field for part in certificate["subject"] for field in part)["commonName"])  # type: ignore[misc]


# At start.
def test_without_a_certificate_there_is_no_tls() -> None:
    assert open_certificate(Edge(), CLOCK, Meters()) is None


def spoil_cert(pair: Pair) -> None:
    pair.cert.unlink()


def spoil_key(pair: Pair) -> None:
    pair.key.unlink()


def no_pem(pair: Pair) -> None:
    pair.cert.write_text("certificate")


def no_key(pair: Pair) -> None:
    pair.key.write_text("key")


def folder(pair: Pair) -> None:
    pair.key.unlink()
    pair.key.mkdir()


def another_key(pair: Pair) -> None:
    cert = pair.cert.read_bytes()
    pair.write("another")
    pair.cert.write_bytes(cert)


def passphrase(pair: Pair) -> None:
    pair.write("locked", passphrase=b"secret")


SPOILT: dict[Callable[[Pair], None], str] = {
    spoil_cert: r"edge\.tls_cert: cannot read .*tls\.crt: No such file",
    spoil_key: r"edge\.tls_key: cannot read .*tls\.key: No such file",
    folder: r"edge\.tls_key: cannot read .*tls\.key: Is a directory",
    no_pem: r"edge\.tls_cert: .*tls\.crt holds no certificate",
    no_key: r"edge\.tls_cert, edge\.tls_key: .*tls\.key cannot be used",
    another_key: r"edge\.tls_key: .*tls\.key is not the key of the certificate",
    passphrase: r"edge\.tls_key: .*tls\.key has a passphrase",
}


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_a_pair_that_cannot_be_used_is_refused_with_the_reason(pair: Pair, spoil: Callable[[Pair], None]) -> None:
    spoil(pair)

    with pytest.raises(ConfigError, match=SPOILT[spoil]):
        opened(pair)


@pytest.mark.parametrize(
    ("days", "said"), [((-30, -1), ["tls.expired"]), ((1, 30), ["tls.not_yet_valid"]), ((-1, 30), [])]
)
def test_a_certificate_out_of_its_time_is_used_and_said(pair: Pair, days: tuple[float, float], said: list[str]) -> None:
    pair.write("odd", days=days)

    with capture_logs() as logged:
        opened(pair)

    assert [line["event"] for line in logged] == said


# What is spoken.
def test_the_certificate_is_shown_and_the_connection_is_of_1_3(pair: Pair) -> None:
    end = shown(opened(pair).context, pair.believed())

    assert (name_of(end), end.version()) == ("first", "TLSv1.3")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_nothing_older_than_1_2_is_spoken_and_of_1_2_only_what_has_forward_secrecy(pair: Pair) -> None:
    server, client = opened(pair).context, pair.believed()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert shown(server, client).version() == "TLSv1.2"
    client.set_ciphers("AES128-GCM-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shown(server, client)

    old = pair.believed()
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shown(server, old)


def test_a_client_may_not_begin_again_inside_a_connection(pair: Pair) -> None:
    assert opened(pair).context.options & ssl.OP_NO_RENEGOTIATION


# Another one.
def test_a_new_pair_is_for_new_connections(pair: Pair) -> None:
    meters = Meters()
    certificate = opened(pair, meters)
    before = meters.tls_expires_at_s
    pair.write("second", days=(-1, 60))

    with capture_logs() as logged:
        certificate.reload()

    assert name_of(shown(certificate.context, pair.believed())) == "second"
    assert meters.tls_expires_at_s - before == pytest.approx(30 * 86_400, abs=60)
    assert [line["event"] for line in logged] == ["tls.reloaded"]


@pytest.mark.parametrize("spoil", SPOILT, ids=lambda spoil: spoil.__name__)
def test_a_new_pair_that_cannot_be_used_leaves_the_old_one(pair: Pair, spoil: Callable[[Pair], None]) -> None:
    certificate, believed = opened(pair), pair.believed()
    spoil(pair)

    with capture_logs() as logged:
        certificate.reload()

    assert name_of(shown(certificate.context, believed)) == "first"
    assert [(line["event"], line["log_level"]) for line in logged] == [("tls.kept", "error")]


def test_it_is_read_again_after_it_was_broken(pair: Pair) -> None:
    certificate = opened(pair)
    another_key(pair)
    certificate.reload()
    pair.write("third")
    certificate.reload()

    assert name_of(shown(certificate.context, pair.believed())) == "third"
