"""How much the properties of this folder are tried: a little beside other tests, more by ``make fuzz``."""

import os

from hypothesis import settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
effort = settings(max_examples=EXAMPLES, deadline=None)
a_little = settings(max_examples=max(5, EXAMPLES // 6), deadline=None)
"""For what takes a node of its own each time."""
