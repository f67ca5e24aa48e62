"""Those who work, and can be killed: a worker, a Jupyter server with the extension, and its notebooks' kernels."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from agent_kernel.settings import SERVER_VARIABLE
from agent_kernel.testing.messages_api import ScriptedMessages
from tests.faults.wire import Wire
from tests.ports import free_port
from tests.server.conftest import Jupyter, jupyter_server
from tests.server.test_kernels import Kernel

PATIENCE = 90
"""Seconds for anything here to come up on a machine that is busy with everything else."""


class Worker:
    """`agent-kernel worker`."""

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent_kernel", "worker"],
                env=self._environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def freeze(self, seconds: float) -> None:
        """It does nothing for so long, and knows nothing of it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()


class Notebook:
    """One notebook and its kernel, which comes anew when it, or its server, was killed."""

    def __init__(self, name: str, server: str, *, by_hand: bool = False) -> None:
        self.name = name
        self._by_hand = by_hand
        """A server whose clock was turned back looks for dead kernels that much later: a person restarts them."""
        self._server = server
        """Where its kernels find the server: at a wire that can be cut."""
        self.runs: list[str] = []
        self._kernel: Kernel | None = None
        self._pid = 0

    def open(self, jupyter: Jupyter) -> None:
        """A new kernel, of a server that has just started."""
        if self._kernel is not None:
            self._kernel.client.stop_channels()
        self._kernel = Kernel(jupyter, self.name)
        self._greet()

    def _greet(self) -> None:
        assert self._kernel is not None
        self._pid = int(self._kernel.run("import os; print(os.getpid())", PATIENCE))
        self._kernel.run(f"os.environ[{SERVER_VARIABLE!r}] = {self._server!r}", PATIENCE)
        self._kernel.run("%load_ext agent_kernel", PATIENCE)

    def submit(self, prompt: str, session: str) -> str:
        """Start a run from a cell, in a conversation of that name; the run's id."""
        assert self._kernel is not None
        options = f"--background --permission bypass --session {session}"
        cell = (
            f"run = get_ipython().run_cell_magic('agent', {options!r}, {prompt!r}); print(f'run {{run.id}};')"
        )
        printed = self._kernel.run(cell, PATIENCE)  # and, between two writes, what other runs have to show
        found = re.findall(r"run (r-[0-9a-z-]+);", printed)
        assert found, f"the cell did not begin a run: {printed}"
        self.runs.append(found[-1])
        return self.runs[-1]

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def come_back(self) -> None:
        """Once its server has noticed that the kernel died, and started it again."""
        assert self._kernel is not None
        if self._by_hand:
            self._kernel.restart()
        else:
            self._kernel.client.stop_channels()
            self._kernel._connect()
        self._greet()

    def attend(self, unfinished: set[str]) -> None:
        """Whoever was here before this kernel left these to it."""
        assert self._kernel is not None
        for run in self.runs:
            if run in unfinished:
                show = f"get_ipython().run_line_magic('agent', '--background /show {run}')"
                self._kernel.run(show, PATIENCE)

    def close(self) -> None:
        if self._kernel is not None:
            self._kernel.client.stop_channels()


class Server:
    """`jupyter server` with two notebooks open in it."""

    def __init__(
        self, folder: Path, work: Path, api: ScriptedMessages, environment: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._work = work
        self._api = api
        self._environment = environment
        self._port = free_port()
        self._life = contextlib.ExitStack()
        self.wire = Wire(("127.0.0.1", self._port))
        turned = "FAULTY_CLOCK" in environment
        self.notebooks = [Notebook(f"{name}.ipynb", self.url, by_hand=turned) for name in ("first", "second")]

    @property
    def url(self) -> str:
        """By way of the wire."""
        return f"http://127.0.0.1:{self.wire.port}"

    def start(self) -> None:
        self._life = contextlib.ExitStack()
        start = jupyter_server(
            self._folder, self._work, self._api, port=self._port, environ=self._environment
        )
        self._jupyter = self._life.enter_context(start)
        for notebook in self.notebooks:
            notebook.open(self._jupyter)

    def kill(self) -> None:
        self._jupyter.process.kill()
        self._jupyter.process.wait()
        self._life.close()

    def stop(self) -> None:
        for notebook in self.notebooks:
            notebook.close()
        self._life.close()
        self.wire.close()
