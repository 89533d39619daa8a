"""Which pages may use a visitor's browser: those that are listed, else those of the same host, in development ours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.origins import Origins

HOST = ["game.example:7350"]
SAME_HOST, DEV = Origins(None), Origins(None, dev=True)
LISTED = Origins(["https://game.example", "http://[2001:db8::1]:8080"])
ODD = ["null", "", "https://[evil", "https://", "//game.example", "game.example", "file://", "\xff\xfe", "*"]


@pytest.mark.parametrize("origins", [SAME_HOST, DEV, LISTED, Origins([])])
def test_who_is_no_browser_is_never_refused(origins: Origins) -> None:
    assert origins.may_connect([], HOST)
    assert origins.may_connect([], [])


@pytest.mark.parametrize("origins", [SAME_HOST, DEV, LISTED, Origins([]), Origins(["*"])])
def test_two_origins_are_nobodys(origins: Origins) -> None:
    assert not origins.may_connect(["https://game.example", "https://game.example"], HOST)


# A list.
@pytest.mark.parametrize("origin", ["https://game.example", "http://[2001:db8::1]:8080"])
def test_a_page_that_is_listed_may(origin: str) -> None:
    assert LISTED.may_connect([origin], HOST)


@pytest.mark.parametrize(
    "origin",
    [
        "http://game.example",  # another scheme: whoever is between could have written the page
        "https://game.example:8443",
        "https://game.example.evil.example",
        "https://evil-game.example",
        "https://a.game.example",
        "https://game.example@evil.example",
        "https://game.example/",
        *ODD,
    ],
)
def test_a_page_that_only_looks_like_one_that_is_listed_may_not(origin: str) -> None:
    assert not LISTED.may_connect([origin], ["game.example"])


def test_a_list_is_all_there_is_also_for_pages_of_the_same_host_and_in_development() -> None:
    assert not LISTED.may_connect(["https://game.example:7350"], HOST)
    assert not Origins(["https://game.example"], dev=True).may_connect(["http://localhost:7351"], ["localhost:7350"])
    assert not Origins([]).may_connect(["https://game.example:7350"], HOST)


def test_a_star_is_every_page() -> None:
    for origin in ["https://evil.example", "null"]:
        assert Origins(["*"]).may_connect([origin], HOST)


@pytest.mark.parametrize(
    "written", ["https://Game.Example", "HTTPS://game.example", "https://game.example:443", "https://game.example"]
)
def test_a_list_is_read_as_a_browser_writes_it(written: str) -> None:
    assert Origins([written]).may_connect(["https://game.example"], HOST)


@pytest.mark.parametrize(
    "wrong",
    [
        "https://*.game.example",
        "https://game.example/",
        "https://game.example/path",
        "https://game.example?",
        "https://game.example?q",
        "https://game.example#",
        "https://user@game.example",
        "https://game.example:port",
        "https://:443",
        "ftp://game.example",
        "x/y",
        *{*ODD} - {"*"},
    ],
)
def test_what_can_never_be_an_origin_is_refused_with_its_name(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"scheme://host"):
        Origins([wrong])


# No list.
@pytest.mark.parametrize("origin", ["https://game.example", "http://game.example:7351", "https://GAME.example"])
def test_without_a_list_a_page_of_the_same_host_may(origin: str) -> None:
    assert SAME_HOST.may_connect([origin], HOST)


@pytest.mark.parametrize("origin", ["https://evil.example", "https://game.example.evil.example", *ODD])
@pytest.mark.parametrize("hosts", [HOST, [""], ["[evil"], [], ["evil.example", "evil.example"]])
def test_without_a_list_a_page_of_another_host_may_not(origin: str, hosts: list[str]) -> None:
    assert not SAME_HOST.may_connect([origin], hosts)


# Development.
@pytest.mark.parametrize("origin", ["http://localhost:7351", "http://127.0.0.1", "https://[::1]:7351"])
def test_in_development_a_page_of_this_machine_may(origin: str) -> None:
    assert DEV.may_connect([origin], ["127.0.0.1:7350"])


@pytest.mark.parametrize("origin", ["http://localhost.evil.example", "http://127.0.0.1.evil.example:7351", *ODD])
def test_in_development_no_other_page_may(origin: str) -> None:
    assert not DEV.may_connect([origin], ["127.0.0.1:7350"])


def test_in_development_a_page_may_not_by_pointing_its_own_name_at_this_machine() -> None:
    """DNS rebinding: page and gateway are of the same host then, and in development a name is enough to sign in."""
    assert not DEV.may_connect(["http://evil.example:7350"], ["evil.example:7350"])


@given(st.text(max_size=40), st.lists(st.text(max_size=20), max_size=2))
def test_any_text_is_answered(origin: str, hosts: list[str]) -> None:
    for origins in (SAME_HOST, DEV, LISTED):
        origins.may_connect([origin], hosts)
