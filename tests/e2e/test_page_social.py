"""The demo page's inbox, leaderboard and announcements in real browser windows: live, each once, in plain words."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.browser import Browser, Window
from tests.e2e.staff_calls import announce, staff_call
from tests.support.nodes import NodeProcess, node
from tests.support.wire import outside

pytestmark = pytest.mark.timeout(180)

BIG = 2**53 + 1  # a JavaScript number would round it
# A network that a test can take away and give back.
_NETWORK = """
const sockets = [];
let cut = false;
window.setNetwork = (there) => {
  cut = !there;
  if (cut) sockets.splice(0).forEach((socket) => socket.close());
  else dispatchEvent(new Event("online"));
};
window.WebSocket = class extends WebSocket {
  constructor(...options) {
    if (cut) throw new Error("no network");
    super(...options);
    sockets.push(this);
  }
};
"""
_LINES = "[...document.querySelectorAll('#lines .line')]"
_NOTICES = "[...document.querySelectorAll('#inbox-list li')]"
_ROWS = "[...document.querySelectorAll('#arena-list li')]"
_BANNERS = "[...document.querySelectorAll('#announcements li')]"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node on a file, which may be killed and started again."""
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db") as running:
        yield running


class Windows:
    """Opens windows of signed-in players."""

    def __init__(self, server: NodeProcess, browser: Browser, stack: ExitStack) -> None:
        self._server = server
        self._browser = browser
        self._stack = stack

    def open(self, name: str, *, phone: bool = False) -> Window:
        """Another window, with a profile of its own."""
        opened = self._stack.enter_context(self._browser.window())
        if phone:
            opened.act_as_phone(390, 844)
        opened.run_before_pages(_NETWORK)
        opened.open(self._server.http)
        opened.enter("#name", name)
        opened.until_shown("#state", "Online")
        return opened


@pytest.fixture
def windows(server: NodeProcess, browser: Browser) -> Iterator[Windows]:
    with ExitStack() as stack:
        yield Windows(server, browser, stack)


def _go_offline(player: Window) -> None:
    player.until("window.setNetwork(false); return true")
    player.until_shown("#state", "trying again")


def _go_online(player: Window) -> None:
    player.until("window.setNetwork(true); return true")
    player.until_shown("#state", "Online")


# The inbox.
async def _invite(server: NodeProcess, player: str, *guilds: str) -> None:
    """Have the founder of each guild invite ``player``."""
    for name in guilds:
        async with outside(server.url, f"founder-of-{name.replace(' ', '-')}") as founder:
            made = await founder.ask("guild.create", name=name)
            sent = await founder.ask("guild.invite", guild=made["guild"], player=player)
            assert sent["t"] == "guild.invite_sent", sent


def _until_unread(player: Window, count: int) -> None:
    player.until("return parseInt(document.querySelector('#inbox-badge').textContent || '0') === args[0]", count)


def _titles(player: Window, count: int) -> list[str]:
    """Titles of the notices, the newest first, once there are ``count``."""
    script = f"return {_NOTICES}.length === args[0] && {_NOTICES}.map((li) => li.querySelector('b').textContent)"
    titles: list[str] = player.until(script, count)
    return titles


def _unread_titles(player: Window) -> list[str]:
    script = f"return {_NOTICES}.filter((li) => li.matches('.unread')).map((li) => li.querySelector('b').textContent)"
    titles: list[str] = player.until(script)
    return titles


def test_a_notice_is_counted_and_listed_in_both_windows_of_a_player_and_read_in_both(
    server: NodeProcess, windows: Windows
) -> None:
    desk, phone = windows.open("ann"), windows.open("ann", phone=True)
    asyncio.run(_invite(server, "ann", "Night Owls", "Iron Company"))
    expected = ["Invitation to Iron Company", "Invitation to Night Owls"]
    for each in (desk, phone):
        _until_unread(each, 2)
        each.click("nav [data-panel=inbox]")
        each.until_shown("#inbox-list", "invites you to join the guild.")
        assert _titles(each, 2) == _unread_titles(each) == expected

    phone.click("#inbox-read")
    for each in (desk, phone):
        _until_unread(each, 0)
        assert _titles(each, 2) == expected
        assert _unread_titles(each) == []
        each.reload()
        each.until_shown("#state", "Online")
        _until_unread(each, 0)
        assert _titles(each, 2) == expected
    assert desk.problems() == phone.problems() == []


def test_what_came_while_the_player_was_away_is_counted_once_at_the_return(
    server: NodeProcess, windows: Windows
) -> None:
    ann, bob = windows.open("ann"), windows.open("bob", phone=True)
    asyncio.run(_invite(server, "ann", "Early Birds"))
    _until_unread(ann, 1)
    _go_offline(ann)
    bob.open("about:blank")
    for name in ("ann", "bob"):
        asyncio.run(_invite(server, name, f"Owls of {name}", f"Wolves of {name}"))

    _go_online(ann)
    bob.open(server.http)
    bob.until_shown("#state", "Online")
    for player, name, notices in ((ann, "ann", 3), (bob, "bob", 2)):
        player.click("nav [data-panel=inbox]")
        assert _titles(player, notices)[:2] == [f"Invitation to Wolves of {name}", f"Invitation to Owls of {name}"]
        _until_unread(player, notices)


# The leaderboard.
def _submit(player: Window, score: int) -> None:
    player.driver.execute_script("document.querySelector('#arena-score').value = ''")
    player.enter("#arena-score", str(score))


