"""Executes one run: joins the loop, the log, the sandbox lease and the bounds. Knows nothing of dispatch.

Whatever happens, a run ends in a final state (or paused by a bound), and each of its calls has a result.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from agent_kernel.errors import AgentKernelError, ModelError, OwnershipLost
from agent_kernel.events import Context, Error, Event, Json, Message, Status, ToolResult, now_ms
from agent_kernel.executor import CallExecutor, Permissions, network_afterwards, network_asker, network_free
from agent_kernel.instructions import Place, system_prompt
from agent_kernel.journal import RunJournal
from agent_kernel.loop import Bounds, Loop, error_result, interrupted
from agent_kernel.model import Model
from agent_kernel.previews import PreviewWatch
from agent_kernel.runs.blobs import Blobs
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.records import RunRow
from agent_kernel.sandbox.base import NetworkPolicy, Sandbox
from agent_kernel.sandbox.egress import is_broad
from agent_kernel.skills.skill import Skill
from agent_kernel.tools.base import AttachedKernel, KernelBridge, Tool
from agent_kernel.tools.notebook.pages import OpenNotebooks

HEARTBEAT = 4.0
LEASE_MS = 15_000
GONE = "gone"
STOPPED = "Stopped: the run was cancelled before this call had a result."
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order:
    """How one activation of a run is to be done."""

    run: RunRow
    worker: str
    permission: str
    bounds: Bounds
    max_tokens: int
    network: tuple[str, ...] = ()
    allow_private: frozenset[tuple[str, int]] = frozenset()
    interactive: bool = True
    kernel: KernelBridge | AttachedKernel | None = None
    instructions: str = ""
    notebook: str = ""
    """The name of the person's notebook in the workspace, if they have one."""


@dataclass(frozen=True, slots=True)
class Means:
    """What the App lends a run."""

    log: RunLog
    blobs: Blobs
    open_model: Callable[[RunRow], Awaitable[Model]]
    lease_sandbox: Callable[[RunRow], Awaitable[Sandbox]]
    tools: Sequence[Tool]
    skills: Sequence[Skill]
    more_tools: Callable[[Sandbox], Awaitable[tuple[Sequence[Tool], Sequence[Event]]]]
    state: dict[str, Any]
    write_lock: asyncio.Lock
    dead: Callable[[str], bool]
    notebooks: OpenNotebooks | None = None


async def execute(order: Order, means: Means) -> Status:
    """One activation: from wherever the log stands to a final state, or to a pause by a bound.

    Raises RunBusy when another live process owns the run, OwnershipLost when one took it over.
    """
    run = order.run
    fence = await means.log.store.claim(run.id, order.worker, LEASE_MS, dead=means.dead)
    earlier, events = await session_events(means.log, run)
    journal = RunJournal(means.log, run.id, fence, earlier, events)
    heart = asyncio.create_task(_beat(means.log, run.id, order.worker, fence, asyncio.current_task()))
    try:
        return await _drive(order, means, journal)
    finally:
        heart.cancel()
        try:
            await journal.close()
        finally:
            with suppress(OwnershipLost):
                await means.log.store.release(run.id, fence)


def worker_name() -> str:
    """Names this process: host, process id, and a part of its own that ends with when it began."""
    return f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:6]}.{_begun(os.getpid())}"


def has_owner(run: RunRow) -> bool:
    """Whether somebody who lives works on the run, by its heartbeat."""
    fresh = now_ms() - (run.heartbeat_ms or 0) < LEASE_MS
    return run.worker is not None and fresh and not is_dead(run.worker)


def is_dead(worker: str) -> bool:
    """True for a worker of this host whose process is gone: nobody has to wait for its lease to end. Its number may be
    another process's by now, which did not begin when it did."""
    host, _, rest = worker.partition("/")
    pid, _, own = rest.partition("/")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:  # somebody else's
        pass
    said, now = own.partition(".")[2], _begun(int(pid))
    return now == GONE or bool(said and now and said != now)


def _begun(pid: int) -> str:
    """When the process began, in the system's own count; GONE for one that has ended and that nobody has buried (in a
    container often nobody does); empty where it cannot be told."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            state, *fields = stat.read().rpartition(")")[2].split()
            return GONE if state in "ZX" else fields[18]
    except (OSError, ValueError, IndexError):
        return ""


async def session_events(log: RunLog, run: RunRow) -> tuple[list[Event], list[Event]]:
    """The events of the session's earlier runs, and of this one."""
    earlier: list[Event] = []
    own: list[Event] = []
    for event in await log.store.read_session(run.session_id):
        if event.run_id == run.id:
            own.append(event)
        elif not own:
            earlier.append(event)
    return earlier, own or await log.read(run.id)


async def _beat(log: RunLog, run_id: str, worker: str, fence: int, owner: asyncio.Task[Any] | None) -> None:
    """Keep the lease; whoever lost it stops at once and appends nothing more."""
    while True:
        await asyncio.sleep(HEARTBEAT)
        try:
            await log.store.heartbeat(run_id, worker, fence)
        except OwnershipLost:
            if owner is not None:
                owner.cancel("ownership lost")
            return
        except AgentKernelError as error:
            logger.warning("heartbeat of run %s failed: %s", run_id, error)


