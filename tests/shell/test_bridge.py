"""The bridge: blocking code waits for the loop, and the loop gets work done in the main thread."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from agent_kernel.errors import AgentKernelError
from agent_kernel.shell.bridge import Bridge, Interrupted, NoMainThread


def _interrupted_sleep() -> None:
    _interrupt()
    time.sleep(300)


async def _until(event: threading.Event) -> None:
    await asyncio.to_thread(event.wait, 60)


@pytest.fixture
def bridge() -> Iterator[Bridge]:
    bridge = Bridge()
    yield bridge
    bridge.close()


async def _in_thread() -> str:
    return threading.current_thread().name


def _interrupt() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)


def test_coroutines_run_on_the_bridges_own_thread(bridge: Bridge) -> None:
    assert bridge.call(_in_thread()) == "agents"


def test_errors_come_back(bridge: Bridge) -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        bridge.call(fail())


def test_work_for_the_main_thread_is_done_while_it_waits(bridge: Bridge) -> None:
    async def ask() -> str:
        return await bridge.in_main(lambda: threading.current_thread().name)

    assert bridge.call(ask()) == "MainThread"


def test_work_in_the_main_thread_may_wait_for_the_loop_itself(bridge: Bridge) -> None:
    async def ask() -> str:
        return await bridge.in_main(lambda: bridge.call(_in_thread()))

    assert bridge.call(ask()) == "agents"


def test_without_anybody_waiting_work_is_refused(bridge: Bridge) -> None:
    future = bridge.submit(bridge.in_main(lambda: None))
    with pytest.raises(NoMainThread, match="no cell is waiting"):
        future.result(60)


def test_work_given_between_two_waits_of_a_cell_is_kept(bridge: Bridge) -> None:
    with bridge.attended():
        future = bridge.submit(bridge.in_main(lambda: 7))
        assert bridge.call(_in_thread()) == "agents"
        assert bridge.wait(future) == 7


def test_an_idle_host_is_woken_for_work() -> None:
    asked: list[object] = []
    bridge = Bridge(wake=asked.append)
    future = bridge.submit(bridge.in_main(lambda: 7))
    while not asked:
        time.sleep(0.005)
    asked[0]()  # type: ignore[operator]
    assert future.result(60) == 7
    bridge.close()


def test_an_interrupt_ends_the_wait_and_leaves_the_work_alone(bridge: Bridge) -> None:
    done = threading.Event()

    async def work() -> str:
        while not bridge.is_attended:  # noqa: ASYNC110 - before, the interrupt would hit the test itself
            await asyncio.sleep(0.001)
        _interrupt()
        await _until(done)
        return "done"

    future = bridge.submit(work())
    with pytest.raises(KeyboardInterrupt):
        bridge.wait(future)
    done.set()
    assert bridge.wait(future) == "done"


def test_a_call_that_is_interrupted_is_cancelled(bridge: Bridge) -> None:
    cancelled = threading.Event()

    async def work() -> None:
        _interrupt()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    with pytest.raises(KeyboardInterrupt):
        bridge.call(work())
    assert cancelled.wait(60)


def test_a_call_can_time_out(bridge: Bridge) -> None:
    with pytest.raises(TimeoutError):
        bridge.call(asyncio.Event().wait(), timeout=0.05)


def test_an_interrupt_of_a_job_keeps_its_result_and_reaches_the_cell(bridge: Bridge) -> None:
    def job() -> str:
        try:
            _interrupt()
            time.sleep(300)
        except KeyboardInterrupt:
            raise Interrupted("half done") from None
        return "done"

    async def ask() -> str:
        return await bridge.in_main(job)

    with bridge.attended():
        future = bridge.submit(ask())
        with pytest.raises(KeyboardInterrupt):
            bridge.wait(future)
        assert bridge.wait(future) == "half done"


def test_cancelling_interrupts_the_job_and_not_the_cell(bridge: Bridge) -> None:
    started, ended = threading.Event(), threading.Event()

    def job() -> None:
        started.set()
        try:
            time.sleep(300)
        finally:
            ended.set()

    async def ask_and_cancel() -> str:
        task = asyncio.create_task(bridge.in_main(job))
        await _until(started)
        task.cancel()
        await _until(ended)
        return "cell goes on"

    assert bridge.call(ask_and_cancel()) == "cell goes on"


def test_the_loops_own_thread_must_not_block(bridge: Bridge) -> None:
    async def block() -> None:
        future = bridge.submit(_in_thread())
        bridge.wait(future)

    with pytest.raises(RuntimeError, match="must not"):
        bridge.call(block())


def test_an_interrupt_of_plain_work_is_an_error_for_who_asked(bridge: Bridge) -> None:
    seen: list[BaseException] = []

    async def ask() -> None:
        try:
            await bridge.in_main(_interrupted_sleep)
        except AgentKernelError as error:
            seen.append(error)

    with bridge.attended():
        future = bridge.submit(ask())
        with pytest.raises(KeyboardInterrupt):
            bridge.wait(future)
        bridge.wait(future)
    assert [str(error) for error in seen] == ["Interrupted."]


def test_a_forked_child_sees_that_the_thread_is_gone(bridge: Bridge) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0 if not bridge.alive else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert bridge.alive
