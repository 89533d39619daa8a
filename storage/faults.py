"""What an engine meets inside a transaction, before the store turns it into an answer.

Clash       a unique key is taken
Unusable    a statement or value that this database will never accept
Contended   another transaction was in the way: roll back and try again
StoreDown   (storage/store.py) anything else: the outcome is unknown
"""


class Clash(Exception):
    """A unique key is taken."""


class Unusable(Exception):
    """The database refuses the statement whatever is tried; the text says why.

    ``commit`` answers ``Refused``; out of any other method it is a defect of the caller, such as a misspelt column.
    """

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code
        """The engine's number for it."""


class Contended(Exception):
    """Deadlock or lock wait timeout: nothing is applied, trying again may succeed."""
