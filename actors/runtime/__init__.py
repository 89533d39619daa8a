"""The machine that runs actors; it knows no game rule.

A room declares with ``Feature``, its turns get a ``Context``; ``Node`` puts a node together. Everything else is inside.
"""

from actors.runtime.access import NotReadable, TopicOpen, TopicOpened
from actors.runtime.blueprint import Blueprint
from actors.runtime.clock import Clock, SystemClock
from actors.runtime.context import (
    Caller,
    CloseSession,
    Context,
    Deferred,
    Follow,
    OpRef,
    RenameSession,
    SessionCommand,
    SessionRef,
    Unfollow,
)
from actors.runtime.feature import CALLER, Feature
from actors.runtime.mailbox import Answer
from actors.runtime.node import Node, NodeOptions, Outside
from actors.runtime.tickets import EventTicket, RowTicket, Ticket

__all__ = [
    "CALLER",
    "Answer",
    "Blueprint",
    "Caller",
    "Clock",
    "CloseSession",
    "Context",
    "Deferred",
    "EventTicket",
    "Feature",
    "Follow",
    "Node",
    "NodeOptions",
    "NotReadable",
    "OpRef",
    "Outside",
    "RenameSession",
    "RowTicket",
    "SessionCommand",
    "SessionRef",
    "SystemClock",
    "Ticket",
    "TopicOpen",
    "TopicOpened",
    "Unfollow",
]
