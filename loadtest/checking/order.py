"""What each device hears of durable topics, as it happens: rules ORDER, SAME and COMMITTED. One pass, no second look.

A place in a topic is begun by a welcome, or by a reply that carries ``epoch`` and ``seq``; from there every event must
be the next one, until the topic ends for the player or a later record says that it starts over. What was heard first of
each (topic, epoch, seq) is kept, and compared with what others hear, with the commits and with the final logs.
"""

from typing import Any

from loadtest.checking.findings import Findings, Rule
from loadtest.checking.likeness import same_event
from loadtest.checking.story import Log, Message, Story
from loadtest.history import Answered, Committed, Heard, Lost, Welcomed

REPLAY = 1_000  # missed events after which a server may answer ``reset`` although its log reaches back
ENDS = frozenset({"guild.member_left", "chat.member_left"})
"""Events after which the player whom they name hears nothing more of the topic."""
Seen = tuple[int, str, Message]
"""(record, player, event)."""


class Place:
    """Where a device stands in a topic: the next event is ``seq`` + 1."""

    __slots__ = ("checked", "epoch", "known", "left", "others", "record", "seq")

    def __init__(self, epoch: str, seq: int, checked: int, record: int, known: dict[int, Seen]) -> None:
        self.epoch = epoch
        self.seq = seq
        self.checked = checked
        """Where the topic stood when the player's right to it was found good: an end before that is past."""
        self.record = record
        """The record that put it there."""
        self.known = known
        self.others: tuple[int, ...] = ()
        """Places that will do as well, until they are passed: see ``Hearing._follow``."""
        self.left = False


class Device:
    """A client over all its connections."""

    __slots__ = ("ended", "live", "now", "places", "player")

    def __init__(self, player: str) -> None:
        self.player = player
        self.places: dict[str, Place] = {}
        self.ended: dict[str, int] = {}
        """Records of the ends of topics."""
        self.live = False
        self.now = 0
        """The server's time at the last welcome, in milliseconds."""


