"""DBOS Transact, behind the few calls made of it. Imported late and from a thread: that takes a while.

All of it blocks. Its asynchronous calls are not used: each would replace the event loop's default executor
by one that dies with DBOS. An activation is a workflow without steps; the run's own log is the checkpoint.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from dbos._dbos import _get_dbos_instance

from agent_kernel.errors import JobsError
from agent_kernel.jobs.limits import Limits
from agent_kernel.jobs.place import ENDING, Place
from agent_kernel.runs.database import tell_time

NAME = "agent-kernel"
QUEUE = "runs"
WORKFLOW = "agent_run"
SCHEMA = "agent_kernel_jobs"
"""Ours alone: another program that uses DBOS in the same database keeps its tables."""
VERSION = "1"
"""Constant: the log carries the state, and workflows of another version would never be started."""
POLL = 0.1
"""Seconds between looks at the queue: a run starts that soon, for 3 % of a core while nothing happens."""
OPEN = ["ENQUEUED", "PENDING", "DELAYED"]
DONE = ["SUCCESS", "ERROR", "CANCELLED"]
KEEP = timedelta(days=7)
MOST_PRUNED = 1_000

Activate = Callable[[str, str], Awaitable[None]]
"""Called in DBOS's own event loop with the activation's id and the run's."""
_activate: Activate | None = None
logger = logging.getLogger(__name__)


@DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)
async def agent_run(run_id: str) -> None:
    """One activation. Registered once for the process, whichever worker serves it."""
    activation = DBOS.workflow_id
    assert _activate is not None
    assert activation is not None
    await _activate(activation, run_id)


@dataclass(frozen=True, slots=True)
class Activation:
    """One entry of a queue. `starts`: how often it was given to a worker."""

    id: str
    queue: str
    status: str
    executor: str | None
    starts: int

    @property
    def run_id(self) -> str:
        return self.id.rpartition(".")[0]

    @property
    def number(self) -> int:
        return number_of(self.id)

    @property
    def attempt(self) -> int:
        return int(self.id.rpartition(".")[2].partition("-")[2] or 0)


def number_of(activation: str) -> int:
    """`run.12-1` is the second attempt at activation 12."""
    return int(activation.rpartition(".")[2].partition("-")[0])


def queues() -> list[str]:
    """The queue of all workers, and that of this host."""
    return [QUEUE, f"{QUEUE}@{socket.gethostname()}"]


