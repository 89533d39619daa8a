"""What waits for all slow readers together: those who hold the most pay, the others feel nothing."""

from actors.runtime.meters import Meters
from server.outbound_total import CUT_DOWN_TO, OutboundTotal

LIMIT = 1_000_000


class Held:
    """A session that is behind."""

    def __init__(self, unsent_bytes: int = 0) -> None:
        self.unsent_bytes = unsent_bytes
        self.lean = self.cut = False
        self.bounds: list[str] = []

    def give_up(self, waiting: int, bound: str) -> None:
        self.cut = True
        self.bounds.append(bound)

    def __repr__(self) -> str:
        return f"Held({self.unsent_bytes})"


class Node:
    """The sessions of a node that are behind."""

    def __init__(self, *held: Held) -> None:
        self.meters = Meters()
        self.total = OutboundTotal(LIMIT, self.meters)
        self.held = held
        for each in held:
            self.total.wrote(each, 0)

    def look(self) -> "Node":
        self.total.look()
        return self

    def cut(self) -> list[Held]:
        return [each for each in self.held if each.cut]

    def lean(self) -> list[Held]:
        return [each for each in self.held if each.lean]


def test_while_there_is_room_nobody_pays() -> None:
    node = Node(Held(400_000), Held(90_000)).look()

    assert (node.cut(), node.lean()) == ([], [])
    assert (node.meters.outbound_waiting_bytes, node.meters.sessions_behind) == (490_000, 2)


def test_past_half_those_above_the_mean_get_no_ephemeral_events() -> None:
    hog, small = Held(500_000), Held(10_000)
    node = Node(hog, small).look()
    assert (node.cut(), node.lean()) == ([], [hog])

    hog.unsent_bytes = 20_000
    assert node.look().lean() == []


def test_past_all_the_largest_are_cut_until_the_rest_has_room() -> None:
    hogs, small = [Held(300_000), Held(290_000), Held(280_000)], [Held(50_000 + n) for n in range(5)]
    node = Node(*small, *hogs).look()

    assert node.cut() == hogs[:2]
    assert [each.bounds for each in hogs] == [["node"], ["node"], []]
    assert node.meters.outbound_waiting_bytes <= LIMIT * CUT_DOWN_TO


def test_who_is_being_closed_does_not_have_others_cut_as_well() -> None:
    node = Node(Held(900_000), Held(300_000), Held(200_000)).look()
    first = node.cut()
    assert len(first) == 1

    assert node.look().look().cut() == first


def test_who_is_being_closed_for_its_own_bound_does_not_count() -> None:
    own = Held(300_000)
    node = Node(own, Held(800_000))
    own.cut = True

    assert node.look().cut() == [own]
    assert node.meters.outbound_waiting_bytes == 800_000


def test_the_sum_is_taken_anew_as_bytes_are_written_without_being_told() -> None:
    hog, small = Held(), Held(10_000)
    node = Node(hog, small)
    for _ in range(200):
        hog.unsent_bytes += 10_000
        node.total.wrote(hog, 10_000)
        if hog.cut:
            break

    assert node.cut() == [hog]
    assert LIMIT < hog.unsent_bytes + small.unsent_bytes < LIMIT * 1.05


def test_who_has_caught_up_or_gone_is_forgotten() -> None:
    held = [Held(20_000) for _ in range(100)]
    node = Node(*held).look()
    for each in held:
        each.unsent_bytes = 0

    assert node.look().meters.sessions_behind == 0
    assert not node.total._behind


def test_a_session_that_was_lean_and_has_caught_up_is_so_no_more() -> None:
    hog = Held(900_000)
    node = Node(hog, Held(1)).look()
    assert hog.lean

    hog.unsent_bytes = 0
    node.look()
    assert not hog.lean
