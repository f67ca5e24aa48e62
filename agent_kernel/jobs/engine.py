"""The job engine: runs are queued, and each activation of a run is driven by one worker at a time.

It knows nothing of what a run is. It is given `drive(run_id)`, which folds the run's log and goes on from there
until the run is final or waits for somebody; what woke it up enqueues the next activation.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import uuid4

from agent_kernel.errors import AgentKernelError, DiedOften, JobsError, RunBusy
from agent_kernel.jobs.limits import Limits
from agent_kernel.jobs.place import Place

if TYPE_CHECKING:
    from agent_kernel.jobs.reaper import Reaper
    from agent_kernel.jobs.transact import Activation, Queue, Worker
    from agent_kernel.runs.executors import Executors

P = ParamSpec("P")
T = TypeVar("T")
Drive = Callable[[str], Awaitable[None]]
GiveUp = Callable[[str, Exception], Awaitable[None]]
WATCH = 0.4
"""Seconds between looks at whether running activations were cancelled or taken over elsewhere."""
LOST = 10.0
"""Seconds between looks for activations that the queue holds for us and that never came."""
STAND_BY = 2.0
BUSY_WAIT, BUSY_PAUSE = 20.0, 1.0
"""A run may still be under the lease of a worker that died, or of its last activation: that ends soon."""
logger = logging.getLogger(__name__)


class Engine:
    """Open with `await start()`. Without `drive` it only enqueues and cancels.

    `name` is unique to this process: two workers of one name would steal each other's runs.
    `give_up(run_id, error)` is told of activations that will not be tried again.
    """

    def __init__(
        self,
        drive: Drive | None,
        where: str | Path,
        *,
        limits: Limits | None = None,
        name: str = "",
        give_up: GiveUp | None = None,
    ) -> None:
        self.name = name or uuid4().hex
        self.limits = limits or Limits()
        self._drive = drive
        self._where = str(where)
        self._give_up = give_up
        self._place = Place(where)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="agent-kernel-jobs")
        self._queue: Queue | None = None
        self._worker: Worker | None = None
        self._reaper: Reaper | None = None
        self._executors: Executors | None = None
        self._running: dict[str, asyncio.Task[None]] = {}
        self._chores: list[asyncio.Task[None]] = []
        self._started = self._closing = False
        self._changing = threading.Lock()

    @property
    def works(self) -> bool:
        """Whether this process drives runs. On SQLite one process does; the next one follows when it ends."""
        return self._worker is not None

    def is_dead(self, name: str) -> bool:
        """Whether the worker of this name is known to be dead, so that nobody has to wait for its leases."""
        return self._reaper is not None and name in self._reaper.dead

    async def is_gone(self, name: str) -> bool:
        """Whether no living worker has this name, on whichever host: it died, or ended and said so. Asked anew
        each time: who has just begun is not gone."""
        if self._reaper is None or self._executors is None:
            return False
        return self.is_dead(name) or name not in await self._call(self._executors.beat, self.name)

    # -- what anybody may do ----------------------------------------------------------------------------

    async def enqueue(self, run_id: str, owner: str, activation: int, *, here: bool = False) -> None:
        """Queue one activation, for any worker or (`here`) for those on this host. The same number is a no-op
        while it waits or is worked on."""
        queue = self._opened()
        await self._call(queue.put, f"{run_id}.{activation}", run_id, owner, here=here)

    async def cancel(self, run_id: str) -> bool:
        """Take the run out of the queue, or cancel its activation wherever it runs; False if there was none."""
        queue = self._opened()
        found = await self._call(queue.cancel, run_id)
        for activation in found:
            if task := self._running.get(activation):
                task.cancel("cancelled")
        return bool(found)

    async def prune(self) -> None:
        """Forget the activations that ended long ago."""
        while await self._call(self._opened().prune):
            pass

    # -- life -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the queue and, if nobody else has to, begin to take from it. Raises JobsError or StoreError."""
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._started = True
        try:
            self._queue = await self._call(self._open_queue)
            if self._drive is not None and not await self._try_to_work():
                self._chores.append(asyncio.create_task(self._stand_by()))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Stop working; activations that run are cancelled and put back into the queue for the next worker."""
        if self._closing:
            return
        self._closing = True
        tasks = [*self._chores, *self._running.values()]
        for task in tasks:
            task.cancel("closing")
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if self._started:
                await self._call(self._close)
        finally:
            self._pool.shutdown()

    def _open_queue(self) -> Queue:
        from agent_kernel.jobs.transact import Queue

        return Queue(self._place)

    def _close(self) -> None:
        # Each of them, whatever the others raise; last in, first out.
        with self._changing, contextlib.ExitStack() as last:
            last.callback(self._place.leave)
            if self._executors is not None:
                last.callback(self._executors.close)
            if self._queue is not None:
                last.callback(self._queue.close)
            last.callback(self._stop_working)
        self._queue = None

    def _stop_working(self) -> None:
        """The reaper goes last: while it beats, nobody else takes what is being put back."""
        worker, self._worker = self._worker, None
        reaper, self._reaper = self._reaper, None
        with contextlib.ExitStack() as last:
            if reaper is not None:
                last.callback(reaper.stop)
            if worker is not None:
                last.callback(self._put_back)
                last.callback(worker.close)

    def _put_back(self) -> None:
        queue = self._opened()
        queue.put_back(queue.held(self.name))

    # -- becoming and being the worker --------------------------------------------------------------------

    async def _try_to_work(self) -> bool:
        if not await self._call(self._work):
            return False
        self._chores.append(asyncio.create_task(self._watch()))
        self._chores.append(asyncio.create_task(self._find_lost()))
        return True

    def _work(self) -> bool:
        with self._changing:
            if self._closing or not self._place.take():
                return False
            try:
                self._begin_to_work()
            except BaseException:
                self._stop_working()
                self._place.leave()
                raise
        return True

    def _begin_to_work(self) -> None:
        from agent_kernel.jobs.reaper import Reaper
        from agent_kernel.jobs.transact import Worker
        from agent_kernel.runs.executors import Executors

        queue = self._opened()
        queue.limit(self.limits, shared=self._place.shared)
        if self._place.shared:
            self._executors = self._executors or Executors(self._where)
            self._executors.beat(self.name)  # before anything is held in this name
            self._worker = Worker(self._place, self.name, self._from_queue)
            self._reaper = Reaper(self._executors, self.name, queue.held, self._take_over)
            self._reaper.start()
        else:
            self._worker = Worker(self._place, self.name, self._from_queue)
            # The lock says that nobody else lives.
            self._take_over([a for a in queue.held() if a.executor != self.name])

    def _take_over(self, left: Sequence[Activation]) -> None:
        from agent_kernel.jobs.reaper import take_over

        if (worker := self._worker) is not None:
            take_over(left, self._opened(), worker, self._died_often)

    def _died_often(self, activation: str, starts: int) -> None:
        from agent_kernel.jobs.transact import number_of

        run_id = activation.rpartition(".")[0]
        error = DiedOften(
            f"Run {run_id} is given up: the worker died each of the {starts} times it was started.",
            hint="Look for what exhausts the machine, then retry the run.",
        )
        error.activation = number_of(activation)
        asyncio.run_coroutine_threadsafe(self._tell(run_id, error), self._loop)

    async def _stand_by(self) -> None:
        while True:
            await asyncio.sleep(STAND_BY)
            try:
                if await self._try_to_work():
                    return
            except AgentKernelError as error:
                logger.warning("taking over the job queue failed: %s", error)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH)
            if not (seen := dict(self._running)):
                continue
            try:
                found = await self._call(self._opened().look, list(seen))
            except AgentKernelError as error:
                logger.warning("looking for cancelled runs failed: %s", error)
                continue
            for activation, task in seen.items():
                now = found.get(activation)
                if now is None or now.status != "PENDING" or now.executor != self.name:
                    task.cancel("cancelled, or taken over by another worker")

    async def _find_lost(self) -> None:
        suspects: set[str] = set()
        while True:
            await asyncio.sleep(LOST)
            try:
                suspects = await self.put_back_lost(suspects)
            except AgentKernelError as error:
                logger.warning("looking for lost activations failed: %s", error)

    async def put_back_lost(self, suspects: set[str]) -> set[str]:
        """Queue again which of the suspects are still held in our name and unknown here; the next suspects.

        DBOS takes an activation first and starts it then. When the database fails in between, a worker that
        lives holds it for ever, so that nobody would take it over, and it keeps a place of its owner's.
        """
        held = await self._call(self._opened().held, self.name)
        unknown = {a.id: a for a in held if a.id not in self._running}
        if lost := [unknown[name] for name in suspects & unknown.keys()]:
            logger.warning("putting back %d activation(s) that never came", len(lost))
            await self._call(self._opened().put_back, lost)
        return set(unknown) - suspects

    # -- one activation -----------------------------------------------------------------------------------

    async def _from_queue(self, activation: str, run_id: str) -> None:
        """In DBOS's loop and thread: have it driven in ours, in a context that knows nothing of DBOS."""
        ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        ended.set_running_or_notify_cancel()  # ours to resolve, whoever waits
        self._loop.call_soon_threadsafe(self._begin, activation, run_id, ended, context=self._context)
        await asyncio.wrap_future(ended)

    def _begin(self, activation: str, run_id: str, ended: concurrent.futures.Future[None]) -> None:
        if self._closing:
            return  # never resolved: it stays held until it is put back
        earlier = {task for known, task in self._running.items() if known.rpartition(".")[0] == run_id}
        task = asyncio.create_task(self._drive_after(earlier, run_id))
        self._running[activation] = task

        def end(task: asyncio.Task[None]) -> None:
            if self._running.get(activation) is task:
                del self._running[activation]
            if not task.cancelled() and (error := task.exception()):
                logger.error("activation %s failed", activation, exc_info=error)
            if not self._closing:  # else it stays held; driving a run once more finds in its log what is done
                ended.set_result(None)

        task.add_done_callback(end)

    async def _drive_after(self, earlier: set[asyncio.Task[None]], run_id: str) -> None:
        """Not beside an earlier activation of the run, which may still be tidying up."""
        if earlier:
            await asyncio.wait(earlier)
        await self._drive_with_retries(run_id)

    async def _drive_with_retries(self, run_id: str) -> None:
        assert self._drive is not None
        attempt, patience = 1, time.monotonic() + BUSY_WAIT
        while True:
            try:
                await self._drive(run_id)
                return
            except RunBusy as error:
                if time.monotonic() > patience:
                    logger.info("run %s is left to its owner: %s", run_id, error)
                    return
                await asyncio.sleep(BUSY_PAUSE)
            except Exception as error:
                if not getattr(error, "retryable", False) or attempt >= self.limits.attempts:
                    await self._tell(run_id, error)
                    return
                logger.info("attempt %d of run %s failed: %s", attempt, run_id, error)
                await asyncio.sleep(self.limits.backoff * 2 ** (attempt - 1))
                attempt += 1

    async def _tell(self, run_id: str, error: Exception) -> None:
        if self._give_up is None:
            logger.error("run %s is given up: %s", run_id, error)
            return
        try:
            await self._give_up(run_id, error)
        except Exception:
            logger.exception("run %s is given up (%s), and saying so failed", run_id, error)

    # -- threads --------------------------------------------------------------------------------------------

    def _opened(self) -> Queue:
        if self._queue is None:
            raise JobsError(
                "The job engine is not open.", hint="Call start() first, and nothing after close()."
            )
        return self._queue

    async def _call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What blocks, in a thread of our own. Raises JobsError for whatever the database or DBOS raises."""
        try:
            return await self._loop.run_in_executor(self._pool, partial(work, *args, **kwargs))
        except AgentKernelError:
            raise
        except Exception as error:
            reason: Any = getattr(error, "orig", None) or error
            raise JobsError(
                f"The job queue failed: {str(reason).strip().splitlines()[0] if str(reason).strip() else reason!r}",
                hint="Is the database running, and may it be written?",
            ) from error
