"""Where a Redis is; apart from the bus, so that a node without Redis need not import its client (0.3 s)."""

from msgspec import Struct


class RedisAddress(Struct, frozen=True, kw_only=True):
    """Where Redis is and who we are there."""

    host: str
    port: int = 6379
    db: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False

    def __repr__(self) -> str:
        return f"RedisAddress({self.host}:{self.port}/{self.db})"  # a log must not hold the password
