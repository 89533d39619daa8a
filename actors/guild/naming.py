"""Which names a guild may have."""

from actors.guild.errors import NameNotAllowed
from protocol import DISPLAY_NAME_MAX, DISPLAY_NAME_MIN, display_name, skeleton

RESERVED = (
    "admin",
    "administrator",
    "announcement",
    "guildhall",
    "moderator",
    "official",
    "operator",
    "server",
    "staff",
    "support",
    "system",
)
"""Names under which a guild could pass for the game's own people; spaces, punctuation and lookalikes do not help."""


def allowed_name(typed: str) -> str:
    """``typed`` in the form in which a guild bears it.

    Raises:
        NameNotAllowed: not 3 to 24 characters, characters that no name has, nothing but symbols, or a reserved word.
    """
    try:
        name = display_name(typed)
    except ValueError as error:
        raise NameNotAllowed(str(error)) from None
    if not DISPLAY_NAME_MIN <= len(name) <= DISPLAY_NAME_MAX:
        raise NameNotAllowed(f"a guild's name has {DISPLAY_NAME_MIN} to {DISPLAY_NAME_MAX} characters")
    if _letters(name) in _RESERVED:
        raise NameNotAllowed(f"{name!r} is a reserved word")
    return name


def _letters(name: str) -> str:
    return "".join(c for c in skeleton(name) if c.isalnum())


_RESERVED = frozenset(_letters(word) for word in RESERVED)
