"""The demo page in real browser windows: two windows are two players; nothing loses a line or repeats one."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.python import Client
from tests.e2e.browser import Browser, Window
from tests.support.nodes import NodeProcess, node

pytestmark = pytest.mark.timeout(180)

# The second line is lost on its way, the third comes twice.
_FAULTY_SOCKET = """
let lines = 0;
window.WebSocket = class extends WebSocket {
  addEventListener(type, hear) {
    super.addEventListener(type, (event) => {
      const line = type === "message" && event.data.startsWith('{"t":"chat.message"') ? ++lines : 0;
      if (line !== 2) hear(event);
      if (line === 3) hear(event);
    });
  }
};
"""
# The first hello does not leave the phone.
_TUNNEL = """
let first = true;
window.closes = [];
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    this.addEventListener("close", ({ code }) => window.closes.push(code));
  }
  send(data) {
    if (!first) super.send(data);
    first = false;
  }
};
"""
_LINES = "[...document.querySelectorAll('#lines li[data-seq]')]"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NodeProcess]:
    """A node on a file, which may be killed and started again."""
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db") as running:
        yield running


@pytest.fixture
def ann(server: NodeProcess, browser: Browser) -> Iterator[Window]:
    """Ann's window, signed in."""
    with browser.window() as opened:
        _sign_in(opened, server, "ann")
        yield opened


@pytest.fixture
def bob(server: NodeProcess, browser: Browser) -> Iterator[Window]:
    """Bob's window, as narrow as a phone, signed in."""
    with browser.window() as opened:
        opened.act_as_phone(390, 844)
        _sign_in(opened, server, "bob")
        yield opened


def _sign_in(player: Window, server: NodeProcess, name: str) -> None:
    player.open(server.http)
    player.enter("#name", name)
    player.until_shown("#state", "Online")


def _say(player: Window, text: str) -> None:
    player.enter("#text", text)
    player.until_shown("#lines li[data-seq] .text", text)


def _lines(player: Window, count: int) -> list[list[str]]:
    """[seq, text] of every line shown, once there are ``count`` of them and none is on its way."""
    script = (
        f"const lines = {_LINES}; return lines.length >= args[0] && !document.querySelector('#waiting li')"
        " && lines.map((line) => [line.dataset.seq, line.querySelector('.text').textContent])"
    )
    shown: list[list[str]] = player.until(script, count)
    return shown


def _assert_same(one: Window, other: Window, texts: list[str]) -> None:
    """Both show exactly these texts, each once, in one order."""
    shown = _lines(one, len(texts))
    assert shown == _lines(other, len(texts))
    assert sorted(text for _, text in shown) == sorted(texts)


def _found_guild_together(ann: Window, bob: Window) -> None:
    ann.until_shown("#no-guild")
    ann.enter("#create-name", "Night Owls")
    ann.until_shown("#roster li[data-player=ann]", "leader")
    bob.click("nav [data-panel=guild]")
    bob.enter("#join-name", "night owls")
    bob.until_shown("#roster li[data-player=bob]")
    ann.until_shown("#roster li[data-player=bob]")
    for player in (ann, bob):
        player.click("nav [data-channel=guild]")


def test_two_windows_are_two_players_and_a_killed_server_costs_them_no_line(
    server: NodeProcess, ann: Window, bob: Window
) -> None:
    _found_guild_together(ann, bob)
    said = ["hello owls", "hello ann", "who raids?"]
    for player, text in zip((ann, bob, ann), said, strict=True):
        _say(player, text)
    _assert_same(ann, bob, said)

    for n in range(5):
        said.append(f"in the last moment {n}")
        ann.enter("#text", said[-1])
    server.kill()  # some of these are safe, some acknowledged, some neither
    for player, text in ((ann, "ann into the void"), (bob, "bob into the void"), (ann, "still there?")):
        player.enter("#text", text)
        player.until_shown("#waiting li", text)
        said.append(text)
    bob.until_shown("#state", "trying again")
    server.start()

    for player in (ann, bob):
        player.until_shown("#state", "Online")
    _assert_same(ann, bob, said)
    _say(bob, "I raid")
    _assert_same(ann, bob, [*said, "I raid"])
    typed_by_ann = [text for text in said[3:] if "bob" not in text]
    assert [text for _, text in _lines(bob, len(said)) if text in typed_by_ann] == typed_by_ann
    assert ann.problems() == bob.problems() == []


