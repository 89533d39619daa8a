"""What people type: cleaned before it is kept, compared by its looks where it has to be unique.

A field that holds such text says so in its type, and the codec cleans it after decoding; the bounds
of the field hold for the cleaned text::

    text: Annotated[str, Meta(min_length=1, max_length=2000, extra={"text": clean})]
    name: DisplayName

``extra["text"]`` is a function from text to text. It may raise ValueError with a reason, which the
client is told as ``protocol.invalid``.
"""

# ruff: noqa: RUF001 - characters that look alike are what the table below is made of

import re
import unicodedata
from typing import Annotated

from msgspec import Meta

DISPLAY_NAME_MIN = 3  # characters, after cleaning
DISPLAY_NAME_MAX = 24  # characters, after cleaning
NAME_PUNCTUATION = "-_'."  # may stand in a name besides letters, marks, digits and single spaces
MARKS_IN_A_ROW = 3  # Hebrew needs that many on a letter; towers of marks run over other lines
SKELETON_MAX = 4 * DISPLAY_NAME_MAX  # characters: the size of a column for ``skeleton(name)``

# Characters that show nothing and reorder or hide what stands beside them. Kept although Unicode
# calls them format characters or ignorable: ZWJ and ZWNJ (emoji, Persian, Indic scripts), the
# variation selectors (emoji, Mongolian, Japanese names) and the visible Arabic number signs.
# Lone surrogates cannot come this far: both decoders refuse them.
_BLANKS = "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"  # joiner, fillers: letters and marks to Unicode
_UNWANTED = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # Cc without \t and \n
    "\u00ad\u061c\u180e"  # soft hyphen, Arabic letter mark, Mongolian vowel separator
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f"  # zero width space, bidi marks and overrides
    "\ufeff\ufff0-\ufffb\ufdd0-\ufdef\ufffe\uffff"  # BOM, annotations, noncharacters
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # shorthand and musical controls
    "\U000e0000-\U000e00ff"  # tags: text that nobody sees, except in the flags below
)
# England, Scotland, Wales and the like: a black flag, the region in tag letters, a cancel tag
# (UTS #51, section 1.4.6).
_TAGGED_FLAG = "\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f"
_STRIPPED = re.compile(f"({_TAGGED_FLAG})|[{_BLANKS}{_UNWANTED}]")
_BLANK = re.compile(f"[{_BLANKS}]")
_LINE_ENDS = re.compile("\r\n?|[\x85\u2028\u2029]")


def clean(text: str) -> str:
    """``text`` in NFC without invisible characters; cleaning twice changes nothing more.

    Of the control characters only newline and tab are kept, and every other kind of line end
    becomes a newline. The result may be empty, and a little longer than ``text`` (NFC takes some
    characters apart).
    """
    if text.isascii() and text.isprintable():
        return text
    if text.isprintable() and not _BLANK.search(text):
        return unicodedata.normalize("NFC", text)
    text = _STRIPPED.sub(r"\1", _LINE_ENDS.sub("\n", text))
    return unicodedata.normalize("NFC", text)


def display_name(text: str) -> str:
    """``text`` cleaned and in NFKC, for a name that other players see.

    Raises:
        ValueError: it holds anything but letters, marks, digits, single inner spaces and
            ``NAME_PUNCTUATION``, has no letter or digit, or more than ``MARKS_IN_A_ROW``.
    """
    name = unicodedata.normalize("NFKC", clean(text))
    if name != name.strip(" ") or "  " in name:
        raise ValueError("a name has only single spaces, and none at its ends")
    kinds = "".join(_kind(c) for c in name)
    if "?" in kinds:
        raise ValueError(f"a name holds only letters, digits, spaces and {NAME_PUNCTUATION}")
    if "a" not in kinds:
        raise ValueError("a name has at least one letter or digit")
    if kinds.startswith("m") or "m" * (MARKS_IN_A_ROW + 1) in kinds:
        raise ValueError(f"a letter has at most {MARKS_IN_A_ROW} marks")
    return name


def _kind(char: str) -> str:
    """``a`` for a letter or digit, ``m`` for a mark, ``-`` for what may stand between, or ``?``."""
    if char.isascii():
        return "a" if char.isalnum() else "-" if char in NAME_PUNCTUATION + " " else "?"
    category = unicodedata.category(char)
    if category[0] == "L" or char.isdecimal():
        return "a"
    # Variation selectors are marks that change no letter: with them a name would have many twins.
    if category in {"Mn", "Mc"} and not unicodedata.name(char, "").startswith("VARIATION"):
        return "m"
    return "?"


DisplayName = Annotated[
    str,
    Meta(
        min_length=DISPLAY_NAME_MIN,
        max_length=DISPLAY_NAME_MAX,
        description="Letters, digits, single inner spaces and -_'. only.",
        extra={"text": display_name},
    ),
]
"""A player's or a guild's name; where it has to be unique, by its ``skeleton``."""

# What looks like a Latin letter: cut from confusables.txt of UTS #39 (Unicode Security Mechanisms)
# to the scripts that a game's font is likely to have, and closed over upper and lower case, because
# a name that is unique is so in any case. Hence i, l and 1 are one letter (I looks like l), and
# where capital and small look like different Latin letters, the capital counts: it is the same
# glyph, the small one is only close. Other digits stay: Ann5 must not be held to be Anns.
_LOOKALIKES = {
    "3": "зӡʒɜȝ",
    "6": "б",
    "a": "αаɑ",
    "ae": "æӕ",
    "b": "βв",
    "c": "ϲсᴄ",
    "d": "ԁ",
    "e": "εеҽ",
    "g": "ɡԍ",
    "h": "ηнһ",
    "j": "ϳјʝ",
    "k": "κк",
    "l": "i1ιіӏıɩɪǀ",
    "n": "ν",
    "o": "0οоᴏ",
    "oe": "œ",
    "p": "ρр",
    "q": "ԛ",
    "r": "гᴦ",
    "rn": "mμмϻ",
    "s": "ѕꜱƽ",
    "t": "τт",
    "u": "ᴜʋ",
    "v": "ѵᴠ",
    "vv": "wѡԝᴡɯ",
    "x": "χх",
    "y": "υуүʏ",
    "z": "ζᴢ",
}
_TO_LATIN = str.maketrans({c: latin for latin, like in _LOOKALIKES.items() for c in like})

# Small letters that are only close: taken for Latin where a Latin letter stands beside them.
_CLOSE = str.maketrans("νυησγьոսօհցգք", "vunoybnuohgqf")
_LATIN = re.compile("[A-Za-z]")


def skeleton(name: str) -> str:
    """How ``name`` looks: two names with one skeleton can be taken for each other.

    For unique keys only, never shown. Made of NFKC, case folding and lookalikes (UTS #39, section
    4); digits of every script count as 0 to 9. At most ``SKELETON_MAX`` for a DisplayName.
    """
    name = clean(name)
    if name.isascii():
        return name.lower().translate(_TO_LATIN)  # what is below comes to the same, in three times the time
    name = unicodedata.normalize("NFKC", name)
    if _LATIN.search(name):
        name = name.translate(_CLOSE)
    name = unicodedata.normalize("NFKD", name.casefold()).replace("i\u0307", "i")
    if not name.isascii():
        name = "".join(str(unicodedata.decimal(c, c)) for c in name)
    return unicodedata.normalize("NFC", name.translate(_TO_LATIN))