class Hearing:
    """All devices."""

    def __init__(self, story: Story, findings: Findings) -> None:
        self._story = story
        self._findings = findings
        self.devices: dict[tuple[str, str], Device] = {}
        self.heard: dict[tuple[str, str], dict[int, Seen]] = {}
        """By (topic, epoch) and seq: what was heard first."""
        self.announcements: dict[str, dict[str, int]] = {}
        """By announcement and player: the record in which it was heard first."""
        self._variants: list[tuple[tuple[str, str], int, Seen]] = []
        self._commits: dict[str, dict[int, int]] = {}
        """By topic and seq: the record of the commit."""
        self._resets: list[tuple[int, str, str, int, Message]] = []
        self._events = 0
        self.disorderly: set[tuple[str, str]] = set()
        """(player, topic) of the findings against ORDER: what is missing there is missing for a known reason."""

    # As it happens.
    def heard_one(self, number: int, record: Heard) -> None:
        """An event has arrived."""
        event = record.event
        seq = event.get("seq")
        if seq is None:
            return
        self._events += 1
        topic = event["topic"]
        device = self.devices.get((record.player, record.session))
        place = device.places.get(topic) if device is not None else None
        if device is None or place is None:
            self._heard_unfollowed(number, record, topic, seq)
            return
        if seq == place.seq + 1 and not place.others:
            place.seq = seq
        else:
            self._heard_elsewhere(number, record, place, seq)
        place.record = number
        first = place.known.get(seq)
        if first is None:
            place.known[seq] = (number, record.player, event)
        elif first[2] != event and not same_event(first[2], event):
            self._variants.append(((topic, place.epoch), seq, (number, record.player, event)))
        kind = event["t"]
        if kind in ENDS:
            if event["player"] == record.player and seq > place.checked:
                del device.places[topic]
                device.ended[topic] = number
        elif topic == "announce":
            self.announcements.setdefault(event["announcement"], {}).setdefault(record.player, number)

    def welcomed(self, number: int, record: Welcomed) -> None:
        """A connection begins."""
        device = self._device(record.player, record.session)
        before, device.places = device.places, {}
        device.live, device.now = True, record.welcome.get("now", 0)
        self._story.first_welcomed.setdefault(record.player, number)
        cursors: dict[str, Any] = (record.resume or {}).get("cursors", {})
        for topic, standing in record.welcome.get("topics", {}).items():
            cursor = cursors.get(topic)
            if cursor is not None:
                self._judge_cursor(number, record, topic, cursor, before.get(topic))
            self._stand(number, device, topic, standing, cursor)

    def answered(self, number: int, record: Answered) -> None:
        """A reply that says where a topic stands begins a place there."""
        reply = record.reply
        device = self._device(record.player, record.session)
        kind = reply.get("t")
        if kind == "chat.left":
            place = device.places.get(f"chat:{reply.get('channel')}")
            if place is not None:
                place.left = True
            return
        asked = self._story.ops[record.player, record.op].message
        if kind == "topic.synced":
            cursor = (reply.get("epoch", ""), asked.get("after", 0))
            self._stand(number, device, reply["topic"], reply, cursor)
            return
        epoch, seq = reply.get("epoch"), reply.get("seq")
        topic = reply.get("topic") or (f"chat:{reply['channel']}" if "channel" in reply else None)
        if topic and epoch and isinstance(seq, int):
            self._follow(number, device, topic, reply, asked.get("after"))

    def lost(self, record: Lost) -> None:
        """A connection ends; the device may come back."""
        self._device(record.player, record.session).live = False

    def committed(self, number: int, record: Committed) -> None:
        """Events are safe from here on."""
        for topic, seq in record.events:
            self._commits.setdefault(topic, {}).setdefault(seq, number)

    # In the end.
    def judge(self) -> None:
        """Compare what was heard with commits and logs."""
        self._findings.judged(Rule.ORDER, self._events)
        self._findings.judged(Rule.SAME, self._events)
        for key, seen in self.heard.items():
            self._judge_heard(key, seen)
        for key, seq, variant in self._variants:
            self._judge_variant(key, seq, variant)
        for number, player, topic, cursor, standing in self._resets:
            self._judge_reset(number, player, topic, cursor, standing)
        self._judge_acknowledged_lines()
        if self._story.settled:
            for device in self.devices.values():
                self._judge_end(device)

    # Places.
    def _device(self, player: str, session: str) -> Device:
        device = self.devices.get((player, session))
        if device is None:
            device = self.devices[player, session] = Device(player)
        return device

    def _place(self, number: int, device: Device, topic: str, epoch: str, seq: int, checked: int) -> Place:
        if topic.startswith("player:") and topic != f"player:{device.player}":
            self._findings.add(
                Rule.INBOX, "a player follows the inbox of another", player=device.player, topic=topic,
                records=(number,),
            )  # fmt: skip
        known = self.heard.setdefault((topic, epoch), {})
        place = device.places[topic] = Place(epoch, seq, checked, number, known)
        return place

    def _stand(self, number: int, device: Device, topic: str, standing: Message, cursor: Any) -> None:
        """Take a topic's standing from a welcome or a ``topic.synced``."""
        status, epoch, seq = standing.get("status"), standing.get("epoch", ""), standing.get("seq", 0)
        if status == "gone":
            device.places.pop(topic, None)
            return
        if status == "resumed":
            if cursor is not None and cursor[0] == epoch and cursor[1] <= seq:
                self._place(number, device, topic, epoch, cursor[1], seq)
                return
            self._disorder(
                "resumed from a cursor that does not fit", player=device.player, topic=topic,
                expected=f"a cursor of epoch {epoch}, up to {seq}", seen=cursor, records=(number,),
            )  # fmt: skip
        elif cursor is not None and cursor[0] == epoch:
            self._resets.append((number, device.player, topic, cursor[1], standing))
        self._place(number, device, topic, epoch, seq, seq)

    def _follow(self, number: int, device: Device, topic: str, reply: Message, after: Any) -> None:
        """Take the start of a topic from a reply such as ``chat.joined`` or ``guild.watched``.

        Of one that was followed before, what was on its way may still come after the reply, as far as it got; a client
        session that has heard more by then drops what comes again.
        """
        epoch, seq = reply["epoch"], reply["seq"]
        before = device.places.get(topic)
        replayed = after is not None and after[0] == epoch and 0 <= after[1] <= seq
        place = self._place(number, device, topic, epoch, seq, seq)
        others = []
        if replayed and reply.get("t") == "chat.joined" and not reply.get("recent"):
            place.seq = after[1]
        elif replayed:
            others.append(after[1])
        if before is not None and before.epoch == epoch and before.seq != place.seq:
            others.append(before.seq)
        place.others = tuple(others)

    # Findings of the moment.
    def _disorder(self, says: str, *, player: str, topic: str, **evidence: Any) -> None:
        self.disorderly.add((player, topic))
        self._findings.add(Rule.ORDER, says, player=player, topic=topic, **evidence)

    def _heard_unfollowed(self, number: int, record: Heard, topic: str, seq: int) -> None:
        device = self._device(record.player, record.session)
        ended = device.ended.get(topic)
        says = "heard after the topic had ended for the player" if ended else "heard without following the topic"
        self._disorder(
            says, player=record.player, topic=topic, seen=record.event,
            records=(ended, number) if ended else (number,),
        )  # fmt: skip
        self._place(number, device, topic, "?", seq, 0)

    def _heard_elsewhere(self, number: int, record: Heard, place: Place, seq: int) -> None:
        if seq - 1 in (place.seq, *place.others):
            place.others = tuple(other for other in (place.seq, *place.others) if other > seq)
            place.seq = seq
            return
        newest = max(place.seq, *place.others, place.seq)
        says = "an event is missing" if seq > newest else "an event came again, or after a later one"
        self._disorder(
            says, player=record.player, topic=record.event["topic"], expected=f"event {place.seq + 1}",
            seen=f"event {seq}: {record.event}", records=(place.record, number),
        )  # fmt: skip
        place.seq, place.others = max(newest, seq), ()

    def _judge_cursor(self, number: int, record: Welcomed, topic: str, cursor: Any, before: Place | None) -> None:
        """A client must not resume from a place that it has never come to: it would never hear what is between."""
        if before is not None and before.epoch == cursor[0] and cursor[1] > max(before.seq, *before.others, before.seq):
            self._disorder(
                "resumes from beyond what it has heard", player=record.player, topic=topic,
                expected=f"a cursor up to {before.seq}", seen=cursor, records=(before.record, number),
            )  # fmt: skip

    # Findings of the end.
    def _judge_heard(self, key: tuple[str, str], seen: dict[int, Seen]) -> None:
        topic, epoch = key
        commits = self._commits.get(topic)
        log = self._story.logs.get(topic)
        if log is None:
            log = self._story.find_log(topic)
        elif log.epoch != epoch:
            log = None
        if log is None and commits is None:
            return
        self._findings.judged(Rule.COMMITTED, len(seen))
        for seq, first in seen.items():
            if log is not None and not self._is_kept(log, seq, first):
                continue
            if commits is not None:
                self._judge_moment(topic, seq, first[0], first[1], commits)

    def _is_kept(self, log: Log, seq: int, first: Seen) -> bool:
        """Whether the log has the event; says so if it has not, or another one."""
        number, player, event = first
        logged = log.events.get(seq)
        if logged is not None:
            if logged.event != event and not same_event(logged.event, event):
                self._findings.add(
                    Rule.SAME, "an event is not the one that is kept", player=player, topic=log.topic,
                    expected=logged.event, seen=event, records=(number, log.number),
                )  # fmt: skip
            return True
        if log.may_hold(seq) or not (log.whole or event.get("t") in log.kinds):
            return True
        self._findings.add(
            Rule.COMMITTED, "an event was heard that is not kept", player=player, topic=log.topic,
            expected=f"nothing after {log.seq}", seen=event, records=(number, log.number),
        )  # fmt: skip
        return False

    def _judge_moment(self, topic: str, seq: int, number: int, player: str, commits: dict[int, int]) -> None:
        at = commits.get(seq)
        if (at is None and seq > min(commits)) or (at is not None and at > number):
            self._findings.add(
                Rule.COMMITTED, "seen before its commit" if at else "seen, and never committed", player=player,
                topic=topic, seen=f"event {seq}", records=(number, at) if at else (number,),
            )  # fmt: skip

    def _judge_variant(self, key: tuple[str, str], seq: int, variant: Seen) -> None:
        number, player, event = variant
        log = self._story.logs.get(key[0])
        first = self.heard[key][seq]
        expected, record = first[2], first[0]
        if log is not None and log.epoch == key[1] and seq in log.events:
            expected, record = log.events[seq].event, log.number
            if same_event(expected, event):
                return  # then it is the first one that is another, and has its finding
        self._findings.add(
            Rule.SAME, "two events at one place", player=player, topic=key[0], expected=expected, seen=event,
            records=(record, number),
        )  # fmt: skip

    def _judge_reset(self, number: int, player: str, topic: str, cursor: int, standing: Message) -> None:
        log = self._story.logs.get(topic)
        seq = standing.get("seq", 0)
        if log is None or log.epoch != standing.get("epoch") or topic == "announce":
            return
        if log.floor - 1 <= cursor <= seq <= cursor + REPLAY:
            self._disorder(
                "reset, although the log reaches back", player=player, topic=topic,
                expected=f"resumed from {cursor}", seen=standing, records=(number,),
            )  # fmt: skip

    def _judge_acknowledged_lines(self) -> None:
        if not self._commits:
            return
        for op in self._story.of_kind("chat.send"):
            success = op.success
            commits = self._commits.get(f"chat:{op.message.get('channel')}")
            if success is not None and commits is not None and isinstance(success[1].get("seq"), int):
                at = commits.get(success[1]["seq"])
                if at is not None and at > success[0]:
                    self._findings.add(
                        Rule.COMMITTED, "acknowledged before its commit", player=op.player, op=op.op,
                        records=(success[0], at),
                    )  # fmt: skip

    def _judge_end(self, device: Device) -> None:
        if not device.live:
            return
        for topic, place in device.places.items():
            log = self._story.logs.get(topic)
            if log is None or log.epoch != place.epoch or place.left:
                continue
            end = log.seq if log.whole else max(log.events, default=0)
            if place.seq < end:
                self._disorder(
                    "the last events were never heard", player=device.player, topic=topic,
                    expected=f"everything up to {end}", seen=f"nothing after {place.seq}",
                    records=(place.record, log.number),
                )  # fmt: skip
