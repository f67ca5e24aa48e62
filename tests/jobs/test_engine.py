"""The queue in one process: quick, within its limits, fair, and gone without a trace."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from agent_kernel.errors import JobsError, RunBusy, SandboxUnavailable, SettingsError
from agent_kernel.jobs.engine import Engine
from agent_kernel.jobs.limits import Limits
from tests.jobs.conftest import NewEngine, Work, change_queue
from tests.waiting import PATIENCE, until


async def test_what_is_queued_starts_soon(new_engine: NewEngine, work: Work) -> None:
    engine = await new_engine()
    took: list[float] = []
    for number in range(1, 6):
        begin = time.monotonic()
        await engine.enqueue(f"ada-{number}", "ada", 1)
        await until(lambda: len(work.ended) == number)  # noqa: B023 (awaited here)
        took.append(time.monotonic() - begin)
    assert sorted(took)[2] < 3, "a machine that stands still does so now and then"


async def test_an_activation_queued_twice_is_one(new_engine: NewEngine, work: Work) -> None:
    engine = await new_engine()
    work.open.clear()
    for activation in (1, 1, 2, 1, 2):
        await engine.enqueue("ada-1", "ada", activation)
    await engine.enqueue("ada-2", "ada", 1)
    work.open.set()
    await until(lambda: "ada-2" in work.ended and work.ended.count("ada-1") == 2)
    await asyncio.sleep(0.3)
    assert sorted(work.started) == ["ada-1", "ada-1", "ada-2"]


async def test_an_activation_that_came_to_nothing_can_be_queued_again(
    new_engine: NewEngine, work: Work
) -> None:
    engine = await new_engine()
    for times in range(1, 4):
        await engine.enqueue("ada-1", "ada", 12)
        await until(lambda: len(work.ended) == times)  # noqa: B023 (awaited here)
        await until_done(engine)
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: len(work.ended) == 4)


async def until_done(engine: Engine) -> None:
    """Until the queue knows it too."""
    async with asyncio.timeout(PATIENCE):
        while await engine._call(engine._opened().held):  # noqa: ASYNC110 (nothing rings)
            await asyncio.sleep(0.01)


async def test_an_activation_that_was_taken_and_never_came_is_put_back(
    new_engine: NewEngine, work: Work, address: str
) -> None:
    """As the queue is left when the database fails between taking an activation and starting it."""
    engine = await new_engine()
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: work.ended == ["ada-1"])
    await until_done(engine)
    assert change_queue(address, f"status = 'PENDING', executor_id = '{engine.name}'") == 1
    suspects = await engine.put_back_lost(set())
    assert suspects == {"ada-1.1"}
    assert work.ended == ["ada-1"]
    assert await engine.put_back_lost(suspects) == set()
    await until(lambda: work.ended == ["ada-1", "ada-1"])


async def test_all_that_ended_long_ago_is_forgotten_and_nothing_else(
    new_engine: NewEngine, work: Work, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent_kernel.jobs.transact.MOST_PRUNED", 2)
    engine = await new_engine()
    names = [f"ada-{number}" for number in range(6)]
    for name in names:
        await engine.enqueue(name, "ada", 1)
    await until(lambda: sorted(work.ended) == names)
    await until_done(engine)
    assert change_queue(address, "completed_at = 1", "workflow_uuid <> 'ada-5.1'") == 5
    await engine.prune()
    left = await engine._call(engine._opened().look, [f"{name}.1" for name in names])
    assert set(left) == {"ada-5.1"}


async def test_limits_of_an_owner_and_overall_hold_and_are_used(new_engine: NewEngine, work: Work) -> None:
    engine = await new_engine(limits={"per_owner": 2, "per_worker": 5, "overall": 5})
    work.open.clear()
    for number in range(8):
        for owner in ("ada", "bob", "eve"):
            await engine.enqueue(f"{owner}-{number}", owner, 1)
    await until(lambda: len(work.running) == 5)
    assert sorted(Counter(name.split("-")[0] for name in work.running).values()) == [1, 2, 2]
    work.open.set()
    await until(lambda: len(work.ended) == 24)
    assert work.most.pop("all") == 5
    assert max(work.most.values()) == 2
    assert sorted(work.started) == sorted(set(work.started))


async def test_five_run_at_once_unless_said_otherwise(address: str, work: Work) -> None:
    shared = address.startswith("postgresql")
    work.open.clear()
    engine = Engine(work.drive, address)
    await engine.start()
    try:
        for number in range(8):
            await engine.enqueue(f"ada-{number}", "ada", 1)
        alone = 4 if shared else 5
        await until(lambda: len(work.running) == alone)
        await engine.enqueue("bob-1", "bob", 1)
        if shared:  # the last place of a worker is for somebody else
            await until(lambda: "bob-1" in work.running)
        await asyncio.sleep(0.5)
        assert len(work.running) == 5
    finally:
        await engine.close()


async def test_the_many_runs_of_one_owner_do_not_starve_another(new_engine: NewEngine, work: Work) -> None:
    engine = await new_engine(limits={"per_owner": 3, "per_worker": 4})
    work.open.clear()
    for number in range(50):
        await engine.enqueue(f"ada-{number}", "ada", 1)
    await until(lambda: bool(work.started))
    await engine.enqueue("bob-1", "bob", 1)
    await until(lambda: "bob-1" in work.started)
    assert not work.ended
    work.open.set()
    await until(lambda: len(work.ended) == 51)


async def test_no_more_than_the_allowed_number_starts_in_a_second(address: str) -> None:
    times: list[float] = []

    async def drive(run_id: str) -> None:
        times.append(time.time())

    engine = Engine(drive, address, limits=Limits(starts_per_second=5, per_worker=50, per_owner=50))
    await engine.start()
    begun = time.time()  # the first may be taken at once, and be heard of late
    try:
        for number in range(20):
            await engine.enqueue(f"r-{number}", "ada", 1)
        await until(lambda: len(times) == 20)
    finally:
        await engine.close()
    # The clock of SQLite may count in whole seconds only: five in each, so 20 need part of four.
    assert times[-1] - begun > 2


async def test_a_retryable_error_is_tried_three_times_with_growing_pauses(
    new_engine: NewEngine,
) -> None:
    times: list[float] = []
    told: list[tuple[str, str]] = []

    async def drive(run_id: str) -> None:
        times.append(time.monotonic())
        raise SandboxUnavailable("The sandbox has died.")

    async def give_up(run_id: str, error: Exception) -> None:
        told.append((run_id, str(error)))

    engine = await new_engine(drive, give_up=give_up, limits={"backoff": 0.2})
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: bool(told))
    assert told == [("ada-1", "The sandbox has died.")]
    assert len(times) == 3
    assert times[1] - times[0] >= 0.2
    assert times[2] - times[1] >= 0.4


async def test_what_works_the_second_time_is_done(new_engine: NewEngine) -> None:
    seen: list[str] = []

    async def drive(run_id: str) -> None:
        seen.append(run_id)
        if len(seen) == 1:
            raise SandboxUnavailable("The sandbox has died.")

    engine = await new_engine(drive)
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: len(seen) == 2)
    await asyncio.sleep(0.3)
    assert len(seen) == 2


async def test_other_errors_are_told_at_once_and_the_queue_goes_on(new_engine: NewEngine) -> None:
    seen: list[str] = []
    told: list[str] = []

    async def drive(run_id: str) -> None:
        seen.append(run_id)
        if run_id == "bad":
            raise ValueError("nonsense")

    async def give_up(run_id: str, error: Exception) -> None:
        told.append(f"{run_id}: {error}")
        raise RuntimeError("and giving up failed too")

    engine = await new_engine(drive, give_up=give_up)
    await engine.enqueue("bad", "ada", 1)
    await until(lambda: bool(told))
    await engine.enqueue("good", "ada", 1)
    await until(lambda: "good" in seen)
    assert told == ["bad: nonsense"]
    assert seen == ["bad", "good"]


async def test_a_run_still_leased_by_another_is_waited_for(new_engine: NewEngine) -> None:
    tries: list[str] = []

    async def drive(run_id: str) -> None:
        tries.append(run_id)
        if len(tries) < 3:
            raise RunBusy("Run r is being worked on by another worker.")

    engine = await new_engine(drive, limits={"attempts": 1})
    await engine.enqueue("r", "ada", 1)
    await until(lambda: len(tries) == 3)


async def test_cancel_reaches_what_runs_and_what_waits(new_engine: NewEngine, work: Work) -> None:
    work.open.clear()
    engine = await new_engine(limits={"per_owner": 1})
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: work.running == {"ada-1"})
    await engine.enqueue("ada-2", "ada", 1)
    assert await engine.cancel("ada-2")
    assert await engine.cancel("ada-1")
    await until(lambda: work.cancelled == ["ada-1"])
    assert not await engine.cancel("ada-1")
    assert not await engine.cancel("ada")  # the beginning of an id is another run's
    await engine.enqueue("ada-1", "ada", 2)  # and it can go on
    await until(lambda: work.started == ["ada-1", "ada-1"])
    work.open.set()
    await until(lambda: work.ended == ["ada-1"])


async def test_cancel_reaches_a_run_that_waits_for_its_next_attempt(new_engine: NewEngine) -> None:
    tries: list[str] = []

    async def drive(run_id: str) -> None:
        tries.append(run_id)
        raise SandboxUnavailable("The sandbox has died.")

    engine = await new_engine(drive, limits={"backoff": 10 * PATIENCE})
    await engine.enqueue("r", "ada", 1)
    await until(lambda: tries == ["r"])
    assert await engine.cancel("r")
    await until(lambda: not engine._running)
    assert tries == ["r"]


async def test_what_ran_at_close_goes_on_with_the_next_engine(new_engine: NewEngine, work: Work) -> None:
    work.open.clear()
    engine = await new_engine()
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: work.running == {"ada-1"})
    await engine.close()
    assert work.cancelled == ["ada-1"]
    work.open.set()
    await new_engine()
    await until(lambda: work.ended == ["ada-1"])


async def test_closing_leaves_no_task_no_thread_and_no_lock(address: str, work: Work) -> None:
    threads, tasks = set(threading.enumerate()), asyncio.all_tasks()
    await asyncio.to_thread(lambda: None)
    pool = {thread for thread in threading.enumerate() if thread.name.startswith("asyncio_")}
    work.open.clear()
    for _ in range(2):
        engine = Engine(work.drive, address)
        await engine.start()
        await engine.enqueue("ada-1", "ada", 1)
        await until(lambda: work.running == {"ada-1"})
        await engine.close()
        await engine.close()
        assert asyncio.all_tasks() == tasks
        assert set(threading.enumerate()) - pool <= threads, "of others some may have ended"
        assert engine._place.take()  # the next one may have it
        engine._place.leave()
    assert await asyncio.to_thread(lambda: 7) == 7


async def test_the_event_loop_keeps_its_executor(new_engine: NewEngine, work: Work) -> None:
    await asyncio.to_thread(lambda: None)
    loop = asyncio.get_running_loop()
    before = loop._default_executor  # type: ignore[attr-defined]
    engine = await new_engine()
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: work.ended == ["ada-1"])
    assert loop._default_executor is before  # type: ignore[attr-defined]


async def test_the_next_activation_of_a_run_waits_for_the_one_before(
    new_engine: NewEngine, work: Work
) -> None:
    work.open.clear()
    engine = await new_engine()
    await engine.enqueue("ada-1", "ada", 1)
    await engine.enqueue("ada-1", "ada", 2)
    await engine.enqueue("ada-2", "ada", 1)
    await until(lambda: "ada-2" in work.started)
    await asyncio.sleep(0.3)
    assert work.started.count("ada-1") == 1
    work.open.set()
    await until(lambda: work.ended.count("ada-1") == 2)


async def test_a_run_may_queue_another_one(new_engine: NewEngine) -> None:
    seen: list[str] = []
    opened: list[Engine] = []

    async def drive(run_id: str) -> None:
        seen.append(run_id)
        if run_id == "parent":
            await opened[0].enqueue("child", "ada", 1)

    opened.append(await new_engine(drive))
    await opened[0].enqueue("parent", "ada", 1)
    await until(lambda: seen == ["parent", "child"])


async def test_nothing_is_printed(
    new_engine: NewEngine, work: Work, capfd: pytest.CaptureFixture[str]
) -> None:
    engine = await new_engine()
    await engine.enqueue("ada-1", "ada", 1)
    await until(lambda: work.running == {"ada-1"})
    await engine.cancel("ada-1")
    await until(lambda: not work.running)
    await engine.close()
    said = capfd.readouterr()
    assert said.out + said.err == ""
    assert not any(type(h) is logging.StreamHandler for h in logging.getLogger("dbos").handlers)


async def test_a_second_engine_on_another_database_is_refused_in_one_sentence(
    new_engine: NewEngine, tmp_path: Path, work: Work
) -> None:
    await new_engine()
    other = Engine(work.drive, tmp_path / "other.db")
    with pytest.raises(JobsError, match="already runs a job engine"):
        await other.start()
    only_enqueues = Engine(None, tmp_path / "other.db")
    await only_enqueues.start()
    await only_enqueues.enqueue("r", "ada", 1)
    await only_enqueues.close()


async def test_an_engine_that_is_not_open_says_so(address: str, work: Work) -> None:
    engine = Engine(work.drive, address)
    with pytest.raises(JobsError, match="not open"):
        await engine.enqueue("r", "ada", 1)
    await engine.close()


async def test_of_two_engines_on_one_sqlite_file_the_second_follows_the_first(
    tmp_path: Path, work: Work
) -> None:
    first, second = Engine(work.drive, tmp_path / "runs.db"), Engine(work.drive, tmp_path / "runs.db")
    await first.start()
    await second.start()
    assert (first.works, second.works) == (True, False)
    await first.close()
    await until(lambda: second.works)
    await second.enqueue("ada-1", "ada", 1)
    await until(lambda: work.ended == ["ada-1"])
    await second.close()


async def test_a_database_that_cannot_be_opened_is_one_sentence(tmp_path: Path, work: Work) -> None:
    (tmp_path / "runs-jobs.db").write_text("this is no database, and long enough to be seen as none" * 20)
    with pytest.raises(JobsError, match=r"runs-jobs\.db cannot be opened: file is not a database"):
        await Engine(work.drive, tmp_path / "runs.db").start()
    with pytest.raises(JobsError, match="The job queue failed"):
        await Engine(work.drive, "postgresql://nobody@127.0.0.1:1/none").start()


def test_limits_that_let_nothing_run_are_refused() -> None:
    with pytest.raises(SettingsError, match="per_worker = 0"):
        Limits(per_worker=0)