class Queue:
    """What every process may do with the queues: one for any worker, and one for those on this host."""

    def __init__(self, place: Place) -> None:
        self.names = queues()
        _quiet()
        place.prepare()
        tell_time(ENDING)  # which DBOS asks for from Python 3.12 on
        DBOS.migrate(place.url, schema=SCHEMA)
        self._client = DBOSClient(
            system_database_url=place.url,
            dbos_system_schema=SCHEMA,
            serializer=DBOSPortableJSONSerializer(),
            system_database_pool_size=3,
            application_name=NAME,
            retry_connection_errors=False,
        )

    def put(self, activation: str, run_id: str, owner: str, *, here: bool) -> None:
        """A no-op while it waits or is worked on. One that has ended is queued once more, under a name that
        counts: whoever asks again knows that the run did not get on by it. `here`: only a worker on this
        host can drive it."""
        earlier = [a for a in self._list(workflow_id_prefix=activation) if a.number == number_of(activation)]
        if any(a.status in OPEN for a in earlier):
            return
        if earlier:
            activation = f"{activation}-{max(a.attempt for a in earlier) + 1}"
        self._client.enqueue(
            {
                "queue_name": self.names[1] if here else self.names[0],
                "workflow_name": WORKFLOW,
                "workflow_id": activation,
                "queue_partition_key": owner,
                "app_version": VERSION,
            },
            run_id,
        )

    def cancel(self, run_id: str) -> list[str]:
        """The activations of the run that were waiting or running."""
        found = [a.id for a in self._list(workflow_id_prefix=f"{run_id}.", status=OPEN)]
        if found:
            self._client.cancel_workflows(found)
        return found

    def look(self, activations: list[str]) -> dict[str, Activation]:
        return {a.id: a for a in self._list(workflow_ids=activations)}

    def held(self, executor: str | None = None) -> list[Activation]:
        """What workers hold, or one of them."""
        return self._list(status="PENDING", name=WORKFLOW, executor_id=executor)

    def put_back(self, activations: list[Activation]) -> None:
        """Queued again as if never started."""
        for name in {activation.queue for activation in activations}:
            ids = [activation.id for activation in activations if activation.queue == name]
            self._client.resume_workflows(ids, queue_name=name)

    def limit(self, limits: Limits, *, shared: bool) -> None:
        """Say what all workers keep to; before the first of them starts, which would look again a second later."""
        for name in self.names:
            self._client.register_queue(
                name,
                worker_concurrency=min(limits.per_worker, limits.overall),
                global_concurrency=limits.overall,
                partition_concurrency=limits.for_owner(shared=shared),
                limiter={"limit": limits.starts_per_second, "period": 1.0},
                polling_interval_sec=POLL,
                on_conflict="always_update",
            )

    def prune(self) -> bool:
        """Forget what ended long ago, some of it; whether there is more."""
        before = (datetime.now(UTC) - KEEP).isoformat()
        old = [a.id for a in self._list(status=DONE, completed_before=before, limit=MOST_PRUNED)]
        if old:
            self._client.delete_workflows(old)
        return len(old) == MOST_PRUNED

    def close(self) -> None:
        self._client.destroy()

    def _list(self, **which: object) -> list[Activation]:
        found = self._client.list_workflows(**which, load_input=False, load_output=False)  # type: ignore[arg-type]
        return [
            Activation(
                w.workflow_id, w.queue_name or QUEUE, w.status, w.executor_id, w.recovery_attempts or 0
            )
            for w in found
        ]


class Worker:
    """Takes from the queue. DBOS is one per process, so this is too. Open it from a thread without a loop."""

    def __init__(self, place: Place, executor: str, activate: Activate) -> None:
        global _activate
        if _in_use():
            raise JobsError(
                "This process already runs a job engine (DBOS allows one).",
                hint="Close the other one, or open this one without `drive` so that it only enqueues.",
            )
        _quiet()
        _activate = activate
        before = set(threading.enumerate())
        DBOS(
            config={
                "name": NAME,
                "system_database_url": place.url,  # the default would land in the current folder
                "dbos_system_schema": SCHEMA,
                "executor_id": executor,
                "application_version": VERSION,
                "serializer": DBOSPortableJSONSerializer(),
                "sys_db_pool_size": 5,
            }
        )
        DBOS.listen_queues(queues())
        try:
            DBOS.launch()
        except BaseException:
            DBOS.destroy()
            raise
        self._threads = set(threading.enumerate()) - before

    def take_over(self, executors: Collection[str]) -> None:
        """Queue again what these hold; what somebody else has taken by now is left alone."""
        if executors:
            DBOS._recover_pending_workflows(list(executors))

    def close(self) -> None:
        """Stops taking. Whatever still runs in DBOS's loop is cancelled and stays held by this executor."""
        DBOS.destroy()
        until = time.monotonic() + 5
        for thread in self._threads | {
            t for t in threading.enumerate() if t.name.startswith("dbos-executor-")
        }:
            thread.join(max(0.0, until - time.monotonic()))


def _in_use() -> bool:
    try:
        _get_dbos_instance()
    except Exception:  # its own way to say that there is none
        return False
    return True


class _Forward(logging.Handler):
    """DBOS would print to the notebook; what it warns of is ours to show or not."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        logger.info("%s", f"{record.getMessage()} {error!r}" if error else record.getMessage())


def _quiet() -> None:
    dbos = logging.getLogger("dbos")
    if not dbos.handlers:  # it adds one that prints, unless there is one
        dbos.addHandler(_Forward(logging.WARNING))
        dbos.propagate = False
