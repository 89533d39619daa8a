"""What MySQL and MariaDB answer to a packet of statements: from bytes to rows. No I/O.

The text protocol as both describe it ("COM_QUERY response", without CLIENT_DEPRECATE_EOF): a packet has three bytes of
length and one of sequence. A statement is answered by OK, by an error, or by its columns, EOF, its rows, EOF; the last
OK or EOF of one says whether another one's answer follows. (The driver awaits each packet by itself and takes 11 µs for
an OK; a commit is answered by eight.)
"""

from collections.abc import Callable
from typing import Any

from pymysql import err
from pymysql.connections import TEXT_TYPES
from pymysql.constants import FIELD_TYPE
from pymysql.constants.SERVER_STATUS import SERVER_MORE_RESULTS_EXISTS
from pymysql.converters import decoders, through

Rows = list[tuple[Any, ...]]
Reader = Callable[[bytes], Any]
"""Makes a column's value of its text."""

HEADER_BYTES = 4
PAYLOAD_BYTES = 0xFFFFFF
"""A payload of this length goes on in the next packet."""

_OK, _NULL, _EOF, _ERROR = 0x00, 0xFB, 0xFE, 0xFF
_LENGTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}  # bytes of a length that does not fit the first one
_BINARY = 63  # the character set of bytes
_NAMES = 6  # catalog, schema, table, its alias, column, its alias: before what is said of a column


class Answer:
    """The answer to one packet of statements, as it comes in."""

    def __init__(self) -> None:
        self.results: list[Rows] = []
        """The rows of each statement, empty for those that give none."""
        self._data = bytearray()
        self._long = b""
        """Of a payload that goes on."""
        self._take = self._begin
        self._missing = 0
        """Columns that have not been described yet."""
        self._readers: list[Reader] = []

    def feed(self, data: bytes) -> bool:
        """Whether the answer is complete with ``data``.

        Raises:
            err.MySQLError: a statement failed; nothing follows.
        """
        self._data += data
        at, end = 0, len(self._data)
        done = False
        while not done and end - at >= HEADER_BYTES:
            size = int.from_bytes(self._data[at : at + 3], "little")
            start, after = at + HEADER_BYTES, at + HEADER_BYTES + size
            if after > end:
                break
            payload = self._long + self._data[start:after]
            at = after
            if size == PAYLOAD_BYTES:
                self._long = bytes(payload)
                continue
            self._long = b""
            done = self._take(bytes(payload))
        del self._data[:at]
        return done

    def _begin(self, payload: bytes) -> bool:
        kind = payload[0]
        if kind == _ERROR:
            err.raise_mysql_exception(payload)
        self.results.append([])
        if kind == _OK:
            _, at = _length(payload, 1)
            _, at = _length(payload, at)
            return self._ended(payload, at)
        self._missing, _ = _length(payload, 0)
        self._readers = []
        self._take = self._column
        return False

    def _column(self, payload: bytes) -> bool:
        if self._missing:
            self._missing -= 1
            self._readers.append(_reader(payload))
        else:  # EOF
            self._take = self._row
        return False

    def _row(self, payload: bytes) -> bool:
        if payload[0] == _EOF and len(payload) < 9:
            self._take = self._begin
            return self._ended(payload, 3)
        if payload[0] == _ERROR:
            err.raise_mysql_exception(payload)
        values: list[Any] = []
        at = 0
        for reader in self._readers:
            if payload[at] == _NULL:
                values.append(None)
                at += 1
                continue
            size, at = _length(payload, at)
            values.append(reader(payload[at : at + size]))
            at += size
        self.results[-1].append(tuple(values))
        return False

    def _ended(self, payload: bytes, at: int) -> bool:
        """Whether that was the last statement; its status is at ``at``."""
        return not int.from_bytes(payload[at : at + 2], "little") & SERVER_MORE_RESULTS_EXISTS


def _length(data: bytes, at: int) -> tuple[int, int]:
    """A whole number, mostly a length, and where it ends."""
    first = data[at]
    at += 1
    size = _LENGTHS.get(first)
    if size is None:
        return first, at
    return int.from_bytes(data[at : at + size], "little"), at + size


def _reader(payload: bytes) -> Reader:
    """What a column's description asks for."""
    at = 0
    for _ in range(_NAMES):
        size, at = _length(payload, at)
        at += size
    charset, kind = int.from_bytes(payload[at + 1 : at + 3], "little"), payload[at + 7]
    if kind in _READERS:
        return _READERS[kind]
    if kind in TEXT_TYPES and charset == _BINARY:
        return bytes
    convert = decoders.get(kind, through)
    return bytes.decode if convert is through else lambda text: convert(text.decode())


def _number(text: bytes) -> int | float:
    """A DECIMAL, as SUM() of whole numbers gives one, in the type that SQLite would answer."""
    return float(text) if b"." in text else int(text)


_READERS: dict[int, Reader] = {
    **dict.fromkeys((FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG, FIELD_TYPE.LONGLONG), int),
    **dict.fromkeys((FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE), float),
    **dict.fromkeys((FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL), _number),
}


def asked(packet: bytes) -> bytes:
    """``packet``, statements with semicolons between them, as it is sent (COM_QUERY)."""
    payload = b"\x03" + packet
    if len(payload) < PAYLOAD_BYTES:
        return len(payload).to_bytes(3, "little") + b"\0" + payload
    starts = range(0, len(payload) + 1, PAYLOAD_BYTES)  # the last part is shorter, maybe empty
    parts = [payload[start : start + PAYLOAD_BYTES] for start in starts]
    return b"".join(
        [len(part).to_bytes(3, "little") + bytes([number % 256]) + part for number, part in enumerate(parts)]
    )


QUIT = b"\x01\0\0\0\x01"
"""Leave of the server, as it is sent (COM_QUIT)."""
