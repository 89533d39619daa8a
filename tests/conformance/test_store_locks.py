"""What a transaction locks: its own rows, and not the places between them where others have theirs."""

from contextlib import closing

import pymysql
import pytest

from storage import Outcome, TellRow, migrate, open_store
from storage.mysql_link import SESSION
from storage.urls import MysqlPlace, parse_store_url
from tests.conformance.nodes import alive, committed, taken


@pytest.mark.timeout(20)
async def test_a_transaction_that_finds_nothing_keeps_nobody_from_writing_there(mysql_url: str) -> None:
    """It deletes what is delivered already, as a repeated commit does; with gap locks its neighbours would wait for it,
    and two of them for each other."""
    await migrate(mysql_url, {})
    place = parse_store_url(mysql_url)
    assert isinstance(place, MysqlPlace)
    async with open_store(mysql_url) as store:
        await alive(store, "north")
        held = await taken(store, "guild:b")
        with closing(
            pymysql.connect(
                host=place.host,
                port=place.port,
                user=place.user,
                password=place.password,
                database=place.database,
            )
        ) as neighbour:
            with neighbour.cursor() as cursor:
                for setting in SESSION:
                    cursor.execute(setting.decode())
                cursor.execute("START TRANSACTION")
                for actor in ("guild:a", "guild:c"):
                    cursor.execute("DELETE FROM outbox WHERE actor = %s AND number = 1", (actor,))
                    cursor.execute("DELETE FROM topic_events WHERE topic = %s AND seq = 1", (actor,))
            assert await committed(store, held, outbox=[TellRow(1, "player:x", b"", 1)]) is Outcome.DONE
            neighbour.rollback()
