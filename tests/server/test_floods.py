"""What one signed-in client can do most of: each kind of flood meets a bound, and the neighbour feels nothing.

Time stands still, so what is let through is the burst alone.
"""

import pytest

from actors.guild.roster import INVITE_LIMIT
from server.limits import RATES
from server.session import TOPICS
from tests.fuzz.house import Said, house

FLOOD = 80  # requests at once: within what a session may send of all kinds
LIMITED = "rate.limited"


@pytest.mark.parametrize(
    ("fields", "burst"),
    [
        ({"t": "guild.create", "name": "Lions N"}, RATES["guild.create"].burst),
        ({"t": "chat.join", "channel": "room:N"}, RATES["chat.join"].burst),
        ({"t": "topic.sync", "topic": "player:ann", "after": 0}, RATES["topic.sync"].burst),
        ({"t": "chat.send", "channel": "room:lobby", "text": "N"}, RATES["chat.send"].burst),
        ({"t": "guild.invite", "guild": "x", "player": "bo"}, RATES["guild.invite"].burst),
        ({"t": "guild.apply", "guild": "x"}, RATES["guild.apply"].burst),
        ({"t": "wallet.give", "to": "bo", "currency": "gold", "amount": 1}, RATES["wallet.give"].burst),
    ],
    ids=lambda value: value["t"] if isinstance(value, dict) else "",
)
async def test_a_flood_of_one_kind_passes_its_burst_and_is_told_when_to_come_back(fields: Said, burst: int) -> None:
    async with house(limits_on=True) as home:
        ann, bo = await home.guest("ann"), await home.guest("bo")
        await ann.ask({"t": "player.get"})

        answers = [
            await ann.ask({name: str(value).replace("N", str(n)) if name in {"name", "channel"} else value
                           for name, value in fields.items()})
            for n in range(FLOOD)
        ]  # fmt: skip

        limited = [answer for answer in answers if answer.get("code") == LIMITED]
        assert len(limited) == FLOOD - burst
        assert all(answer["retry"] == "later" and answer["retry_after_ms"] > 0 for answer in limited)
        assert ann.code is None
        assert (await bo.ask({"t": "player.get"}))["t"] == "player.profile"


async def test_a_flood_of_subscriptions_ends_at_so_many_topics_and_the_first_stay() -> None:
    async with house() as home:
        ann, bo = await home.guest("ann"), await home.guest("bo")
        codes = [(await ann.ask({"t": "chat.join", "channel": f"room:{n}"})).get("code") for n in range(TOPICS + 10)]

        assert codes == [None] * (TOPICS - 2) + ["topic.too_many"] * 12  # its inbox and announcements are two
        await bo.ask({"t": "chat.join", "channel": "room:0"})
        ann.heard()
        await bo.ask({"t": "chat.send", "channel": "room:0", "text": "still there?"})
        assert [said["text"] for said in ann.heard()] == ["still there?"]


async def test_a_flood_of_invitations_ends_at_so_many_open_ones_and_writes_one_letter_to_each() -> None:
    async with house() as home:
        ann, bo = await home.guest("ann"), await home.guest("bo")
        guild = (await ann.ask({"t": "guild.create", "name": "Lions"}))["guild"]
        guild = guild["id"] if isinstance(guild, dict) else guild
        invite = {"t": "guild.invite", "guild": guild}
        again = [(await ann.ask({**invite, "player": "bo"})).get("code") for _ in range(5)]
        codes = [(await ann.ask({**invite, "player": f"p{n}"})).get("code") for n in range(INVITE_LIMIT)]

        assert again == [None] * 5
        assert codes == [None] * (INVITE_LIMIT - 1) + ["guild.too_many_invites"]
        letters = (await bo.ask({"t": "inbox.list"}))["notices"]
        assert [letter["kind"] for letter in letters] == ["guild.invited"]


async def test_no_token_is_in_a_log_line_or_an_answer_whatever_becomes_of_it() -> None:
    secret = "hunter2-" * 5
    async with house(log_requests=True) as home:
        signed_in = await home.guest("hunter2-ann")
        for name, token in enumerate([secret, f"dev:{secret} x", f"{secret}.{secret}.{secret}", secret * 300]):
            line = home.stranger()
            answer = await line.ask({"t": "hello", "id": f"h{name}", "token": token})
            assert answer["t"] == "error"
            assert secret not in str(answer)
        await signed_in.ask({"t": "hello", "token": secret, "client": 5})
        await signed_in.ask({"t": "player.get", "token": secret})
        assert home.log, "nothing was logged, so nothing was tried"
        assert secret not in str(home.log)
