"""The bridge between cells, which block, and runs, which are async: the only place that knows threads.

Agents live on one event loop in one daemon thread per process. The main thread waits in short polls,
so that an interrupt reaches it, and meanwhile does the work that must happen in the main thread:
code for the user's namespace, a question at the terminal.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import queue
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from agent_kernel.errors import AgentKernelError

T = TypeVar("T")
POLL = 0.1
"""Seconds between two looks at the future; the upper bound of what an interrupt costs."""


class NoMainThread(AgentKernelError):
    """Work for the main thread was given, and nothing there will ever take it up."""


class Interrupted(KeyboardInterrupt):
    """An interrupt that ended a job; `result` is what the job has to show for itself."""

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result


class _Job(Generic[T]):
    """Work for the main thread. It is done once, or never when it was abandoned before."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.future: Future[T] = Future()
        self._lock = threading.Lock()
        self._running = False

    def do(self) -> None:
        """In the main thread. An interrupt by a person ends the job and goes on upwards."""
        if not self.future.set_running_or_notify_cancel():
            return
        self._running = True
        try:
            result = self.work()
        except Interrupted as interrupt:
            self._end()
            self.future.set_result(interrupt.result)
            raise
        except BaseException as error:
            self._end()
            self.future.set_exception(
                AgentKernelError("Interrupted.") if isinstance(error, KeyboardInterrupt) else error
            )
            if isinstance(error, KeyboardInterrupt):
                raise
        else:
            self._end()
            self.future.set_result(result)

    def _end(self) -> None:
        with self._lock:
            self._running = False

    def abandon(self) -> bool:
        """From the loop's thread: nobody wants the result any more. True when a signal was sent."""
        self.future.cancel()
        with self._lock:
            if self._running:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            return self._running


class Bridge:
    """One event loop in one daemon thread, and a queue of jobs for the main thread.

    `wake(drain)` asks the host of the main thread (a Jupyter kernel) to call `drain` there when idle; a
    host without such a door takes jobs only while it waits.
    """

    def __init__(self, wake: Callable[[Callable[[], None]], None] | None = None) -> None:
        self.pid = os.getpid()
        self.wake = wake
        self.loop = asyncio.new_event_loop()
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._attended = 0
        self._sent_interrupt = False
        context = contextvars.copy_context()  # ipykernel keeps there which cell output belongs to
        self._thread = threading.Thread(target=context.run, args=(self._serve,), name="agents", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    @property
    def alive(self) -> bool:
        """False in a forked child: threads do not survive a fork."""
        return self.pid == os.getpid() and self._thread.is_alive()

    # -- from the cell's side ------------------------------------------------------------------------

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start `work` on the loop, in the context of the calling cell."""
        return asyncio.run_coroutine_threadsafe(work, self.loop)

    def call(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Start `work` and wait for it. An interrupt, or `timeout` seconds, cancels it."""
        begun: list[asyncio.Task[Any]] = []
        stopped = threading.Event()

        async def tracked() -> T:
            if (task := asyncio.current_task()) is not None:
                begun.append(task)
            if stopped.is_set():
                work.close()
                raise asyncio.CancelledError
            return await work

        if threading.current_thread() is not threading.main_thread():
            return self.wait(self.submit(tracked()), timeout, cancel=True)
        try:
            with self.attended():  # before the work starts: it may ask for the main thread at once
                return self.wait(self.submit(tracked()), timeout, cancel=True)
        except KeyboardInterrupt:  # may come before there is a future to cancel
            stopped.set()
            for task in begun:
                self.loop.call_soon_threadsafe(task.cancel)
            raise

    def wait(self, future: Future[T], timeout: float | None = None, *, cancel: bool = False) -> T:
        """The future's result. In the main thread, jobs are done meanwhile and interrupts get through.

        Raises TimeoutError after `timeout` seconds; KeyboardInterrupt leaves the future alone unless
        `cancel` is set.
        """
        if threading.current_thread() is self._thread:
            raise RuntimeError("This blocks, and the event loop's own thread must not. Use the async face.")
        try:
            if threading.current_thread() is not threading.main_thread():
                return future.result(timeout)
            return self._pump(future, timeout)
        except (KeyboardInterrupt, TimeoutError):
            if cancel:
                future.cancel()
            raise

    def _pump(self, future: Future[T], timeout: float | None) -> T:
        future.add_done_callback(lambda _: self._jobs.put(None))  # an end is noticed at once
        deadline = None if timeout is None else self.loop.time() + timeout
        with self.attended():
            while not future.done():
                if deadline is not None and self.loop.time() > deadline:
                    raise TimeoutError(f"Not done within {timeout:g} seconds.")
                self._step()
        return future.result()

    @property
    def is_attended(self) -> bool:
        """True while the main thread waits here."""
        return self._attended > 0

    @contextmanager
    def attended(self) -> Iterator[None]:
        """The main thread waits, or soon will again: jobs given meanwhile are kept for it."""
        self._attended += 1
        try:
            yield
        finally:
            self._attended -= 1

    def _step(self) -> None:
        """Wait shortly for a job and do it. An interrupt we sent ourselves ends here."""
        try:
            job = self._jobs.get(timeout=POLL)
            if job is not None:
                job.do()
        except queue.Empty:
            pass
        except KeyboardInterrupt:
            if not self._sent_interrupt:
                raise
        finally:
            self._sent_interrupt = False

    # -- from the loop's side --------------------------------------------------------------------------

    async def in_main(self, work: Callable[[], T]) -> T:
        """Do `work` in the main thread: while a cell waits, or when the kernel is idle.

        Cancelling this interrupts the work. Raises NoMainThread where nobody would come to do it.
        """
        if not self._attended and self.wake is None:
            raise NoMainThread(
                "Nothing can run in the user's namespace now: no cell is waiting for this run.",
                hint="Start the run in a cell, without --background.",
            )
        job = _Job(work)
        self._jobs.put(job)
        if self.wake is not None:
            self.wake(self._drain)
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            self._sent_interrupt = True  # first, so that the signal finds it
            self._sent_interrupt = job.abandon()
            raise

    def _drain(self) -> None:
        """All jobs at hand, by the kernel's own loop between two cells, where SIGINT is ignored."""
        handler = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.do()
        except (queue.Empty, KeyboardInterrupt):
            pass
        finally:
            self._sent_interrupt = False
            signal.signal(signal.SIGINT, handler)

    def later(self, function: Callable[..., object], *args: Any) -> None:
        """Call `function` on the loop, from any thread."""
        self.loop.call_soon_threadsafe(function, *args)

    def close(self) -> None:
        """Stop the loop; what is on it is lost."""
        if self.alive:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(1)
