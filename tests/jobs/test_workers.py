"""Several processes on one queue: a dead one's runs go on elsewhere, each once; cancel reaches all of them."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.jobs.engine import Engine
from tests.jobs.conftest import NewEngine, worker
from tests.jobs.worker import HELD
from tests.waiting import until


@pytest.fixture
async def engine(postgresql_address: str) -> AsyncIterator[Engine]:
    """Only enqueues, for workers of other processes."""
    opened = Engine(None, postgresql_address)
    await opened.start()
    assert not opened.works
    yield opened
    await opened.close()


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    folder = tmp_path / "marks"
    folder.mkdir()
    return folder


def lines(folder: Path, suffix: str) -> dict[str, list[str]]:
    return {path.stem: path.read_text().split() for path in folder.glob(f"*.{suffix}")}


async def test_runs_of_a_killed_worker_go_on_elsewhere_each_once(
    postgresql_address: str, marks: Path, engine: Engine
) -> None:
    async with worker(postgresql_address, marks, 1000) as first:
        assert await first.line() == "works"
        for number in range(4):
            await engine.enqueue(f"r-{number}", "ada", 1)
        await until(lambda: len(lines(marks, "begun")) == 4)
        async with worker(postgresql_address, marks, 0.5) as second:
            assert await second.line() == "works"
            await first.kill()
            await until(lambda: all(len(by) == 2 for by in lines(marks, "begun").values()))
            await until(lambda: sum(map(bool, lines(marks, "done").values())) == 4)
            by_second = [str(second.process.pid)]
            assert list(lines(marks, "done").values()) == [by_second] * 4


async def test_a_worker_that_slept_stops_what_was_taken_from_it(
    postgresql_address: str, marks: Path, engine: Engine
) -> None:
    async with worker(postgresql_address, marks, 1000) as first:
        assert await first.line() == "works"
        await engine.enqueue("r", "ada", 1)
        await until(lambda: "r" in lines(marks, "begun"))
        first.process.send_signal(signal.SIGSTOP)
        async with worker(postgresql_address, marks, 0.1) as second:
            assert await second.line() == "works"
            await until(lambda: lines(marks, "done") == {"r": [str(second.process.pid)]})
            first.process.send_signal(signal.SIGCONT)
            await until(lambda: (marks / "r.cancelled").exists())


async def test_cancel_reaches_a_run_in_another_process(
    address: str, marks: Path, new_engine: NewEngine
) -> None:
    async with worker(address, marks, 1000) as other:
        assert await other.line() == "works"
        engine = await new_engine(None)
        await engine.enqueue("r", "ada", 1)
        await until(lambda: "r" in lines(marks, "begun"))
        assert await engine.cancel("r")
        await until(lambda: (marks / "r.cancelled").exists())


async def test_limits_hold_over_processes(postgresql_address: str, marks: Path, engine: Engine) -> None:
    async with (
        worker(postgresql_address, marks, 0.5) as first,
        worker(postgresql_address, marks, 0.5) as second,
    ):
        assert [await first.line(), await second.line()] == ["works", "works"]
        (marks / HELD).touch()
        for number in range(12):
            await engine.enqueue(f"r-{number}", "ada", 1)
        most = 0

        def done() -> bool:
            nonlocal most
            if most > 1:
                (marks / HELD).unlink(missing_ok=True)
            finished = set(
                lines(marks, "done")
            )  # first: what ends meanwhile counts as running, never the reverse
            most = max(most, len(set(lines(marks, "begun")) - set(lines(marks, "done"))))
            return len(finished) == 12

        await until(done)
        assert 1 < most <= 5
        assert all(len(by) == 1 for by in lines(marks, "done").values())


async def test_a_second_process_on_sqlite_only_enqueues_and_follows_the_first(
    tmp_path: Path, marks: Path
) -> None:
    address = str(tmp_path / "shared.db")
    async with worker(address, marks, 1000) as first:
        assert await first.line() == "works"
        async with worker(address, marks, 0.2) as second:
            assert await second.line() == "enqueues"
            third = Engine(None, address)
            await third.start()
            await third.enqueue("r", "ada", 1)
            await until(lambda: lines(marks, "begun") == {"r": [str(first.process.pid)]})
            await first.kill()
            assert await second.line() == "works"
            await until(lambda: lines(marks, "done") == {"r": [str(second.process.pid)]})
            await third.close()


async def test_a_run_that_kills_its_workers_is_given_up(tmp_path: Path, marks: Path) -> None:
    address = str(tmp_path / "shared.db")
    told: list[str] = []

    async def never(run_id: str) -> None:
        raise AssertionError(run_id)

    async def give_up(run_id: str, error: Exception) -> None:
        told.append(str(error))

    first = Engine(None, address)
    await first.start()
    await first.enqueue("r", "ada", 1)
    await first.close()
    for time_ in range(1, 5):
        async with worker(address, marks, 1000) as process:
            assert await process.line() == "works"
            await until(lambda times=time_: len(lines(marks, "begun").get("r", [])) == times)  # type: ignore[misc]
    last = Engine(never, address, give_up=give_up)
    await last.start()
    try:
        await until(lambda: bool(told))
        assert told[0].startswith("Run r is given up: the worker died each of the 4 times")
        assert not await last.cancel("r")
    finally:
        await last.close()
