"""What a node turns away while its event loop is late, and that it takes it again."""

from collections.abc import Callable
from random import Random

import pytest

from actors.runtime.meters import Meters
from protocol.errors import Unavailable
from server.shedding import CALM, CONNECTIONS, EXPENSIVE, REQUESTS, SIGN_INS, Shedder, SheddingLimits

LIMITS = SheddingLimits(
    connections_s=0.2, sign_ins_s=0.4, expensive_s=0.8, requests_s=1.6, calm_s=2.0, expensive=["chat.history"]
)
LOOK_S = 0.25


class Node:
    """A shedder that is told of lags as time goes by."""

    def __init__(self) -> None:
        self.meters = Meters()
        self.shedder = Shedder(LIMITS, self.meters, Random(7))
        self.now = 100.0

    def late(self, lag_s: float, looks: int = 2) -> "Node":
        for _ in range(looks):
            self.now += LOOK_S
            self.shedder.observe(self.now, lag_s)
        return self

    def calm(self, seconds: float) -> "Node":
        return self.late(0.0, round(seconds / LOOK_S))

    @property
    def turned_away(self) -> list[str]:
        """What does not pass now, of everything there is."""
        asked: dict[str, Callable[[], object]] = {
            "connection": lambda: self.shedder.shed_connection() is None,
            "new hello": lambda: self.shedder.shed_hello(resumes=False),
            "resuming hello": lambda: self.shedder.shed_hello(resumes=True),
            "sign-in": self.shedder.shed_sign_in,
            "chat.history": lambda: self.shedder.shed_request("chat.history"),
            "chat.send": lambda: self.shedder.shed_request("chat.send"),
            "ping": lambda: self.shedder.shed_request("ping"),
        }
        away = []
        for what, ask in asked.items():
            try:
                if ask() is False:
                    away.append(what)
            except Unavailable:
                away.append(what)
        return away


@pytest.mark.parametrize(
    ("lag_s", "turned_away"),
    [
        (0.19, []),
        (0.2, ["connection"]),
        (0.4, ["connection", "new hello", "sign-in"]),
        (0.8, ["connection", "new hello", "resuming hello", "sign-in", "chat.history"]),
        (1.6, ["connection", "new hello", "resuming hello", "sign-in", "chat.history", "chat.send"]),
    ],
)
def test_the_later_the_loop_the_more_is_turned_away_and_pings_never(lag_s: float, turned_away: list[str]) -> None:
    assert Node().late(lag_s).turned_away == turned_away


def test_one_long_stop_sheds_nothing() -> None:
    node = Node().calm(1)

    assert node.late(30.0, looks=1).shedder.level == CALM
    assert node.calm(1).late(30.0, looks=1).shedder.level == CALM


def test_the_very_first_look_sheds_nothing() -> None:
    assert Node().late(30.0, looks=1).shedder.level == CALM


def test_two_of_three_looks_are_enough() -> None:
    node = Node().late(0.5, looks=1).late(0.0, looks=1).late(0.5, looks=1)

    assert node.shedder.level == SIGN_INS


def test_a_node_that_is_calm_takes_everything_again_level_by_level() -> None:
    node = Node().late(2.0)
    levels = [node.calm(LOOK_S).shedder.level for _ in range(40)]

    assert node.shedder.level == CALM
    assert sorted(set(levels)) == [CALM, CONNECTIONS, SIGN_INS, EXPENSIVE, REQUESTS]
    assert levels == sorted(levels, reverse=True)
    assert levels.count(SIGN_INS) == round(LIMITS.calm_s / LOOK_S)


def test_between_half_of_a_threshold_and_all_of_it_nothing_changes() -> None:
    node = Node().late(0.45)
    assert node.late(0.21, looks=100).shedder.level == SIGN_INS

    assert node.late(0.19, looks=100).shedder.level == CONNECTIONS


def test_calm_that_is_interrupted_begins_anew() -> None:
    node = Node().late(0.3)
    for _ in range(10):
        node.calm(1.5).late(0.15)
    assert node.shedder.level == CONNECTIONS

    assert node.calm(3).shedder.level == CALM


def test_who_is_turned_away_is_told_when_to_come_again_each_at_another_moment() -> None:
    node = Node().late(2.0)
    pauses = set()
    for _ in range(100):
        with pytest.raises(Unavailable) as refused:
            node.shedder.shed_request("chat.send")
        pauses.add(refused.value.retry_after_ms)
        assert node.shedder.shed_connection() in {2, 3, 4, 5}

    assert len(pauses) > 90
    assert all(pause is not None and 1_000 <= pause <= 5_000 for pause in pauses)


def test_what_was_turned_away_is_counted() -> None:
    node = Node().late(2.0)
    assert node.turned_away

    assert node.meters.shed == {"connection": 1, "hello": 2, "sign_in": 1, "expensive": 1, "request": 1}
    assert node.meters.shedding_level == REQUESTS


def test_thresholds_that_change_hold_from_the_next_look_on() -> None:
    node = Node().late(0.3)
    node.shedder.set(SheddingLimits(connections_s=10, sign_ins_s=10, expensive_s=10, requests_s=10, calm_s=0))

    assert node.calm(0.75).shedder.level == CALM
    assert node.late(3.0).shedder.level == CALM
