"""Who works on a hosted run, and when: this process at once while it has room, else the queue.

One run of a session is worked on at a time; when it ends, the session's next is dispatched. What a process
leaves behind when it dies is found by its heartbeat and dispatched again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

from agent_kernel.account import Account
from agent_kernel.app import App
from agent_kernel.errors import AgentKernelError, DiedOften, JobsError
from agent_kernel.events import Error, Status, now_ms
from agent_kernel.jobs.engine import Engine
from agent_kernel.jobs.limits import Limits
from agent_kernel.jobs.schedules import Schedules
from agent_kernel.places import is_here
from agent_kernel.runner import has_owner, is_dead
from agent_kernel.runs.log import ALL_RUNS
from agent_kernel.runs.records import RunRow, Schedule, Session
from agent_kernel.runs.store import DAY_MS
from agent_kernel.settings import RUN_SETTINGS
from agent_kernel.workspaces import tidy

LOOK = 5.0
"""Seconds between looks for runs that nobody works on."""
TIDY = 3_600.0
"""Seconds between looks for sessions, sandboxes and activations that are older than they are to be kept."""
MOST = 1_000
WANTING_WORK = ("queued", "running", "waiting")
"""A paused run wants a person first."""
logger = logging.getLogger(__name__)


class Dispatcher:
    """Serves the App's hosted runs from `await start()` on. With `works` false it only queues them, for workers.

    `lives(executor)` says whether a kernel of this very server that took a call still has it.
    """

    def __init__(
        self,
        app: App,
        *,
        limits: Limits | None = None,
        works: bool = True,
        lives: Callable[[str], bool] = lambda executor: True,
    ) -> None:
        self.app = app
        self.limits = limits or Limits()
        self.schedules: Schedules | None = None
        self._lives = lives
        self._works = works
        self._engine = Engine(
            self._drive if works else None,
            app.settings.database_url or Path(app.settings.folder, "runs.db"),
            limits=self.limits,
            name=app.worker,
            give_up=self._give_up,
        )
        self._in_line = 0
        self._door = asyncio.Lock()
        """One at a time looks whether there is room and goes in."""
        self._looking: asyncio.Task[None] | None = None
        self._following: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to take runs. Raises JobsError or StoreError."""
        await self._engine.start()
        self.app.dispatcher = self
        self.app.is_dead = lambda worker: is_dead(worker) or self._engine.is_dead(worker)
        if self._works:
            self.schedules = Schedules(self.app.store, self._submit)
            self.schedules.start()
            self._looking = asyncio.create_task(self._look())

    async def close(self) -> None:
        """Take no more; what waits in the queue is left to others."""
        self.app.dispatcher, self.app.is_dead = None, is_dead
        if self.schedules is not None:
            await self.schedules.close()
        tasks = [*self._following, *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._engine.close()

    async def dispatch(self, run: RunRow) -> None:
        """Have the run worked on as soon as there is room and its session is free."""
        if await self._before(run):
            return  # whoever ends that one dispatches this one
        async with self._door:
            if self.app.works_on(run.id):
                return
            at_once = self._works and not self._in_line and await self.app.is_here(run)
            if at_once and await self._room(run.owner):
                self._work(run)
                return
        await self._enqueue(run)

    async def _enqueue(self, run: RunRow) -> None:
        here = await self.app.host_of(run) == socket.gethostname()
        head = await self.app.store.head(run.id)  # as everybody sees it: queued twice is queued once
        await self._engine.enqueue(run.id, run.owner, head, here=here)

    async def cancel(self, run_id: str) -> None:
        """Take the run out of the queue; one that is worked on hears of its end by the log."""
        try:
            await self._engine.cancel(run_id)
        except JobsError as error:
            logger.warning("run %s could not be taken out of the queue: %s", run_id, error)

    # -- in this process ----------------------------------------------------------------------------------

    async def _room(self, owner: str) -> bool:
        """Whether one more may start here. Runs that wait for a person, or are paused, take no room."""
        most = self.limits.for_owner(shared=bool(self.app.settings.database_url))
        if self.app.working < min(self.limits.per_worker, most):
            return True
        mine = [
            run for run in await self._unfinished() if self.app.works_on(run.id) and run.status != "waiting"
        ]
        theirs = [run for run in mine if run.owner == owner]
        return len(mine) < self.limits.per_worker and len(theirs) < most

    def _work(self, run: RunRow) -> None:
        self.app.start_hosted(run)
        task = asyncio.create_task(self._see_off(run))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _see_off(self, run: RunRow) -> None:
        await self.app.wait(run.id)
        await self._next(run)

    async def _drive(self, run_id: str) -> None:
        """One activation out of the queue: until the run ends, or waits and gives its place to another."""
        run = await self.app.store.get_run(run_id)
        if not await self._work_when_there_is_room(run):
            return
        rests = asyncio.create_task(self._rests(run))
        ends = asyncio.create_task(self.app.wait(run_id))
        try:
            await asyncio.wait({rests, ends}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await self.app.leave(run_id)
            raise
        finally:
            for task in (rests, ends):
                task.cancel()
            await asyncio.gather(rests, ends, return_exceptions=True)

    async def _work_when_there_is_room(self, run: RunRow) -> bool:
        """Those started past the queue take room too. False when there is nothing to work on any more."""
        self._in_line += 1
        try:
            with self.app.log.bus.subscribe(ALL_RUNS, deltas=False) as bell:
                while True:
                    async with self._door:
                        run = await self.app.store.get_run(run.id)
                        over = run.status not in WANTING_WORK or self.app.works_on(run.id)
                        if over or await self._before(run):
                            return False
                        if await self._room(run.owner):
                            self._work(run)
                            return True
                    await bell.next(LOOK)
        finally:
            self._in_line -= 1

    async def _rests(self, run: RunRow) -> None:
        async with aclosing(self.app.log.follow(run.id, run.head, deltas=False, until_final=False)) as events:
            async for event in events:
                if isinstance(event, Status) and event.status in ("waiting", "paused"):
                    return

    async def _next(self, run: RunRow) -> None:
        """The session is free for the run that waits longest in it."""
        waiting = [row for row in await self._unfinished(run.session_id) if row.status == "queued"]
        for row in sorted(waiting, key=_age)[:1]:
            try:
                await self.dispatch(row)
            except AgentKernelError as error:
                logger.warning("run %s could not be dispatched: %s", row.id, error)

    async def _before(self, run: RunRow) -> bool:
        """Whether an earlier run of the session is still to end."""
        return any(_age(row) < _age(run) for row in await self._unfinished(run.session_id))

    async def _unfinished(self, session_id: str | None = None) -> list[RunRow]:
        found = await self.app.store.list_runs(
            session_id=session_id, status=WANTING_WORK, root_only=True, limit=MOST
        )
        return [run for run in found if run.options.get("hosted")]

    async def _submit(self, schedule: Schedule) -> str:
        """Start what is due; the run's id."""
        options = schedule.options
        account = Account(self.app, schedule.owner)
        workspace = Path(options["workspace"])
        session = await account.session(f"schedule {schedule.name}", workspace, options.get("notebook"))
        said = {name: options[name] for name in ("model", *RUN_SETTINGS) if name in options}
        settings = self.app.settings.with_overrides(f"schedule {schedule.name}", **said)
        run = await account.submit(
            session, schedule.prompt, settings, interactive=False, hosted=True, transcript=True
        )
        return run.id

    async def _give_up(self, run_id: str, error: Exception) -> None:
        run = await self.app.store.get_run(run_id)
        if isinstance(error, DiedOften) and run.head > error.activation:  # it got on: not what kills them
            await self._enqueue(run)
            return
        message, hint = (
            (error.message, error.hint) if isinstance(error, AgentKernelError) else (str(error), "")
        )
        failed = Status(status="failed", reason=type(error).__name__)
        await self.app.log.append(run_id, Error(kind=failed.reason, message=message, hint=hint), failed)

    # -- what others left behind --------------------------------------------------------------------------

    async def _look(self) -> None:
        tidied = 0.0
        while True:
            try:
                if not tidied or time.monotonic() - tidied > TIDY:
                    await self.forget_unused()
                    await tidy(self.app)
                    tidied = time.monotonic()
                    await self._engine.prune()
                if self.app.settings.idle_minutes:
                    await self.app.places.stop_idle(self.app.settings.idle_minutes * 60)
                for run in await self.recover():
                    logger.info("going on with run %s", run)
                await self.app.give_up_calls(await self._unfinished(), self.has_call)
            except AgentKernelError as error:
                logger.warning("looking for runs that nobody works on failed: %s", error)
            except Exception:
                # Whoever stops looking leaves what the dead were working on lying for ever.
                logger.exception("looking for runs that nobody works on failed")
            await asyncio.sleep(LOOK)

    async def has_call(self, executor: str) -> bool:
        """Whether who took a call still has it. Of a kernel its own server knows, and dies with its kernels."""
        kernel, server = kernel_and_server(executor)
        if server in ("", self.app.worker):
            return self._lives(kernel)
        return not (is_dead(server) or await self._engine.is_gone(server))

    async def forget_unused(self) -> int:
        """Delete this host's sessions that were not used for as long as they are kept; how many."""
        days = self.app.settings.retention_days
        if not days:
            return 0
        before = now_ms() - days * DAY_MS
        unused = await self.app.store.unused_sessions(before, MOST)
        forgotten = sum([await self._forgotten(session, before) for session in unused if is_here(session)])
        if forgotten:
            logger.info("deleted %d sessions not used for %d days", forgotten, days)
        return forgotten

    async def _forgotten(self, session: Session, before: int) -> bool:
        """Whether it is: its owner may have come back to it since it was found, and that is not asked in one go."""
        try:
            heads = await self.app.store.session_heads(session.id)
            if (await self.app.store.get_session(session.id)).updated_ms >= before:
                return False
            await self.app.places.nothing_unsaved(session)
            await self.app.forget(session, heads)
        except AgentKernelError as error:
            logger.warning("session %s is kept: %s", session.id, error)
            return False
        return True

    async def recover(self) -> list[str]:
        """Dispatch hosted runs that nobody works on any more; their ids."""
        found = []
        for run in sorted(await self._unfinished(), key=_age):
            orphaned = not self.app.works_on(run.id) and not has_owner(run)
            if orphaned and (run.status != "queued" or not await self._before(run)):
                await self.dispatch(run)
                found.append(run.id)
        return [run for run in found if self.app.works_on(run)]


def kernel_and_server(executor: str) -> tuple[str, str]:
    """`kernel/ID/LIFE@SERVER#ATTEMPT` taken apart; no server for whoever is not a kernel."""
    if not executor.startswith("kernel/"):
        return executor, ""
    kernel, _, rest = executor.partition("@")
    return kernel, rest.partition("#")[0]


def _age(run: RunRow) -> tuple[int, str]:
    return run.created_ms, run.id
