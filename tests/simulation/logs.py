"""What the product logs while it is simulated: nothing is written, and what tells of a defect is kept."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

DEFECTS = frozenset(
    {
        "turn.failed",
        "query.failed",
        "call.defect",
        "actor.quarantined",
        "tell.set_aside",
        "topic.not_delivered",
        "bus.receiver_failed",
        "bus.frame_not_understood",
        "bus.tick_not_understood",
        "session.moved_reply",
    }
)
"""Lines that no fault from outside explains."""


@contextmanager
def quiet_logs(defects: list[str], now_ms: Callable[[], int]) -> Iterator[None]:
    """Have what is logged thrown away, but for defects."""

    def keep(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Any:
        if event["event"] in DEFECTS:
            facts = {name: str(value) for name, value in event.items() if name not in {"event", "exc_info"}}
            defects.append(f"{now_ms()} {event['event']} {facts}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**before)
