"""The staff page in a real browser: signed in by key, it shows the nodes, speaks to players and shuts one out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.browser import Browser, Window
from tests.support.nodes import NodeProcess, node

pytestmark = pytest.mark.timeout(180)

# The answer to the first try of every change is lost on its way; the keys are noted down.
_LOST_ANSWERS = """
const send = window.fetch;
window.sentKeys = [];
window.fetch = async (path, options = {}) => {
  const key = options.headers?.["idempotency-key"];
  const answer = await send(path, options);
  if (!key) return answer;
  window.sentKeys.push(key);
  if (window.sentKeys.indexOf(key) === window.sentKeys.length - 1) throw new TypeError("the answer was lost");
  return answer;
};
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NodeProcess]:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db", "--node", "north") as running:
        yield running


@pytest.fixture
def staff(server: NodeProcess, browser: Browser) -> Iterator[Window]:
    """A window of staff, signed in; the answer to each change is lost once."""
    with browser.window() as opened:
        opened.run_before_pages(_LOST_ANSWERS)
        opened.open(f"{server.http}/staff")
        opened.enter("#key", "dev")
        opened.until_shown("#office")
        yield opened


@pytest.fixture
def ann(server: NodeProcess, browser: Browser) -> Iterator[Window]:
    """Ann's window, signed in to the game."""
    with browser.window() as opened:
        opened.act_as_phone(390, 844)
        opened.open(server.http)
        opened.enter("#name", "ann")
        opened.until_shown("#state", "Online")
        yield opened


def _go(staff: Window, section: str) -> None:
    staff.click(f"[data-section={section}]")
    staff.until_shown(f"#{section}")


def _find(staff: Window, player: str) -> None:
    _go(staff, "players")
    staff.enter("#find-name", player)
    staff.until_shown(f"#player[data-player={player}] .facts", "State")


def _send(staff: Window, action: str, **fields: str) -> None:
    """Fill a form of the player's sheet in, and send it."""
    for name, value in fields.items():
        staff.driver.find_element("css selector", f"[data-action={action}] [name={name}]").send_keys(value)
    staff.click(f"[data-action={action}] button")


def _until_audited(staff: Window, target: str, *actions: str) -> None:
    """Wait until exactly these changes of ``target`` are listed, the newest first."""
    _go(staff, "audit")
    staff.enter("#audit-target", target)
    script = (
        "return JSON.stringify([...document.querySelectorAll('#audit-list b')].map((each) => each.textContent))"
        " === JSON.stringify(args[0])"
    )
    staff.until(script, list(actions))


def test_a_wrong_key_is_refused_in_words_and_a_right_one_is_forgotten_at_sign_out(
    server: NodeProcess, browser: Browser
) -> None:
    with browser.window() as staff:
        staff.open(f"{server.http}/staff")
        staff.enter("#key", "gk_guess")
        staff.until_shown("#sign-in-error", "This is not a key")
        staff.enter("#key", "dev")
        staff.until_shown("#office")
        staff.reload()
        staff.until_shown("#office")
        staff.click("#sign-out")
        staff.until_shown("#door")
        assert staff.until("return JSON.stringify([{...sessionStorage}, {...localStorage}])") == "[{},{}]"
        staff.reload()
        staff.until_shown("#door")


def test_the_nodes_are_shown_with_their_sessions_live(staff: Window, ann: Window) -> None:
    staff.until_shown("#nodes-list li[data-node=north]", "serving")
    staff.until_shown("#nodes-list [data-fact=sessions]", "1")
    ann.open("about:blank")
    staff.until_shown("#nodes-list [data-fact=sessions]", "0")
    assert staff.problems() == []


def test_an_announcement_reaches_the_player_once_though_the_answer_was_lost_and_is_counted(
    staff: Window, ann: Window
) -> None:
    _go(staff, "announcements")
    staff.driver.find_element("css selector", "#text-1").send_keys("Season three has begun!")
    staff.click("#announce button.primary")
    ann.until_shown("#announcements li", "Season three has begun!")
    staff.until_shown("#announce .done", "Sent.")
    staff.until_shown("#announced [data-fact=reached]", "1")
    ann.click("#announcements button")
    staff.until_shown("#announced [data-fact=read]", "1")
    assert staff.until("return window.sentKeys.length === 2 && new Set(window.sentKeys).size") == 1

    staff.click("#announced button")
    staff.click("#confirm-yes")
    staff.until_shown("#announced .chip", "cancelled")
    assert ann.problems() == staff.problems() == []


