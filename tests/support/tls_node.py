"""A real node that speaks TLS."""

import asyncio
from pathlib import Path

import httpx

from tests.support.certificates import Pair
from tests.support.nodes import NodeProcess

PATIENCE_S = 20.0


class TlsNode(NodeProcess):
    """A node that is asked by TLS; who asks believes the certificate that there was at the last start."""

    def __init__(self, folder: Path, pair: Pair, *options: str) -> None:
        super().__init__(folder, "tls", "--store", f"sqlite:///{folder}/g.db", *pair.options, *options)
        self.url = f"wss://127.0.0.1:{self.gateway_port}/ws"
        self.http = f"https://127.0.0.1:{self.http_port}"
        self.pair = pair

    def readyz(self) -> tuple[int, str]:
        try:
            answer = httpx.get(f"{self.http}/readyz", verify=self.pair.believed(), trust_env=False)
        except httpx.TransportError:
            return 0, ""
        return answer.status_code, answer.text

    async def until_logged(self, event: str, times: int = 1) -> None:
        """Wait until it has written a log line."""
        async with asyncio.timeout(PATIENCE_S):
            while self.log.read_text().count(event) < times:  # noqa: ASYNC110 - only looking tells
                await asyncio.sleep(0.02)
