"""What a recorded player writes down for the judge."""

from pathlib import Path

import pytest

from loadtest.history import Answered, Asked
from tests.support.nodes import NodeProcess
from tests.support.recorded import RecordedPlayer, Recorder
from tests.support.wire import Frame, Witness


@pytest.fixture
async def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def witness(recorder: Recorder, tmp_path: Path) -> Witness:
    """Sees what goes over a connection of ann's."""
    node = NodeProcess(tmp_path, "one")
    return RecordedPlayer(recorder, "ann", [node], 0, 1.0)._witness(node, None)


def refusal(re: str) -> Frame:
    return {"t": "error", "re": re, "code": "unavailable", "retry": "later"}


async def test_the_refusal_of_a_hello_answers_no_request_and_that_of_a_request_does(
    recorder: Recorder, witness: Witness
) -> None:
    """A node that had lost its lease on a busy machine: the judge found "an answer to what was never asked"."""
    witness("sent", {"t": "hello", "id": "h-1", "token": "dev:ann"})
    witness("came", refusal("h-1"))
    witness("sent", {"t": "chat.send", "id": "a-1", "channel": "room:0", "text": "hi"})
    witness("came", refusal("a-1"))

    assert [(type(record), getattr(record, "op", "")) for record in recorder.records] == [
        (Asked, "a-1"),
        (Answered, "a-1"),
    ]
