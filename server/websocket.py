"""What websockets' protocol leaves to its own shells, and what RFC 6455 asks for all the same; and compression."""

import codecs
from typing import Any

from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol
from websockets.server import ServerProtocol

_utf8 = codecs.utf_8_decode
_Utf8 = codecs.getincrementaldecoder("utf-8")
_DEFLATE = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
"""Each message by itself, both ways: between messages a connection keeps nothing (with takeover it would keep 40 kB to
read and up to 256 kB to write), and no secret is compressed together with what somebody else has said."""


def is_text(payload: bytes) -> bool:
    """Whether a text message is one: UTF-8 (section 8.1)."""
    if payload.isascii():
        return True
    try:
        _utf8(payload, "strict", True)
    except UnicodeDecodeError:
        return False
    return True


class StrictFraming(Protocol):
    """Ends a connection over text that is no UTF-8, and takes a close frame between the fragments of a message."""

    _text: codecs.IncrementalDecoder | None = None
    """Reads the text message that is coming in fragments; None if none is."""

    def recv_frame(self, frame: Frame) -> None:
        """Called by the parser for every frame, inflated; an exception ends the connection with its close code."""
        opcode = frame.opcode
        if opcode is Opcode.TEXT:
            if frame.fin:
                _utf8(frame.data, "strict", True)  # section 8.1: what is no UTF-8 ends the connection with 1007
            else:
                self._text = _Utf8()
                self._text.decode(frame.data)
        elif opcode is Opcode.CONT and self._text is not None:
            self._text.decode(frame.data, frame.fin)
            if frame.fin:
                self._text = None
        elif opcode is Opcode.CLOSE:
            self.current_size = None  # section 5.4: a control frame may come between fragments; websockets says 1002
        super().recv_frame(frame)


class StrictProtocol(StrictFraming, ServerProtocol):
    """The same with the upgrade before it, which may agree on compression."""

    def __init__(self, *, compression: bool, **options: Any) -> None:
        super().__init__(extensions=[_DEFLATE] if compression else None, **options)

    @property
    def window_bits(self) -> int:
        """Of the window with which messages to the client may be compressed; 0 if they may not be."""
        deflates = (e.local_max_window_bits for e in self.extensions if isinstance(e, PerMessageDeflate))
        return next(deflates, 0)
