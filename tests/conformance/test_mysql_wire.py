"""The answer to a packet of statements, from its bytes, and as the driver would have read it."""

from contextlib import closing
from itertools import pairwise
from random import Random
from typing import Any

import pymysql
import pytest
from pymysql.constants import CLIENT, ER

from storage import StoreDown
from storage.faults import Unusable
from storage.mysql_link import Link, connected
from storage.mysql_wire import PAYLOAD_BYTES, Answer, Rows, asked
from storage.urls import MysqlPlace, parse_store_url
from tests.support.servers import driver

MORE, LAST = 0x0008, 0x0000
LONG_BLOB, LONGLONG, VARCHAR, JSON = 251, 8, 253, 245
UTF8, BYTES = 45, 63

VALUES = """
CREATE TEMPORARY TABLE shown (
    tiny TINYINT, small SMALLINT, middle MEDIUMINT, whole INT, large BIGINT UNSIGNED,
    share DOUBLE, rate FLOAT, price DECIMAL(12, 2),
    word VARCHAR(40), letters CHAR(4), story LONGTEXT, note JSON, pick ENUM('a', 'b'),
    raw VARBINARY(300), heap LONGBLOB,
    day DATE, moment DATETIME(6), stamp TIMESTAMP NULL, lasting TIME(3)
) CHARACTER SET utf8mb4;
INSERT INTO shown VALUES
    (-1, -32768, 8388607, -2147483648, 18446744073709551615, 0.1, 2.5, -10.25,
    'ığ😀''\\\\', 'abcd', REPEAT('long ', 20000), '{"a": [1]}', 'b', _binary'\\0\\\\\xff', REPEAT('b', 70000),
    '2026-11-26', '2026-11-26 23:59:59.000001', '2026-01-01 00:00:00', '-12:34:56.5'),
    (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
    (0, 0, 0, 0, 0, 0, 0, 0, '', '', '', '""', 'a', '', '', NULL, NULL, NULL, '00:00:00')
"""
QUESTION = """
SELECT * FROM shown; SELECT COUNT(*), SUM(tiny), 'x', NULL FROM shown; DO 1; SELECT 1 FROM shown WHERE FALSE
"""


def framed(*payloads: bytes) -> bytes:
    """Payloads, shorter than the longest, in packets."""
    return b"".join(
        len(payload).to_bytes(3, "little") + bytes([n % 256]) + payload for n, payload in enumerate(payloads, 1)
    )


def ok(status: int) -> bytes:
    return b"\x00\x01\xfc\x10\x27" + status.to_bytes(2, "little") + b"\x00\x00Rows matched: 1"


def eof(status: int) -> bytes:
    return b"\xfe\x00\x00" + status.to_bytes(2, "little")


def text(value: bytes) -> bytes:
    """With its length before it."""
    size = len(value)
    if size < 0xFB:
        return bytes([size]) + value
    width, mark = next((w, m) for w, m in ((2, b"\xfc"), (3, b"\xfd"), (8, b"\xfe")) if size < 1 << 8 * w)
    return mark + size.to_bytes(width, "little") + value


def column(kind: int, charset: int) -> bytes:
    names = b"".join(text(part) for part in (b"def", b"db", b"t", b"t", b"name", b"name"))
    return names + b"\x0c" + charset.to_bytes(2, "little") + bytes(4) + bytes([kind]) + bytes(5)


def table(*rows: bytes, status: int = LAST) -> list[bytes]:
    """A number, a text and bytes in each row."""
    columns = [column(LONGLONG, BYTES), column(VARCHAR, UTF8), column(LONG_BLOB, BYTES)]
    return [b"\x03", *columns, eof(status), *rows, eof(status)]


def read(*pieces: bytes) -> list[Rows]:
    """What the pieces come to; complete with the last one and not before."""
    answer = Answer()
    *first, last = pieces
    assert not any(answer.feed(piece) for piece in first)
    assert answer.feed(last)
    return answer.results


BIG = b"\xfe" * 70_000
ANSWER = framed(
    ok(MORE),
    *table(b"\x02-7" + text("ığ".encode()) + text(BIG), b"\xfb\xfb\xfb", text(b"1") + b"\x00\x00", status=MORE),
    ok(MORE),
    *table(),
)
ROWS = [[], [(-7, "ığ", BIG), (None, None, None), (1, "", b"")], [], []]


def test_each_statement_has_its_rows() -> None:
    assert read(ANSWER) == ROWS


