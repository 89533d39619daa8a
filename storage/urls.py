"""Where a database is: ``sqlite:///PATH`` or ``mysql://USER:PASSWORD@HOST:PORT/DATABASE``."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

_FORMS = "sqlite:///PATH or mysql://USER:PASSWORD@HOST:PORT/DATABASE"


class SqlitePlace(Struct, frozen=True):
    """A file. ``sqlite:///data/x.db`` is relative to the working directory, ``sqlite:////var/x.db`` is not."""

    path: Path

    @property
    def lock_path(self) -> Path:
        """The file whose lock says that a process serves from this database."""
        return self.path.with_name(self.path.name + ".lock")


class MysqlPlace(Struct, frozen=True, kw_only=True):
    """A database of a MySQL or MariaDB server."""

    host: str
    port: int
    user: str
    password: str
    database: str

    def __str__(self) -> str:
        return f"mysql at {self.host}:{self.port}/{self.database}"

    def __repr__(self) -> str:  # no password in logs and tracebacks
        return f"MysqlPlace({self})"


def parse_store_url(url: str) -> SqlitePlace | MysqlPlace:
    """Where ``url`` points.

    Raises:
        ValueError: it has another form; the sentence never holds the password.
    """
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        return _sqlite(url)
    if scheme == "mysql":
        return _mysql(url)
    raise ValueError(f"a storage URL has the form {_FORMS}")


def _sqlite(url: str) -> SqlitePlace:
    path = url.removeprefix("sqlite:///")
    if path in (url, "") or "?" in path or path.startswith(":"):
        raise ValueError("a SQLite URL has the form sqlite:///PATH, with a file's path")
    return SqlitePlace(Path(path))


def _mysql(url: str) -> MysqlPlace:
    parts = urlsplit(url)
    database = unquote(parts.path.removeprefix("/"))
    try:
        port = parts.port or 3306
    except ValueError:
        raise ValueError("the port of the MySQL URL is not a number from 1 to 65535") from None
    if not parts.hostname or not parts.username or not database or "/" in database:
        raise ValueError("a MySQL URL has the form mysql://USER:PASSWORD@HOST:PORT/DATABASE")
    if parts.query or parts.fragment:
        raise ValueError("a MySQL URL takes no options behind the database's name")
    return MysqlPlace(
        host=parts.hostname,
        port=port,
        user=unquote(parts.username),
        password=unquote(parts.password or ""),
        database=database,
    )
