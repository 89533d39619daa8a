"""What an operator sees: counts as Prometheus reads them, and log lines without secrets."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from actors.runtime.meters import LABELS, Counts, Meters, Spread, Spreads
from server.config import Log
from server.telemetry import LAG_EVERY_S, configure_logging, loop_lag, registry_of
from tests.server.clocks import HandClock


def scrape(meters: Meters) -> dict[str, float]:
    """Every sample by its name and labels, as Prometheus would keep it."""
    text = generate_latest(registry_of(meters)).decode()
    return {
        sample.name + "".join(f"{{{name}={value}}}" for name, value in sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# Metrics.
def test_what_is_counted_is_what_prometheus_reads() -> None:
    meters = Meters()
    meters.connections = 3
    meters.messages_out += 5
    meters.messages_in.add("chat.send", 2)
    meters.refusals.add("guild.full")
    meters.active.add("player", 2)
    meters.active.add("player", -1)
    meters.store_up = True

    samples = scrape(meters)

    assert samples["guildhall_connections"] == 3
    assert samples["guildhall_messages_out_total"] == 5
    assert samples["guildhall_messages_in_total{type=chat.send}"] == 2
    assert samples["guildhall_refusals_total{code=guild.full}"] == 1
    assert samples["guildhall_actors_active{kind=player}"] == 1
    assert samples["guildhall_store_up"] == 1


def test_every_meter_is_shown() -> None:
    plain = Meters()
    before = scrape(plain)
    for name in Meters.__slots__:
        raised = Meters()
        meter = getattr(raised, name)
        if isinstance(meter, Counts):
            meter.add("x")
        elif isinstance(meter, Spreads):
            meter.observe("x", 1.0)
        elif isinstance(meter, Spread):
            meter.observe(1.0)
        else:
            setattr(raised, name, 7)

        assert scrape(raised) != before, name


def test_a_histogram_counts_each_value_in_its_range_and_all_above() -> None:
    meters = Meters()
    for seconds in (0.0001, 0.0002, 0.3, 99.0):
        meters.commit_seconds.observe(seconds)

    samples = scrape(meters)

    assert samples["guildhall_commit_seconds_bucket{le=0.0001}"] == 1
    assert samples["guildhall_commit_seconds_bucket{le=0.00025}"] == 2
    assert samples["guildhall_commit_seconds_bucket{le=0.25}"] == 2
    assert samples["guildhall_commit_seconds_bucket{le=0.5}"] == 3
    assert samples["guildhall_commit_seconds_bucket{le=+Inf}"] == 4
    assert samples["guildhall_commit_seconds_count"] == 4
    assert samples["guildhall_commit_seconds_sum"] == pytest.approx(99.3003)


def test_a_batch_is_noted_at_once() -> None:
    one, batch = Spread(), Spread()
    for _ in range(50):
        one.observe(0.5)
    batch.observe(0.5, 50)

    assert (one.counts, one.total) == (batch.counts, batch.total)


def test_labels_cannot_grow_without_bound() -> None:
    counts, spreads = Counts(), Spreads()
    for number in range(LABELS + 100):
        counts.add(f"tag.{number}")
        spreads.observe(f"kind-{number}", 1.0)
    counts.add("tag.0")

    assert len(counts) == len(spreads) == LABELS + 1
    assert (counts["other"], counts["tag.0"]) == (100, 2)
    assert sum(spreads["other"].counts) == 100


def test_a_nodes_processor_time_and_memory_have_the_names_that_dashboards_know() -> None:
    before = scrape(Meters())
    held = bytearray(64 << 20)
    held[::4096] = b"x" * len(held[::4096])
    sum(range(1_000_000))

    after = scrape(Meters())

    assert 0 < before["process_cpu_seconds_total"] < after["process_cpu_seconds_total"]
    assert after["process_resident_memory_bytes"] - before["process_resident_memory_bytes"] > 60 << 20


def test_two_nodes_in_one_process_do_not_share_their_numbers() -> None:
    one, other = Meters(), Meters()
    one.writes = 9

    assert scrape(one)["guildhall_writes_total"] == 9
    assert scrape(other)["guildhall_writes_total"] == 0


async def test_a_late_event_loop_is_measured() -> None:
    clock, meters = HandClock(), Meters()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(loop_lag(clock, meters))
        await clock.until_asleep()
        clock.advance(LAG_EVERY_S + 0.2)
        await clock.until_asleep()
        task.cancel()

    assert meters.loop_lag_s == pytest.approx(0.2)
    assert sum(meters.loop_lag.counts) == 1


# Logs.
class Stderr(io.TextIOWrapper):
    """Standard error that remembers."""

    def lines(self) -> list[str]:
        self.flush()
        raw = self.buffer
        assert isinstance(raw, io.BytesIO)
        return raw.getvalue().decode().splitlines()


@pytest.fixture
def stderr() -> Iterator[Stderr]:
    caught = Stderr(io.BytesIO(), encoding="utf-8")
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield caught
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_production_writes_one_json_object_a_line_with_what_is_bound(stderr: Stderr) -> None:
    configure_logging(Log(), dev=False, stream=stderr)

    with structlog.contextvars.bound_contextvars(trace="t1", player="ann"):
        structlog.get_logger().info("chat.sent", channel="guild:42", seq=7)

    (line,) = stderr.lines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "event": "chat.sent",
        "level": "info",
        "trace": "t1",
        "player": "ann",
        "channel": "guild:42",
        "seq": 7,
    }


def test_development_writes_for_people(stderr: Stderr) -> None:
    configure_logging(Log(), dev=True, stream=stderr)

    structlog.get_logger().info("chat.sent", seq=7)

    (line,) = stderr.lines()
    assert "chat.sent" in line
    assert "seq=7" in line
    assert not line.startswith("{")


@pytest.mark.parametrize("dev", [True, False])
def test_secrets_that_slip_into_a_line_are_blanked(stderr: Stderr, dev: bool) -> None:
    configure_logging(Log(), dev=dev, stream=stderr)

    structlog.get_logger().warning("x.happened", token="hunter2", device_id="hunter2", ok=1)

    (line,) = stderr.lines()
    assert "hunter2" not in line
    assert "***" in line


@pytest.mark.parametrize("dev", [True, False])
def test_a_traceback_never_shows_local_variables(stderr: Stderr, dev: bool) -> None:
    configure_logging(Log(), dev=dev, stream=stderr)

    def fail() -> None:
        token = "hunt" + "er2"
        raise RuntimeError(f"failed with {len(token)} characters")

    try:
        fail()
    except RuntimeError:
        structlog.get_logger().exception("x.failed")

    text = "\n".join(stderr.lines())
    assert "failed with 7 characters" in text
    assert "hunter2" not in text


def test_lines_below_the_level_are_not_written(stderr: Stderr) -> None:
    configure_logging(Log(level="warning"), dev=False, stream=stderr)

    structlog.get_logger().info("x.happened")

    assert stderr.lines() == []


def test_libraries_are_heard_from_warning_on_in_the_same_form(stderr: Stderr) -> None:
    configure_logging(Log(level="info"), dev=False, stream=stderr)

    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("redis").warning("lost %s", "it")

    (line,) = stderr.lines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["logger"]) == ("lost it", "warning", "redis")


def test_fields_that_json_does_not_know_are_written_all_the_same(stderr: Stderr) -> None:
    configure_logging(Log(), dev=False, stream=stderr)

    structlog.get_logger().info("x.happened", what=object, many={1, 2})

    assert json.loads(stderr.lines()[0])["event"] == "x.happened"