def test_an_answer_may_come_in_pieces_of_any_size() -> None:
    assert read(*[ANSWER[at : at + 999] for at in range(0, len(ANSWER), 999)]) == ROWS
    for seed in range(50):
        cuts = sorted({0, len(ANSWER), *Random(seed).choices(range(1, 200), k=20)})
        assert read(*[ANSWER[a:b] for a, b in pairwise(cuts)]) == ROWS, seed


def test_a_value_may_take_more_than_one_packet() -> None:
    value = b"v" * (PAYLOAD_BYTES + 10)
    row = b"\xfb\xfb" + text(value)
    head = framed(*table())[: -len(framed(eof(LAST)))]
    parts = b"\xff\xff\xff\x07" + row[:PAYLOAD_BYTES] + framed(row[PAYLOAD_BYTES:], eof(LAST))

    assert read(head + parts) == [[(None, None, value)]]


def test_json_is_text_whatever_its_character_set_is_said_to_be() -> None:
    """MySQL says binary; MariaDB has no such type."""
    answer = framed(b"\x01", column(JSON, BYTES), eof(LAST), text('{"a": "ğ"}'.encode()), eof(LAST))

    assert read(answer) == [[('{"a": "ğ"}',)]]


def test_a_statement_that_fails_ends_the_answer() -> None:
    answer = Answer()
    with pytest.raises(pymysql.err.IntegrityError) as failed:
        answer.feed(framed(ok(MORE), b"\xff" + ER.DUP_ENTRY.to_bytes(2, "little") + b"#23000Duplicate entry"))
    assert failed.value.args == (ER.DUP_ENTRY, "Duplicate entry")
    assert answer.results == [[]]


def test_a_statement_may_fail_among_its_rows() -> None:
    answer = Answer()
    *head, _ = table(b"\xfb\xfb\xfb")
    with pytest.raises(pymysql.err.OperationalError):
        answer.feed(framed(*head, b"\xff" + ER.QUERY_INTERRUPTED.to_bytes(2, "little") + b"#70100interrupted"))


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_long_statements_are_sent_in_several_packets_of_which_the_last_is_not_full(over: int) -> None:
    sent = asked(b"s" * (PAYLOAD_BYTES - 1 + over))

    first, rest = sent[: PAYLOAD_BYTES + 4], sent[PAYLOAD_BYTES + 4 :]
    if over < 0:
        assert (first[:5], rest) == (b"\xfe\xff\xff\x00\x03", b"")
    else:
        assert (first[:5], rest) == (b"\xff\xff\xff\x00\x03", bytes([over]) + b"\x00\x00\x01" + b"s" * over)


async def linked(url: str) -> Link:
    """A connection to a new database."""
    place = parse_store_url(url)
    assert isinstance(place, MysqlPlace)
    return await connected(place, database=None, timeout_s=10)


async def test_every_type_is_read_as_the_driver_reads_it(mysql_url: str) -> None:
    place = parse_store_url(mysql_url)
    assert isinstance(place, MysqlPlace)
    link = await linked(mysql_url)
    await link.run(f"CREATE DATABASE `{place.database}`; USE `{place.database}`".encode())
    await link.run(VALUES.encode())
    ours = await link.run(QUESTION.encode())

    theirs: list[list[tuple[Any, ...]]] = []
    beside = driver(place, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS)
    with closing(beside), beside.cursor() as cursor:
        cursor.execute(VALUES)
        while cursor.nextset():
            pass
        cursor.execute(QUESTION)
        theirs.append(list(cursor.fetchall()))
        while cursor.nextset():
            theirs.append(list(cursor.fetchall()))
    link.quit()

    assert ours == theirs
    assert [type(value) for value in ours[1][0]] == [int, int, str, type(None)], "a sum as SQLite would answer it"


async def test_after_a_statement_that_failed_the_connection_goes_on(mysql_url: str) -> None:
    link = await linked(mysql_url)
    with pytest.raises(Unusable):
        await link.run(b"SELECT 1; SELECT no_such_column; SELECT 2")

    assert await link.run(b"SELECT 3") == [[(3,)]]
    link.quit()


async def test_a_connection_that_was_lost_is_down_at_once(mysql_url: str) -> None:
    link = await linked(mysql_url)
    (((number,),),) = await link.run(b"SELECT CONNECTION_ID()")
    with pytest.raises(StoreDown):
        await link.run(b"KILL %d; SELECT SLEEP(10)" % number)
    for _ in range(3):
        with pytest.raises(StoreDown):
            await link.run(b"SELECT 1")
    link.close()
