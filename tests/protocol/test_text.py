"""Text is cleaned of what nobody sees, and names are compared by their looks."""

# ruff: noqa: RUF001 - lookalikes are the subject

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import DISPLAY_NAME_MAX, SKELETON_MAX, clean, display_name, skeleton


@pytest.mark.parametrize(
    "kept",
    [
        "plain",
        "two\nlines\tand a tab",
        "Çağrı Łukasz Ἀθηνᾶ 日本語 한국어 ไทย",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # a family, joined by ZWJ
        "می\u200cخواهم",  # Persian, with ZWNJ
        "\u2764\ufe0f",  # the red heart needs its variation selector
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",  # England's flag
    ],
)
def test_what_people_write_stays_as_it_is(kept: str) -> None:
    assert clean(kept) == unicodedata.normalize("NFC", kept) == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("a\x00b\x1bc\x7f\x9f", "abc"),
        ("\u202egnp.exe\u202c", "gnp.exe"),
        ("\u2066a\u2069\u200e\u200f\u061c", "a"),
        ("in\u200bvis\u2060ible\ufeff\u00ad", "invisible"),
        ("\u3164\u115f\u2800", ""),
        ("hi\U000e0068\U000e0069", "hi"),
        ("one\r\ntwo\rthree\u2028four\x85", "one\ntwo\nthree\nfour\n"),
        ("e\u0301", "é"),
        ("e\u034f\u0301", "é"),
    ],
)
def test_what_hides_or_reorders_is_taken_out(typed: str, kept: str) -> None:
    assert clean(typed) == kept


@given(st.text())
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@pytest.mark.parametrize("name", ["Ann", "Ann Bo", "O'Neil-Smith_2.0", "Ödön", "मोहित", "アンナ", "x" * 24])
def test_a_name_of_letters_digits_and_single_spaces_is_a_name(name: str) -> None:
    assert display_name(name) == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (" Ann", "single spaces"),
        ("Ann ", "single spaces"),
        ("Ann  Bo", "single spaces"),
        ("Ann\nBo", "only letters"),
        ("<b>Ann", "only letters"),
        ("Ann\U0001f600", "only letters"),
        ("---", "at least one letter"),
        ("A\u0316\u0317\u0318\u0319nn", "at most 3 marks"),
        ("\u0316Ann", "at most 3 marks"),
        ("Ann\ufe0f", "only letters"),
    ],
)
def test_what_is_no_name_is_refused_with_a_reason(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        display_name(name)


def test_compatibility_letters_of_a_name_become_plain_ones() -> None:
    assert display_name("\uff21\uff2e\uff2e \U0001d401\U0001d428") == "ANN Bo"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("admin", "\u0430dmin"),  # Cyrillic a
        ("Admin", "ADM1N"),
        ("Admin", "AdmIn"),
        ("Admin", "Adrnin"),
        ("paypal", "раураl"),
        ("HEAT", "НЕАТ"),  # wholly Cyrillic
        ("NOTE", "ΝΟΤΕ"),  # wholly Greek
        ("venom", "νenom"),  # Greek nu between Latin letters
        ("Savvy", "Sawy"),
        ("zero", "zer0"),
        ("Ann", "\uff21\uff4e\uff4e"),
        ("Ann7", "Ann\u0667"),  # Arabic-Indic seven
        ("Istanbul", "istanbul"),
        ("İstanbul", "istanbul"),
    ],
)
def test_names_that_look_alike_share_a_skeleton(one: str, other: str) -> None:
    assert skeleton(one) == skeleton(other)


@pytest.mark.parametrize(("one", "other"), [("Ann", "Bo"), ("Ann5", "Anns"), ("Zoé", "Zoe"), ("Нина", "Анна")])
def test_names_that_look_different_do_not(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=DISPLAY_NAME_MAX))
def test_a_name_of_ascii_has_the_skeleton_of_its_full_width_form(name: str) -> None:
    assert skeleton(name) == skeleton("".join(chr(ord(c) + 0xFEE0) for c in name))


def test_a_skeleton_does_not_depend_on_case_in_any_script() -> None:
    for name in ("Нина", "Ὀδυσσεύς", "Łukasz", "Straße", "Երևան", "ΜΑΡΙΑ"):
        assert skeleton(name.upper()) == skeleton(name.lower()) == skeleton(name)


@given(st.text(min_size=1, max_size=DISPLAY_NAME_MAX))
def test_the_skeleton_of_a_name_fits_its_column(text: str) -> None:
    try:
        name = display_name(text)
    except ValueError:
        return
    assert len(skeleton(name[:DISPLAY_NAME_MAX])) <= SKELETON_MAX