async def _drive(order: Order, means: Means, journal: RunJournal) -> Status:
    """Run the loop as a task, so that a stop by anyone cancels it, and write how it ended."""
    work = asyncio.create_task(_work(order, means, journal))
    journal.watch(on_cancel=work.cancel)
    try:
        await asyncio.wait({work})
    except asyncio.CancelledError:  # our own process is going down, or somebody else owns the run now
        work.cancel()
        await asyncio.wait({work})
        raise
    try:
        ending = work.result()
    except asyncio.CancelledError:
        return await _end(journal, "cancelled", "cancelled", STOPPED)
    except OwnershipLost:
        raise
    except AgentKernelError as error:
        kind = error.kind if isinstance(error, ModelError) else type(error).__name__
        journal.hold(Error(kind=kind, message=error.message, hint=error.hint))
        return await _end(journal, "failed", kind, f"Not done: {error.message}")
    except Exception as error:
        logger.exception("run %s crashed", journal.run_id)
        journal.hold(Error(kind="internal", message=f"{type(error).__name__}: {error}"))
        return await _end(journal, "failed", "internal", "Not done: the program failed.")
    if ending == "complete":
        return await _end(journal, "completed", "complete", STOPPED)
    return await _end(journal, "paused", ending, STOPPED)


async def _end(journal: RunJournal, status: Any, reason: str, unfinished: str) -> Status:
    """The last event of an activation; calls without a result get one."""
    await journal.catch_up()
    held = {event.id for event in journal.held() if isinstance(event, ToolResult)}
    for call in journal.state.open_calls:
        if call.id not in held:
            journal.hold(
                error_result(call.call, unfinished) if status != "failed" else interrupted(call.call)
            )
    last = Status(status=status, reason=reason, turn=journal.state.turn)
    await journal.append(last)
    if status == "paused" and journal.state.control == "cancel":
        # It was said when there was no more work to be stopped.
        return await _end(journal, "cancelled", "cancelled", unfinished)
    return last


async def _work(order: Order, means: Means, journal: RunJournal) -> str:
    run = order.run
    await _begin(order, journal)
    model = await means.open_model(run)
    sandbox = await means.lease_sandbox(run)
    broad = tuple(filter(is_broad, order.network))
    permissions = Permissions(journal, order.permission, order.interactive, run.owner, means.skills, broad)
    heard: set[str] = set()
    network = _network(order, permissions, heard)
    await sandbox.set_network(network)
    try:
        ending = await _turns(order, means, model, sandbox, permissions, network, heard)
    finally:
        await sandbox.set_network(network_afterwards(network, permissions))
    await journal.flush()
    return ending


async def _turns(
    order: Order,
    means: Means,
    model: Model,
    sandbox: Sandbox,
    permissions: Permissions,
    network: NetworkPolicy,
    heard: set[str],
) -> str:
    journal = permissions.journal
    more, notes = await means.more_tools(sandbox)
    journal.hold(*notes)
    tools = [*means.tools, *more]

    async def tell(event: Event) -> None:
        await journal.append(event.model_copy(update={"turn": journal.state.turn}))

    previews = PreviewWatch(sandbox, tell)
    executor = CallExecutor(
        journal=journal,
        sandbox=sandbox,
        tools={tool.name: tool for tool in tools},
        permissions=permissions,
        state=means.state,
        kernel=order.kernel,
        write_lock=means.write_lock,
        worker=order.worker,
        previews=previews,
        network=network,
        heard=heard,
        notebooks=means.notebooks,
    )
    loop = await _loop(order, means, journal, model, sandbox, executor, [tool.param() for tool in tools])
    try:
        ending = await loop.run()
        await previews.settle()
    finally:
        await previews.close()
    return ending


async def _begin(order: Order, journal: RunJournal) -> None:
    if journal.state.control == "cancel":
        raise asyncio.CancelledError
    await journal.checkpoint()
    events: list[Event] = [Status(status="running", reason="starting")]
    if not any(isinstance(event, Message) for event in journal.events):
        events.append(Message(role="user", text=order.run.prompt, by=order.run.owner))
    await journal.append(*events)


def _network(order: Order, permissions: Permissions, heard: set[str]) -> NetworkPolicy:
    """Whom a person named may be reached; patterns that name nobody are left to the asker, which can be careful."""
    plan = order.permission == "plan"
    return NetworkPolicy(
        allow=tuple(host for host in order.network if plan or host not in permissions.broad),
        allow_private=order.allow_private,
        ask=None if plan else network_asker(permissions),
        lets=None if plan else network_free(permissions),
        heard=lambda request: heard.add(request.host),
    )


async def _loop(
    order: Order,
    means: Means,
    journal: RunJournal,
    model: Model,
    sandbox: Sandbox,
    executor: CallExecutor,
    tools: list[Json],
) -> Loop:
    """Freeze the prefix: system prompt and tools go to blobs, their hashes into the log."""
    place = Place(
        tier=sandbox.tier,
        workdir=sandbox.workdir,
        python=_python(sandbox),
        permission=order.permission,
        network=order.network,
        kernel=order.kernel is not None,
        interactive=order.interactive,
        notebook=order.notebook,
    )
    system = system_prompt(place, order.instructions)
    kept, listed = await asyncio.gather(
        means.blobs.put(system.encode()), means.blobs.put(json.dumps(tools).encode())
    )
    context = Context(
        model=model.name,
        system=kept,
        tools=listed,
        max_tokens=order.max_tokens,
        demo=model.demo,
        tier=sandbox.tier,
    )
    journal.hold(context)
    return Loop(
        journal=journal,
        model=model,
        executor=executor,
        system=system,
        tools=tools,
        max_tokens=order.max_tokens,
        bounds=order.bounds,
    )


def _python(sandbox: Sandbox) -> str:
    import platform

    if sandbox.tier == "daytona":
        return "the Python of the sandbox's own image, to which `pip install` adds packages where there is a network"

    return f"Python {platform.python_version()}, the packages of the person's own environment"
