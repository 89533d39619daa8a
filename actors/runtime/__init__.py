"""The machine that runs actors; it knows no game rule.

A room declares with ``Feature``, its turns get a ``Context``; ``Node`` puts a node together. Everything else is inside.
"""

from actors.runtime.access import NotReadable, TopicOpen, TopicOpened
from actors.runtime.answer import Answer
from actors.runtime.aside import GiveUp, Lifting, TryAgain, type_of
from actors.runtime.blueprint import Blueprint
from actors.runtime.clock import Clock, SystemClock
from actors.runtime.context import (
    Caller,
    ClosePlayer,
    CloseSession,
    Command,
    Context,
    Deferred,
    Follow,
    MutePlayer,
    OpRef,
    RenameSession,
    SessionCommand,
    SessionRef,
    ShareRates,
    Unfollow,
)
from actors.runtime.feature import CALLER, EVERY_KIND, Feature
from actors.runtime.node import Node, NodeOptions, Outside
from actors.runtime.reach import SERVER, Reach, ask
from actors.runtime.tickets import EventTicket, FetchTicket, RowTicket, Ticket

__all__ = [
    "CALLER",
    "EVERY_KIND",
    "SERVER",
    "Answer",
    "Blueprint",
    "Caller",
    "Clock",
    "ClosePlayer",
    "CloseSession",
    "Command",
    "Context",
    "Deferred",
    "EventTicket",
    "Feature",
    "FetchTicket",
    "Follow",
    "GiveUp",
    "Lifting",
    "MutePlayer",
    "Node",
    "NodeOptions",
    "NotReadable",
    "OpRef",
    "Outside",
    "Reach",
    "RenameSession",
    "RowTicket",
    "SessionCommand",
    "SessionRef",
    "ShareRates",
    "SystemClock",
    "Ticket",
    "TopicOpen",
    "TopicOpened",
    "TryAgain",
    "Unfollow",
    "ask",
    "type_of",
]
