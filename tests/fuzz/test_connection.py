"""Whatever comes, in whatever pieces: the connection hears and answers what websockets' protocol alone would.

That is what allows the connection to take shorter ways through the bytes.
"""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import streams
from tests.fuzz.effort import effort
from tests.fuzz.line import agree


@effort
@given(streams.well_behaved, streams.seeds)
def test_what_good_clients_send(stream: bytes, seed: int) -> None:
    agree(streams.chopped(stream, seed))


@effort
@given(streams.abusive, streams.seeds)
def test_what_bad_clients_send(stream: bytes, seed: int) -> None:
    agree(streams.chopped(stream, seed))


@effort
@given(streams.strange, streams.seeds)
def test_what_may_not_even_be_an_upgrade(stream: bytes, seed: int) -> None:
    agree(streams.chopped(stream, seed))


@effort
@given(st.lists(streams.tame | streams.wild, min_size=1, max_size=30))
def test_each_frame_in_a_packet_of_its_own(parts: list[bytes]) -> None:
    agree([streams.UPGRADE, *parts])


@effort
@given(st.lists(streams.tame, min_size=10, max_size=30), streams.seeds)
def test_many_messages_in_few_packets(parts: list[bytes], seed: int) -> None:
    agree(streams.chopped(streams.UPGRADE + b"".join(parts)[:5_000], seed))
