"""What the next release brings: a room that an older one does not know, and what other rooms write into it.

Each note has a number, which its writer keeps in a field of its own slice; the table takes a number once. So a field
that was lost shows: the number is given again, or the notes are more than the field says.
"""

from collections.abc import Mapping

from msgspec import Struct

from actors.runtime import CALLER, Context, Feature
from protocol import Reply, Request
from storage import Insert, Migration

_TABLE = """
CREATE TABLE notebook_notes (
    actor VARCHAR(160) NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (actor, number)
)
"""


class NotebookShown(Reply, tag="notebook.shown", frozen=True, kw_only=True):
    notes: int


class NotebookShow(Request[NotebookShown], tag="notebook.show", frozen=True, kw_only=True):
    """Show how many notes the caller has."""


class Notebook(Struct):
    notes: int = 0


notebook = Feature(
    name="notebook", actor=("player", "guild"), state=Notebook, migrations=(Migration(1, _TABLE.strip()),)
)


@notebook.handles(NotebookShow, key=CALLER, writes=False)
def show(_ctx: Context, book: Notebook, _msg: NotebookShow) -> NotebookShown:
    """Count them."""
    return NotebookShown(notes=book.notes)


def note(ctx: Context, number: int) -> None:
    """Take the note ``number`` of the actor."""
    ctx.use(notebook).notes += 1
    row: Mapping[str, str | int] = {"actor": ctx.actor, "number": number}
    ctx.keep(Insert("notebook_notes", row))