def test_an_announcement_to_some_lands_in_their_inboxes_and_is_counted_as_read_there(
    staff: Window, ann: Window
) -> None:
    _go(staff, "announcements")
    staff.driver.find_element("css selector", "#text-1").send_keys("Only for you two")
    staff.click("#announce summary")
    staff.driver.find_element("css selector", "#to-players").send_keys("ann, nobody")
    staff.click("#announce button.primary")
    ann.until_shown("#inbox-badge", "1")
    staff.until_shown("#announced .chip", "sent")
    staff.until_shown("#announced [data-fact=reached]", "1")
    ann.click("nav [data-panel=inbox]")
    ann.until_shown("#inbox-list", "Only for you two")
    ann.click("#inbox-read")
    staff.until_shown("#announced [data-fact=read]", "1")
    assert ann.until("return document.querySelectorAll('#announcements li').length + 1") == 1


def test_a_ban_closes_the_players_window_with_a_clear_message_and_is_lifted_again(staff: Window, ann: Window) -> None:
    _find(staff, "ann")
    _send(staff, "ban", reason="sold an account")
    staff.click("#confirm-no")
    _send(staff, "ban")
    staff.until_shown("#confirm", "Ban ann?")
    staff.click("#confirm-yes")
    ann.until_shown("#banner", "This player is banned.")
    staff.until_shown("#player .facts", "sold an account")
    ann.click("#banner button")
    ann.until_shown("#banner", "This player is banned.")

    staff.click("#player .row button")
    staff.until_shown("#player .facts", "in good standing")
    ann.click("#banner button")
    ann.until_shown("#state", "Online")
    _until_audited(staff, "player:ann", "player.unbanned", "player.banned")
    assert staff.problems() == []


def _set_limit(staff: Window, limit: str, **fields: str) -> None:
    """Open a limit's form, fill it in anew, and send it."""
    row = f"[data-limit='{limit}']"
    if not staff.until(f'return [document.querySelector("{row} details").open]')[0]:
        staff.click(f"{row} summary")
    _fill(staff, row, **fields)


def _fill(staff: Window, place: str, **fields: str) -> None:
    for name, value in fields.items():
        field = staff.driver.find_element("css selector", f"{place} [name={name}]")
        field.clear()
        field.send_keys(value)
    staff.click(f"{place} form button:not([type])")


def test_limits_are_shown_set_one_by_one_and_reset_and_what_cannot_be_is_told(staff: Window) -> None:
    _go(staff, "limits")
    staff.until_shown("[data-limit='session.requests'] .value", "30/s, 90 at once")
    _set_limit(staff, "session.requests", per_s="5", burst="10")
    staff.until_shown("[data-limit='session.requests'] .value", "5/s, 10 at once")
    staff.until_shown("[data-limit='session.requests'] .chip", "set")
    staff.until_shown("[data-limit='session.requests'] .hint", "Configured: 30/s, 90 at once.")
    staff.until_shown("[data-limit='session.requests'] .done", "Set on all nodes.")

    _set_limit(staff, "session.requests", per_s="0")
    staff.until_shown("[data-limit='session.requests'] .problem", "per_s")
    staff.until_shown("[data-limit='session.requests'] .value", "5/s, 10 at once")
    _set_limit(staff, "shedding.expensive", value="chat.history guild.find")
    staff.until_shown("[data-limit='shedding.expensive'] .value", "chat.history, guild.find")

    add = "#limits-list article:first-child > details"
    staff.click(f"{add} > summary")
    _fill(staff, add, kind="chat.sned", per_s="1", burst="2")
    staff.until_shown(f"{add} .problem", "chat.sned")
    _fill(staff, add, kind="player.get", per_s="1", burst="2")
    staff.until_shown("[data-limit='session.kinds.player.get'] .value", "1/s, 2 at once")

    staff.click("[data-limit='session.requests'] button.quiet")
    staff.until_shown("[data-limit='session.requests'] .value", "30/s, 90 at once")
    staff.until_shown("[data-limit='session.kinds.player.get'] .chip", "set")
    staff.click("#limits-reset")
    staff.click("#confirm-yes")
    staff.until("return !document.querySelector(\"[data-limit='session.kinds.player.get']\")")
    staff.until("return !document.querySelector('#limits-reset').checkVisibility()")
    _until_audited(staff, "limits:all", *["limits.set"] * 5)
    assert [line for line in staff.problems() if "400 (Bad Request)" not in line] == []


def test_a_muted_player_is_told_so_and_a_notice_arrives_once(staff: Window, ann: Window) -> None:
    _find(staff, "ann")
    _send(staff, "mute", reason="spam")
    staff.until_shown("#player .facts", "muted until")
    ann.enter("#text", "buy gold")
    ann.until_shown("#waiting .failed", "You are muted: you can read, but not write.")

    _send(staff, "notice", title="Please calm down", body="An hour will do.")
    staff.until_shown("[data-action=notice] .done", "Sent.")
    ann.click("nav [data-panel=inbox]")
    ann.until_shown("#inbox-list", "An hour will do.")
    notices = "[...document.querySelectorAll('#inbox-list li')]"
    assert ann.until(f"return {notices}.filter((each) => each.textContent.includes(args[0])).length", "An hour") == 1
    assert staff.until("return window.sentKeys.length === 4 && new Set(window.sentKeys).size") == 2