def _until_board(player: Window, *rows: str) -> None:
    """Wait until exactly these rows, as ``rank owner score``, are shown."""
    script = (
        "const part = (row, name) => row.querySelector(name).textContent;"
        f"return JSON.stringify({_ROWS}.map((row) => `${{part(row, '.rank')}} ${{row.dataset.owner}} "
        "${part(row, '.score').replaceAll(',', '')}`)) === JSON.stringify(args[0])"
    )
    player.until(script, list(rows))


def test_the_board_moves_in_every_window_when_somebody_submits_a_score(windows: Windows) -> None:
    ann, bob = windows.open("ann"), windows.open("bob", phone=True)
    for player in (ann, bob):
        player.click("nav [data-panel=arena]")
        player.until_shown("#arena-own", "You have no score here yet.")
    _submit(ann, 100)
    for player in (ann, bob):
        _until_board(player, "1 ann 100")
    ann.until_shown("#arena-own", "You are at place 1 of 1.")

    _submit(bob, BIG)
    for player in (ann, bob):
        _until_board(player, f"1 bob {BIG}", "2 ann 100")
    ann.until_shown("#arena-own", "You are at place 2 of 2.")
    bob.until_shown("#arena-own", "You are at place 1 of 2.")

    ann.reload()
    ann.until_shown("#state", "Online")
    _until_board(ann, f"1 bob {BIG}", "2 ann 100")
    assert ann.problems() == bob.problems() == []


def test_a_score_that_is_no_number_is_refused_in_plain_words(windows: Windows) -> None:
    ann = windows.open("ann")
    ann.click("nav [data-panel=arena]")
    ann.until_shown("#arena-own")
    ann.driver.execute_script("document.querySelector('#arena-score').value = ''")
    ann.enter("#arena-score", "lots")
    ann.until_shown("#arena-error", "A score is a whole number.")


# Announcements.
def _until_banners(player: Window, *texts: str) -> None:
    """Wait until exactly these announcements are shown, in this order."""
    script = (
        f"return JSON.stringify({_BANNERS}.map((li) => li.querySelector('.text').textContent))"
        " === JSON.stringify(args[0])"
    )
    player.until(script, list(texts))


def test_an_announcement_arrives_once_and_not_again_after_a_reload_a_resume_or_a_restart(
    server: NodeProcess, windows: Windows
) -> None:
    ann, bob = windows.open("ann"), windows.open("bob", phone=True)
    announce(server, "The servers restart at six.")
    for player in (ann, bob):
        _until_banners(player, "The servers restart at six.")
    server.kill()
    server.start()
    for player in (ann, bob):
        player.until_shown("#state", "Online")
    _go_offline(ann)
    announce(server, "Season three!")
    _until_banners(bob, "The servers restart at six.", "Season three!")
    _go_online(ann)
    _until_banners(ann, "The servers restart at six.", "Season three!")
    ann.click("#announcements button")
    _until_banners(ann, "Season three!")

    for player in (ann, bob):
        player.reload()
        player.until_shown("#state", "Online")
    announce(server, "Last one")
    for player in (ann, bob):
        _until_banners(player, "Last one")
    assert ann.problems() == bob.problems() == []


def test_a_withdrawn_announcement_goes_away_and_who_comes_later_never_sees_it(
    server: NodeProcess, windows: Windows
) -> None:
    ann = windows.open("ann")
    wrong, right = announce(server, "Mistaken"), announce(server, "Right")
    _until_banners(ann, "Mistaken", "Right")
    staff_call(server, "DELETE", f"/v1/announcements/{wrong}")
    _until_banners(ann, "Right")

    bob = windows.open("bob")
    _until_banners(bob, "Right")
    staff_call(server, "DELETE", f"/v1/announcements/{right}")
    for player in (ann, bob):
        _until_banners(player)


def test_an_announcement_that_is_over_is_taken_away_and_not_shown_to_who_comes_later(
    server: NodeProcess, windows: Windows
) -> None:
    ann = windows.open("ann")
    now = ann.until("return Date.now()")
    announce(server, "Only now", expires_at=now + 3_000)
    announce(server, "Longer")
    _until_banners(ann, "Only now", "Longer")
    _until_banners(ann, "Longer")

    bob = windows.open("bob")
    _until_banners(bob, "Longer")


def test_a_text_is_shown_as_text(server: NodeProcess, windows: Windows) -> None:
    ann = windows.open("ann")
    html = "<img src=x onerror=alert(1)><b>bold</b>"
    announce(server, html)
    staff_call(server, "POST", "/v1/players/ann/notices", {"kind": "staff.notice", "title": html, "body": html})
    _until_banners(ann, html)
    assert _titles(ann, 1) == [html]
    assert ann.problems() == []


def test_a_line_that_staff_deletes_goes_away_and_is_not_there_after_a_reload(
    server: NodeProcess, windows: Windows
) -> None:
    ann, bob = windows.open("ann"), windows.open("bob")
    for text in ("kept", "to be deleted"):
        ann.enter("#text", text)
        bob.until_shown("#lines .line .text", text)
    seq = bob.until(f"return {_LINES}.at(-1).dataset.seq")

    staff_call(server, "DELETE", f"/v1/channels/room:lobby/messages/{seq}")

    for player in (ann, bob):
        player.until(f"return {_LINES}.length === 1 && {_LINES}[0].querySelector('.text').textContent === 'kept'")
    bob.reload()
    bob.until_shown("#lines .line .text", "kept")
    assert bob.until(f"return {_LINES}.length") == 1
