"""How long to wait before trying again."""

from random import Random


class Backoff:
    """Full jitter: a random pause up to a bound that doubles with each try, so that many do not come back at once."""

    def __init__(self, random: Random, *, first_s: float = 0.1, most_s: float = 2.0, last_tries: int = 5) -> None:
        self._random = random
        self._first_s = first_s
        self._most_s = most_s
        self.last_tries = last_tries
        """How often a part that is closing tries before it gives up."""

    def pause(self, tries: int) -> float:
        """Seconds to wait after ``tries`` failed ones before this one; never zero."""
        bound = min(self._most_s, self._first_s * float(1 << min(tries, 16)))
        return bound / 2 + self._random.random() * bound / 2
