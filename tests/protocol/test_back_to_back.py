"""Both sides of the session against each other, in memory: what one says the other understands.

A small server keeps one chat room behind real ServerSessions; connections are cut and messages lost at random, and
at the end every client has had every line once, in order, and every request has had its effect once.
"""

from itertools import count
from random import Random

import pytest

from protocol import (
    Answer,
    ClientSession,
    ClientStatus,
    Close,
    CloseSocket,
    ConfigVersion,
    Event,
    Happened,
    Hello,
    Limits,
    Message,
    OpenSocket,
    Replied,
    Reply,
    Request,
    Send,
    ServerSession,
    TopicStatus,
    TopicSync,
    TopicSynced,
    Unavailable,
    Welcome,
    Wire,
    encode,
    refusal,
)
from tests.protocol.samples import CODEC, ChatJoin, ChatJoined, ChatMessage, ChatSend, ChatSent

TOPIC = "chat:room:raid"
EPOCH = "e1"


class Room:
    """One chat room: a log, and the reply of every op."""

    def __init__(self) -> None:
        self.log: list[ChatMessage] = []
        self.replies: dict[str, Reply] = {}
        self.links: list[Link] = []
        self.calm = False
        """Whether nothing is lost any more."""

    def send(self, request: ChatSend) -> Reply:
        if request.id not in self.replies:
            seq = len(self.log) + 1
            event = ChatMessage(topic=TOPIC, seq=seq, at=seq, op=request.id, text=request.text)
            self.log.append(event)
            self.replies[request.id] = ChatSent(re=request.id, channel=request.channel, seq=seq, at=seq)
            for link in list(self.links):
                link.publish(event)
        return self.replies[request.id]


class Link:
    """A socket between a client and the server, from opening to close."""

    def __init__(self, player: "Player", room: Room, now: float) -> None:
        self.player = player
        self.room = room
        traces = count(1)
        self.server = ServerSession(CODEC, player.wire, now, now_ms=lambda: 1, new_trace=lambda: f"t{next(traces)}")
        self.follows = False
        self.open = True
        self.lossy = player.random.random() < 0.3

    def publish(self, event: Event) -> None:
        """To the client, unless this link loses events now and then."""
        if self.follows and not (self.lossy and self.loses(0.3)):
            self.to_client(event)

    def loses(self, share: float) -> bool:
        return not self.room.calm and self.player.random.random() < share

    def to_client(self, message: Message) -> None:
        if self.open and isinstance(message, ChatSent | ChatJoined | Welcome) and self.loses(0.05):
            self.cut(self.player.now)  # done, and the answer lost
        if self.open:
            self.player.session.received(encode(self.player.wire, message), self.player.now)

    def to_server(self, payload: bytes, now: float) -> None:
        match self.server.receive(payload, now):
            case Hello() as hello:
                self.welcome(hello)
            case Request() as request:
                self.serve(request)
            case Answer(reply):
                self.to_client(reply)
            case Close(code, reason):
                self.player.session.socket_closed(code, reason, now)
            case None:
                pass

    def welcome(self, hello: Hello) -> None:
        cursors = hello.resume.cursors if hello.resume else {}
        topics = {t: TopicStatus(epoch=EPOCH, seq=len(self.room.log), status="resumed") for t in cursors}
        welcome = Welcome(
            re=hello.id,
            session="s",
            player="ann",
            now=1,
            heartbeat_ms=25_000,
            topics=topics,
            limits=Limits(message_bytes=16_384, text_chars=2000, requests_per_s=20.0),
            config=ConfigVersion(version="1"),
        )
        self.to_client(welcome)
        for early in self.server.opened(welcome):
            self.serve(early)
        if TOPIC in cursors:
            self.follows = True
            self.replay(cursors[TOPIC][1])

    def serve(self, request: Request[Reply]) -> None:
        match request:
            case ChatJoin():
                self.follows = True
                seq = 0 if not self.room.log else self.player.joined_at(len(self.room.log))
                self.to_client(ChatJoined(re=request.id, channel=request.channel, epoch=EPOCH, seq=seq))
                self.replay(seq)
            case ChatSend() if self.loses(0.1):
                self.to_client(refusal(Unavailable(retry_after_ms=50), request.id, "t"))
            case ChatSend():
                self.to_client(self.room.send(request))
            case TopicSync():
                status = TopicSynced(re=request.id, topic=TOPIC, epoch=EPOCH, seq=len(self.room.log), status="resumed")
                self.to_client(status)
                self.replay(request.after)
            case _:
                raise AssertionError(request)

    def replay(self, after: int) -> None:
        for event in self.room.log[after:]:
            self.to_client(event)

    def cut(self, now: float) -> None:
        self.open = self.follows = False
        self.server.closed()
        self.room.links.remove(self)
        self.player.session.socket_closed(1006, "", now)


class Player:
    """The shell around a ClientSession, and what its application saw."""

    def __init__(self, name: str, wire: Wire, room: Room, random: Random) -> None:
        self.wire = wire
        self.random = random
        self.room = room
        self.now = 0.0
        self.session = ClientSession(wire, random, "dev:ann", prefix=name)
        self.link: Link | None = None
        self.heard: list[int] = []
        self.answered: list[str] = []
        self.start = 0

    def joined_at(self, seq: int) -> int:
        self.start = seq
        return seq

    def work(self) -> None:
        """Do what the session asks until it asks nothing more."""
        while outputs := self.session.take():
            for output in outputs:
                match output:
                    case OpenSocket():
                        self.link = Link(self, self.room, self.now)
                        self.room.links.append(self.link)
                        self.session.socket_opened(self.now)
                    case Send(payload) if self.link is not None:
                        self.link.to_server(payload, self.now)
                    case CloseSocket() if self.link is not None and self.link.open:
                        self.link.cut(self.now)
                    case Happened(event) if event["t"] == "chat.message":
                        self.heard.append(event["seq"])
                    case Replied(op, _):
                        self.answered.append(op)
                    case _:
                        pass

    def cut(self) -> None:
        if self.link is not None and self.link.open:
            self.link.cut(self.now)

    def wait(self, now: float) -> None:
        self.now = now
        if now >= self.session.deadline:
            self.session.tick(now)


@pytest.mark.parametrize("seed", range(25))
def test_over_cuts_and_losses_everything_is_heard_once_in_order_and_done_once(seed: int) -> None:
    random = Random(seed)
    room = Room()
    players = [Player(f"p{n}", wire, room, random) for n, wire in enumerate([*Wire, *Wire])]
    asked: list[str] = []
    for player in players:
        player.session.connect(0.0)
        player.session.request("chat.join", {"channel": "room:raid"}, 0.0)

    now = 0.0
    for step in range(300):
        now += random.random() * (5.0 if room.calm else 1.0)
        if step == 250:  # a lost last line is found at the next resume
            room.calm = True
            for player in players:
                player.cut()
        for player in players:
            player.wait(now)
            if step < 200 and random.random() < 0.3:
                op = player.session.request("chat.send", {"channel": "room:raid", "text": f"line {step}"}, now)
                asked.append(op)
            for each in players:
                each.work()
            if step < 200 and random.random() < 0.1:
                player.cut()

    assert all(player.session.status is ClientStatus.ONLINE for player in players)
    assert sorted(event.op for event in room.log) == sorted(asked)
    for player in players:
        assert player.heard == list(range(player.start + 1, len(room.log) + 1))
        assert player.session.pending == {}
        assert len(player.answered) == len(set(player.answered))
