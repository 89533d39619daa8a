"""Bytes that sort as standings rank: no two int64 fit the one double that Redis sorts by, nor do we compare tuples."""

import struct

from storage.ranks import RankTable, Standing

KEY_BYTES = 24

_NUMBERS = struct.Struct(">QQQ")
_BIAS = 1 << 63  # int64 to uint64, in order
_TOP = _BIAS - 1  # and in the reverse order


def order_key(table: RankTable, standing: Standing) -> bytes:
    """KEY_BYTES; the standing with the smaller (key, owner) is higher.

    Raises:
        struct.error: a number is not an int64.
    """
    if table.lowest_first:
        return _NUMBERS.pack(standing.score + _BIAS, standing.subscore + _BIAS, standing.at_us + _BIAS)
    return _NUMBERS.pack(_TOP - standing.score, _TOP - standing.subscore, standing.at_us + _BIAS)


def numbers_of(table: RankTable, key: bytes) -> tuple[int, int, int]:
    """(score, subscore, at_us) of an ``order_key``."""
    score, subscore, at_us = _NUMBERS.unpack(key)
    if table.lowest_first:
        return score - _BIAS, subscore - _BIAS, at_us - _BIAS
    return _TOP - score, _TOP - subscore, at_us - _BIAS
