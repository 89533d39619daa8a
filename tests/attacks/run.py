"""One attack, in a process of its own: players are not to wait for the attackers. Prints how its sockets ended."""

import asyncio
import json
import sys
from collections import Counter

from tests.attacks.attacks import ATTACKS, Attack


async def in_a_process(attack: Attack, port: int, address: str, sockets: int) -> Counter[str]:
    """Run an attack elsewhere."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.attacks.run",
        str(ATTACKS.index(attack)),
        str(port),
        address,
        str(sockets),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        told, _ = await process.communicate()
    except BaseException:
        process.kill()
        raise
    assert process.returncode == 0, "the attack has failed by itself"
    return Counter(json.loads(told))


def main() -> None:
    """Run the attack that the arguments name."""
    number, port, address, sockets = sys.argv[1:]
    ends = asyncio.run(ATTACKS[int(number)].run(int(port), address, int(sockets)))
    sys.stdout.write(json.dumps(ends))


if __name__ == "__main__":
    main()
