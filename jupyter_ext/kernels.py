"""Kernels and their tokens: each kernel this server starts may reach the runs of its own notebook."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agent_kernel.settings import KERNEL_VARIABLE, SERVER_VARIABLE, TOKEN_VARIABLE
from jupyter_ext.people import owner_of


@dataclass(frozen=True, slots=True)
class Pass:
    """What a kernel's token stands for."""

    token: str
    owner: str
    notebook: str


class Kernels:
    """The passes of the kernels that are alive."""

    def __init__(self) -> None:
        self._passes: dict[str, Pass] = {}
        self._alive: Any = frozenset()
        self.ending: Counter[str] = Counter()
        """How often each of those that are ending was told so: a restart and a shutdown may overlap."""
        self._ends_of: Counter[str] = Counter()

    def watch(self, serverapp: Any, started: Callable[[], object]) -> None:
        """Give every kernel started from now on its address and token, by its environment.

        `started()` is called with each kernel: somebody may soon want a run.
        """
        manager = serverapp.kernel_manager
        self._alive = manager
        start = manager.start_kernel

        async def start_kernel(*args: Any, **options: Any) -> Any:
            url = serverapp.connection_url
            if url.startswith(("http://", "https://")):  # not a Unix socket
                kernel_id = options.get("kernel_id") or str(uuid.uuid4())
                env = dict(options.get("env") or os.environ)
                notebook = env.get("JPY_SESSION_NAME") or f"kernel:{kernel_id}"
                token = secrets.token_urlsafe(32)
                self._passes[kernel_id] = Pass(token, _who(serverapp), notebook)
                env |= {SERVER_VARIABLE: url, KERNEL_VARIABLE: kernel_id, TOKEN_VARIABLE: token}
                options |= {"kernel_id": kernel_id, "env": env}
            self._forget()
            started()
            started_id = await start(*args, **options)
            with contextlib.suppress(Exception):  # not every kernel manager tells of deaths
                manager.add_restart_callback(started_id, lambda: self._died(started_id))
            return started_id

        manager.start_kernel = start_kernel
        for name in ("restart_kernel", "shutdown_kernel"):
            setattr(manager, name, self._ends(getattr(manager, name)))

    def _ends(self, end: Any) -> Any:
        """A kernel that is told to end is interrupted first; that is no word of a person's to stop a run."""

        async def ending(kernel_id: str, *args: Any, **options: Any) -> Any:
            self.ending[kernel_id] += 1
            try:
                return await end(kernel_id, *args, **options)
            finally:
                self.ending -= Counter([kernel_id])
                self._ends_of[kernel_id] += 1

        return ending

    @property
    def tokens(self) -> list[str]:
        return [known.token for known in self._passes.values()]

    def _died(self, kernel_id: str) -> None:
        self._ends_of[kernel_id] += 1

    def executor(self, kernel_id: str) -> str:
        """Names one life of a kernel: a restart ends it."""
        return f"kernel/{kernel_id}/{self._ends_of[kernel_id]}"

    def lives(self, executor: str) -> bool:
        """Whether who took a call still has it. What is no kernel (a person's program) is taken to live."""
        kind, _, rest = executor.partition("/")
        kernel_id = rest.partition("/")[0]
        return kind != "kernel" or (kernel_id in self._alive and executor == self.executor(kernel_id))

    def _forget(self) -> None:
        """Drop the passes of kernels that are gone (but for the newest, whose kernel is about to start)."""
        for kernel_id in list(self._passes)[:-20]:
            if kernel_id not in self._alive:
                del self._passes[kernel_id]

    def check(self, header: str) -> tuple[str, Pass] | None:
        """The kernel's id and pass for a header `id:token`; None for a wrong token or a kernel that is gone."""
        kernel_id, _, token = header.partition(":")
        known = self._passes.get(kernel_id)
        if known is None or kernel_id not in self._alive:
            return None
        return (kernel_id, known) if hmac.compare_digest(known.token.encode(), token.encode()) else None


def _who(serverapp: Any) -> str:
    """The person whose request starts the kernel."""
    from jupyter_server import CallContext

    handler = CallContext.get(CallContext.JUPYTER_HANDLER)
    user = getattr(handler, "current_user", None)
    return owner_of(user, serverapp.identity_provider)
