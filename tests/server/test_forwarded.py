"""Who the client is, by the word of a proxy: the header before the first byte, and the field of the request."""

from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.forwarded import HOPS, SIGNATURE, BadHeader, Proxies, ProxyHeader, read_header
from tests.support.proxy_headers import BAD, GOOD

PROXIES = Proxies(["10.0.0.0/8", "192.0.2.7", "2001:db8:aaaa::/48"])


BEHIND = st.sampled_from([b"", b"\r\n", b"GET /ws HTTP/1.1\r\n\r\n", b"\x16\x03\x01", SIGNATURE])


# The header.
@pytest.mark.parametrize("header", GOOD)
def test_a_header_says_how_long_it_is_and_who_the_client_is(header: bytes) -> None:
    assert read_header(header) == ProxyHeader(len(header), GOOD[header])


@pytest.mark.parametrize("header", BAD)
def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(BadHeader):
        read_header(header)


@given(st.sampled_from([*GOOD]), BEHIND)
def test_what_follows_a_header_does_not_change_it(header: bytes, behind: bytes) -> None:
    assert read_header(header + behind) == read_header(header)


@given(st.sampled_from([*GOOD]), st.data())
def test_half_a_header_waits_for_the_rest(header: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(header) - 1))

    assert read_header(header[:end]) is None


def outcome(pieces: list[bytes]) -> ProxyHeader | str | None:
    """What a connection that brings these pieces comes to."""
    seen = b""
    for piece in pieces:
        seen += piece
        try:
            header = read_header(seen)
        except BadHeader:
            return "cut"
        if header is not None:
            return header
    return None


@st.composite
def nearly_headers(draw: st.DrawFn) -> bytes:
    """A header with a byte changed, put in or left out, and something behind it."""
    text = bytearray(draw(st.sampled_from([*GOOD, *BAD])))
    at = draw(st.integers(0, max(0, min(len(text) - 1, 120))))
    byte = draw(st.binary(max_size=2))
    text[at : at + draw(st.integers(0, 2))] = byte
    return bytes(text) + draw(BEHIND)


@given(st.one_of(st.binary(max_size=300), nearly_headers()), st.lists(st.integers(0, 300), max_size=12))
@example(b"PROXY UNKNOWN\r\n", [1, 14])
def test_any_bytes_in_any_packets_come_to_the_same_end(stream: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(ends)]

    assert outcome(pieces) == outcome([stream])


@given(st.one_of(st.binary(max_size=300), nearly_headers()))
def test_whatever_is_believed_is_an_address(stream: bytes) -> None:
    found = outcome([stream])
    if isinstance(found, ProxyHeader):
        assert 0 < found.length <= len(stream)
        assert found.client is None or str(ip_address(found.client)) == found.client


# The field.
@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # nobody has to believe a client
        ("10.1.1.1", [], "10.1.1.1"),
        ("10.1.1.1", [""], "10.1.1.1"),
        ("10.1.1.1", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", ["198.51.100.1, 203.0.113.9"], "203.0.113.9"),  # what the client claims stands to the left
        ("10.1.1.1", ["198.51.100.1", "203.0.113.9"], "203.0.113.9"),
        ("10.1.1.1", ["198.51.100.1,203.0.113.9 ,\t10.2.2.2, 192.0.2.7"], "203.0.113.9"),
        ("10.1.1.1", ["203.0.113.9", "10.2.2.2"], "203.0.113.9"),
        ("10.1.1.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),  # all are ours
        ("10.1.1.1", ["198.51.100.1, unknown"], "10.1.1.1"),  # nothing is believed behind what cannot be read
        ("10.1.1.1", ["203.0.113.9, _hidden, 10.2.2.2"], "10.2.2.2"),
        ("10.1.1.1", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.1.1.1", ["[2001:db8::9]:4711"], "2001:db8::9"),
        ("10.1.1.1", ["2001:DB8::9"], "2001:db8::9"),
        ("10.1.1.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.1.1.1", ["203.0.113.9"], "203.0.113.9"),
        ("2001:db8:aaaa::1", ["203.0.113.9"], "203.0.113.9"),
        ("2001:db8:bbbb::1", ["203.0.113.9"], "2001:db8:bbbb::1"),
        ("local", ["203.0.113.9"], "local"),
    ],
)
def test_the_rightmost_address_that_is_no_proxys_is_the_clients(peer: str, forwarded: list[str], client: str) -> None:
    assert PROXIES.client(peer, forwarded) == client


def test_a_chain_longer_than_any_is_looked_at_as_far_as_the_bound() -> None:
    chain = ", ".join(["203.0.113.9", *["10.1.1.1"] * HOPS])

    assert PROXIES.client("10.1.1.1", [chain]) == "10.1.1.1"
    assert PROXIES.client("10.1.1.1", chain.split(",")) == "10.1.1.1"


@given(
    st.sampled_from(["10.1.1.1", "203.0.113.9", "local", ""]),
    st.lists(st.text(alphabet=st.characters(max_codepoint=255), max_size=80), max_size=4),
)
def test_any_text_leads_to_the_peer_or_to_an_address(peer: str, forwarded: list[str]) -> None:
    client = PROXIES.client(peer, forwarded)

    assert client == peer or (PROXIES.trusts(peer) and str(ip_address(client)) == client)


def test_without_a_setting_nobody_is_believed() -> None:
    assert Proxies().client("127.0.0.1", ["203.0.113.9"]) == "127.0.0.1"


@pytest.mark.parametrize("wrong", ["", "*", "proxy.example", "10.0.0.0/33", "10.0.0.1/8"])
def test_who_is_trusted_is_written_as_addresses_and_networks(wrong: str) -> None:
    with pytest.raises(ValueError):
        Proxies([wrong])
