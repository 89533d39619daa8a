"""A small HTTP server that answers with metrics as a test has written them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

LAG_BOUNDS = (0.001, 0.01, 0.1, 1.0)


def page(worker: int | None = None, *, lags: Sequence[float] = (), **numbers: float) -> str:
    """Metrics as a node tells them, with the label of a worker if it is one; ``lags`` are all that it ever measured."""
    names = {
        "cpu": "process_cpu_seconds_total",
        "memory": "process_resident_memory_bytes",
        "connections": "guildhall_connections",
        "commit_sum": "guildhall_commit_seconds_sum",
        "commit_count": "guildhall_commit_seconds_count",
        "lag_now": "guildhall_loop_lag_now_seconds",
    }
    samples = {names[name]: value for name, value in numbers.items()}
    if lags:
        samples |= {"guildhall_loop_lag_seconds_sum": sum(lags), "guildhall_loop_lag_now_seconds": lags[-1]}
    buckets = {bound: sum(lag <= bound for lag in lags) for bound in (*LAG_BOUNDS, float("inf"))} if lags else {}
    label = "" if worker is None else f'worker="{worker}"'
    lines = ["# HELP guildhall_writes Writes.", "# TYPE guildhall_writes counter", "guildhall_writes_total 5"]
    lines += [f"{name}{{{label}}} {value}" for name, value in samples.items()]
    lines += [
        f'guildhall_loop_lag_seconds_bucket{{{label}{"," if label else ""}le="{bound}"}} {count}'.replace("inf", "+Inf")
        for bound, count in buckets.items()
    ]
    return "\n".join(lines) + "\n"


class Pages:
    """What it answers next; the last page stays. None holds the answer back until ``go``."""

    def __init__(self, *answers: str | int | None) -> None:
        self.answers: list[str | int | None] = list(answers)
        self.asked = 0
        self.url = ""
        self.go = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Event]] = []

    async def until_asked(self, times: int) -> None:
        """Until that many requests have come."""
        event = asyncio.Event()
        self._waiting.append((times, event))
        self._tell()
        await event.wait()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, one request."""
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            self._tell()
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                await self.go.wait()
            status = f"{answer} no" if isinstance(answer, int) else "200 OK"
            body = answer.encode() if isinstance(answer, str) else b""
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
            )
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def _tell(self) -> None:
        for times, event in self._waiting:
            if self.asked >= times:
                event.set()


@asynccontextmanager
async def serving(*answers: str | int | None) -> AsyncIterator[Pages]:
    """Pages at a URL of their own."""
    pages = Pages(*answers)
    server = await asyncio.start_server(pages.serve, "127.0.0.1", 0)
    pages.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield pages
    finally:
        pages.go.set()
        server.close()
        await server.wait_closed()
