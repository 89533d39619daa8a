"""The asyncio client: a game's tools, bots and tests speak to a server with it.

``Client`` is what an application uses. ``Shell`` drives one ClientSession without awaiting anything, for programs that
hold thousands of players. Connections stand behind ``Dial`` and ``Link``.
"""

from clients.python.client import Client, ClientOptions, TokenSource
from clients.python.errors import NotConnected, OutcomeUnknown, Refused, SessionEnded
from clients.python.events import Event, EventQueue
from clients.python.shell import Shell
from clients.python.transport import Dial, Ear, Link
from clients.python.websocket import WebSocketDial

__all__ = [
    "Client",
    "ClientOptions",
    "Dial",
    "Ear",
    "Event",
    "EventQueue",
    "Link",
    "NotConnected",
    "OutcomeUnknown",
    "Refused",
    "SessionEnded",
    "Shell",
    "TokenSource",
    "WebSocketDial",
]
