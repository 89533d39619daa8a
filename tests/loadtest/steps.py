"""Anything that may happen on a server that keeps its promises, from a seed."""

from collections.abc import Callable
from random import Random

from loadtest.history import Answered, Asked
from tests.loadtest.world import Device, World


def something_happens(world: World, random: Random) -> None:
    """One step of any kind, as it may be."""
    if len(world.devices) < 6 and random.random() < 0.2:
        name = random.choice(["ann", "bo", "cy", "di"])
        world.sign_in(name, f"device {len(world.devices)}")
        return
    if not world.devices:
        return
    device = random.choice(world.devices)
    if not device.live:
        world.connect(device)
        return
    random.choice(_STEPS)(world, device, random)


def _talk(world: World, device: Device, random: Random) -> None:
    channel = random.choice(["room:raid", "room:inn"])
    world.members.setdefault(channel, set())
    if f"chat:{channel}" not in device.places and random.random() < 0.7:
        world.join(device, channel)
    world.say(device, f"line {random.random():.3f}", channel, lost=random.random() < 0.2)


def _say_again(world: World, device: Device, random: Random) -> None:
    sent_by = [r for r in world.history if isinstance(r, Answered) and r.player == device.player]
    known = [r for r in sent_by if r.reply["t"] == "chat.sent"]
    if known:
        old = random.choice(known)
        [request, *_] = [
            r.message
            for r in world.history
            if isinstance(r, Asked) and r.op == old.op and r.player == device.player and r.message["t"] == "chat.send"
        ]
        if random.random() < 0.5:
            world.ask(device, request, old.op)
            world.answer(device, old.op, old.reply)
        else:
            world.ask(device, {**request, "text": "something else"}, old.op)
            world.refuse(device, old.op, "request.id_reused")


def _visit_guild(world: World, device: Device, random: Random) -> None:
    seat = world.seats[device.player]
    if seat is None:
        guild = random.choice(["g1", "g2"])
        (world.enter if guild in world.rosters else world.found)(device, guild)
    elif len(world.rosters[seat]) > 1 and random.random() < 0.3:
        world.leave(device)
    elif len(world.rosters[seat]) > 1 and random.random() < 0.5:
        world.kick(device, random.choice([p for p in world.rosters[seat] if p != device.player]))
    else:
        world.watch(device, seat)


def _pay(world: World, device: Device, random: Random) -> None:
    if random.random() < 0.4:
        world.grant(device.player, random.randrange(1, 50))
    others = [d.player for d in world.devices if d.player != device.player]
    if others:
        world.gift(device, random.choice(others), random.randrange(1, 40), answered=random.random() < 0.7)


def _play(world: World, device: Device, random: Random) -> None:
    world.submit(device, random.randrange(20), answered=random.random() < 0.8)


def _fail(world: World, device: Device, random: Random) -> None:
    match random.randrange(3):
        case 0:
            world.lose(device)
        case 1:
            world.take_over(random.choice([f"player:{device.player}", "room:raid", "guild:g1"]))
        case _:
            op = world.ask(device, {"t": "chat.send", "channel": "room:raid", "text": "?"})
            world.refuse(device, op, "unavailable", "later")


def _write(world: World, device: Device, random: Random) -> None:
    name = f"a{random.getrandbits(40):x}"
    match random.randrange(3):
        case 0:
            world.announce(name)
        case 1:
            world.announce(name, [device.player])
        case _:
            world.notify(device.player, name)


_STEPS: list[Callable[[World, Device, Random], None]] = [
    _talk, _talk, _talk, _say_again, _visit_guild, _visit_guild, _pay, _play, _fail, _write,
]  # fmt: skip
