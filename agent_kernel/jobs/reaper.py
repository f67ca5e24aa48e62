"""Runs of dead workers go on elsewhere.

Each worker says every two seconds that it lives. One found silent for five, twice in a row, is dead: what it
holds is queued again by the first of the living. The second look is for a machine that slept: all its workers
fell silent together, and speak up again. A worker that was only slow finds its activations taken and stops
them; the runs' fencing numbers keep it from writing meanwhile.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from agent_kernel.jobs.transact import Activation, Queue, Worker
from agent_kernel.runs.executors import Executors

BEAT = 2.0
SILENT_MS = 5_000
MOST_STARTS = 4
"""An activation whose worker died this often is what kills them."""
logger = logging.getLogger(__name__)


def take_over(
    left: Sequence[Activation], queue: Queue, worker: Worker, give_up: Callable[[str, int], None]
) -> None:
    """Queue again what nobody alive holds; `give_up(activation, starts)` for what was tried too often."""
    for activation in left:
        if activation.starts >= MOST_STARTS:
            queue.cancel(activation.run_id)
            give_up(activation.id, activation.starts)
    dead = {activation.executor for activation in left if activation.executor is not None}
    if dead:
        logger.info("taking over %d activation(s) of %s", len(left), ", ".join(sorted(dead)))
    worker.take_over(dead)


class Reaper:
    """A thread of its own: an event loop that hangs for a while is not a dead worker."""

    def __init__(
        self,
        executors: Executors,
        me: str,
        held: Callable[[], Sequence[Activation]],
        take_over: Callable[[Sequence[Activation]], None],
    ) -> None:
        self._executors = executors
        self._me = me
        self._held = held
        self._take_over = take_over
        self._silent: frozenset[str] = frozenset()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="agent-kernel-reaper", daemon=True)
        self.dead: frozenset[str] = frozenset()
        """Workers known to be dead, as of the last look."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Afterwards the others may take what this worker still holds."""
        self._stop.set()
        self._thread.join()
        self._executors.forget(self._me)

    def _run(self) -> None:
        while not self._stop.wait(BEAT):
            try:
                self.look()
            except Exception:
                logger.warning("looking after the other workers failed; trying again", exc_info=True)

    def look(self) -> None:
        """Looks at everything that is held each time, so that what an earlier mishap left behind heals too."""
        held = self._held()  # before the heartbeats: whoever holds something by now has had one
        ages = self._executors.beat(self._me)
        silent = frozenset(name for name, age in ages.items() if age > SILENT_MS)
        self.dead, self._silent = silent & self._silent, silent
        alive = ages.keys() - self.dead
        if self._me == min(ages.keys() - silent):
            self._take_over([activation for activation in held if activation.executor not in alive])