def test_a_reload_in_any_state_loses_no_line_and_repeats_none(server: NodeProcess, ann: Window, bob: Window) -> None:
    said = ["before", "while away", "after"]
    _say(ann, said[0])
    server.kill()
    ann.enter("#text", said[1])
    ann.until_shown("#waiting li", said[1])
    server.start()
    ann.reload()
    ann.until_shown("#state", "Online")
    _assert_same(ann, bob, said[:2])

    _say(bob, said[2])
    bob.reload()
    _assert_same(ann, bob, said)
    assert ann.problems() == bob.problems() == []


def test_a_line_that_is_lost_on_its_way_is_fetched_and_one_that_comes_twice_is_shown_once(
    server: NodeProcess, ann: Window, browser: Browser
) -> None:
    with browser.window() as cat:
        cat.run_before_pages(_FAULTY_SOCKET)
        _sign_in(cat, server, "cat")
        said = ["one", "two", "three", "four"]
        for text in said:
            _say(ann, text)
        _assert_same(ann, cat, said)


def test_a_hello_that_a_tunnel_has_swallowed_is_said_again(tmp_path: Path, browser: Browser) -> None:
    """The page took the server's 4501 for a refused sign-in, and stayed away."""
    config = tmp_path / "soon.toml"
    config.write_text("[gateway]\nhello_timeout_s = 1\n")
    options = ("--store", f"sqlite:///{tmp_path}/g.db", "--config", str(config))
    with node(tmp_path, "node", *options) as server, browser.window() as ann:
        ann.run_before_pages(_TUNNEL)
        _sign_in(ann, server, "ann")
        assert 4501 in ann.until("return window.closes")


def test_older_lines_are_loaded_on_demand_each_once(tmp_path: Path, browser: Browser) -> None:
    with node(tmp_path, "node", "--store", f"sqlite:///{tmp_path}/g.db", "--limits", "off") as server:
        asyncio.run(_talk(server, 60))
        with browser.window() as bob:
            _sign_in(bob, server, "bob")
            assert len(_lines(bob, 50)) == 50
            bob.click("#earlier")
            assert _lines(bob, 60) == [[str(n), f"line {n}"] for n in range(1, 61)]
            bob.until("return !document.querySelector('#earlier').checkVisibility()")


async def _talk(server: NodeProcess, lines: int) -> None:
    """Have ann say ``line 1`` and so on in the lobby."""
    async with Client.connect(server.url, token="dev:ann") as ann:
        await ann.join("room:lobby")
        for n in range(lines):
            await ann.say("room:lobby", f"line {n + 1}")


def test_a_refusal_is_told_in_plain_words_and_leaving_a_guild_takes_its_chat_away(ann: Window, bob: Window) -> None:
    _found_guild_together(ann, bob)
    _say(ann, "only for owls")
    bob.until_shown("#lines li[data-seq]", "only for owls")
    bob.click("nav [data-panel=guild]")
    bob.click("#leave")
    bob.until_shown("#no-guild")
    ann.until("return !document.querySelector('#roster li[data-player=bob]')")
    bob.enter("#create-name", "Night Owls")
    bob.until_shown("#guild-error", "A guild of this name, or one that looks like it, exists already.")
    bob.click("nav [data-channel=lobby]")
    assert "only for owls" not in bob.text()
    assert ann.problems() == bob.problems() == []
