"""Announcements (PROTOCOL.md): staff speaks to everybody, or to an audience, now or later.

POST /v1/announcements -> broadcasts:all (announcements.py)
  to everybody:  one row, one event of the topic ``announce`` -> every session; later from a mark (seen.py)
  to some:       pages of players (campaign.py) -> their inboxes (actors/mail.py)
"""

from actors.broadcasts.announcements import Body, broadcasts
from actors.broadcasts.crier import TOPIC
from actors.broadcasts.messages import (
    AnnouncementCancel,
    AnnouncementCancelled,
    AnnouncementId,
    AnnouncementInPast,
    AnnouncementMade,
    AnnouncementMake,
    AnnouncementNotFound,
    AnnouncementOver,
    Audience,
    Texts,
    TimeMs,
    Titles,
    TooManyAnnouncements,
)
from actors.broadcasts.rules import Live, first_to_show
from actors.broadcasts.seen import AnnounceNote, announced

__all__ = [
    "TOPIC",
    "AnnounceNote",
    "AnnouncementCancel",
    "AnnouncementCancelled",
    "AnnouncementId",
    "AnnouncementInPast",
    "AnnouncementMade",
    "AnnouncementMake",
    "AnnouncementNotFound",
    "AnnouncementOver",
    "Audience",
    "Body",
    "Live",
    "Texts",
    "TimeMs",
    "Titles",
    "TooManyAnnouncements",
    "announced",
    "broadcasts",
    "first_to_show",
]
