"""What a load is held against: targets, and whether they are met."""

from collections.abc import Mapping

from msgspec import Struct

Figures = Mapping[str, float]


class Target(Struct, frozen=True):
    """A bound of one figure: at least ``bound``, or, where ``below`` is set, less than it."""

    figure: str
    bound: float
    label: str
    """What is bound, in words: "p99 ms"."""
    below: bool = False

    def judge(self, figures: Figures) -> "Verdict":
        """Raises KeyError where the load has no such figure: a target must not go unjudged."""
        found = figures[self.figure]
        if self.below:
            met, reached = found < self.bound, self.bound / found if found else 1.0
        else:
            met, reached = found >= self.bound, found / self.bound
        return Verdict(self, found, met, reached)


class Verdict(Struct, frozen=True):
    """A target and what was found. ``reached`` is 1 at the bound and more where it is met, whichever way that is."""

    target: Target
    found: float
    met: bool
    reached: float

    def __str__(self) -> str:
        sign = "<" if self.target.below else ">="
        word = "met" if self.met else "not met"
        return f"{self.target.label} {sign} {number(self.target.bound)}: {word} ({number(self.found)})"


def number(value: float) -> str:
    """For people: thousands with commas, small ones with the digits that matter."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
