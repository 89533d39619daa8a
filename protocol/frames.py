"""The header of a WebSocket frame (RFC 6455, section 5.2), as far as client and server read it by themselves."""

MASKED, SIZE = 0x80, 0x7F  # of the second byte
MEDIUM, LONG = 126, 127  # sizes that stand in the next 2 and 8 bytes


def frame_bytes(data: bytes, at: int) -> int:
    """Length of the frame that begins at ``at``; where its header is not whole, what is needed at least to know it."""
    if len(data) - at < 2:
        return 2
    second = data[at + 1]
    header = 6 if second & MASKED else 2
    size = second & SIZE
    if size < MEDIUM:
        return header + size
    more = 2 if size == MEDIUM else 8
    if len(data) - at < 2 + more:
        return 2 + more
    return header + more + int.from_bytes(data[at + 2 : at + 2 + more])
