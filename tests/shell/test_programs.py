"""Agent cells where no front end is: nbconvert, papermill and IPython in a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import HttpError, Text, ToolUse
from tests.shell.cells import environment


def write(path: Path, *cells: str) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def program(*arguments: str, env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], env=env, cwd=cwd, capture_output=True, text=True, timeout=300
    )


# By itself each gives an output four seconds after its cell has ended.
CONVERT = ("-m", "nbconvert", "--execute", "--to", "notebook", "--inplace",
           "--ExecutePreprocessor.iopub_timeout=60")  # fmt: skip
PAPERMILL = "from papermill import execute_notebook as run; run(*['a.ipynb'] * 2, progress_bar=False, iopub_timeout=60)"


@pytest.mark.parametrize("arguments", [(*CONVERT, "a.ipynb"), ("-c", PAPERMILL)])
def test_an_executed_notebook_holds_the_transcript_and_no_widget(
    arguments: tuple[str, ...], workspace: Path, tmp_path: Path, api: ScriptedMessages
) -> None:
    api.add([Text("Forty-two.")])
    write(workspace / "a.ipynb", "%load_ext agent_kernel", "run = %agent What is it?", "print(run.text)")
    done = program(*arguments, env=environment(tmp_path / "data", api), cwd=workspace)
    assert done.returncode == 0, done.stderr
    notebook: Any = nbformat.read(workspace / "a.ipynb", as_version=4)
    nbformat.validate(notebook)
    asked, printed = (cell.outputs for cell in notebook.cells[-2:])
    assert len(asked) == 1 and set(asked[0].data) == {"text/html", "text/markdown", "text/plain"}
    assert "Forty-two." in asked[0].data["text/plain"]
    assert printed[0].text == "Forty-two.\n"
    assert "widgets" not in notebook.metadata


def test_a_failed_run_fails_the_conversion(workspace: Path, tmp_path: Path, api: ScriptedMessages) -> None:
    api.add(HttpError(401, "authentication_error", "invalid x-api-key"))
    write(workspace / "a.ipynb", "%load_ext agent_kernel", "%agent Hi", "print('not reached')")
    done = program(*CONVERT, "a.ipynb", env=environment(tmp_path / "data", api), cwd=workspace)
    assert done.returncode != 0
    assert "The key was not accepted" in done.stderr


class Terminal:
    """IPython on a pseudo-terminal."""

    def __init__(self, env: dict[str, str], cwd: Path) -> None:
        self.master, slave = pty.openpty()
        arguments = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--colors=NoColor"]
        self.process = subprocess.Popen(
            arguments, stdin=slave, stdout=slave, stderr=slave, cwd=cwd,
            env={**env, "TERM": "dumb"}, start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, words: str) -> str:
        """What was written up to `words` since the last call."""
        while words not in self.seen:
            try:
                self.seen += os.read(self.master, 4096).decode(errors="replace")
            except OSError:
                raise AssertionError(f"ended without {words!r}: {self.seen!r}") from None
        before, _, self.seen = self.seen.partition(words)
        return before

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(60)
        os.close(self.master)


def test_in_a_terminal_people_are_asked_and_can_interrupt(
    workspace: Path, tmp_path: Path, api: ScriptedMessages
) -> None:
    from agent_kernel.testing.script import Stall

    api.add(
        [ToolUse("notebook_python", {"code": "x = 6 * 7\nprint('set')"})],
        [Text("Done, \x1b]0;evil\x07sir.")],
        [Text("Hm"), Stall()],
    )
    terminal = Terminal(environment(tmp_path / "data", api), workspace)
    try:
        terminal.until("In [1]:")
        terminal.type("%load_ext agent_kernel\n")
        terminal.until("In [2]:")
        terminal.type("%agent Set x\n")
        terminal.until("Allow? [y]es once, [s]ession, [n]o:")
        terminal.type("maybe\n")
        terminal.until("Allow? [y]es once, [s]ession, [n]o:")
        terminal.type("y\n")
        shown = terminal.until("In [3]:")
        assert "Done, sir." in shown and "<Run r" in shown
        terminal.type("print(x)\n")
        assert "42" in terminal.until("In [4]:")
        terminal.type("%agent Think\n")
        assert api.wait_for_requests(3)
        terminal.type("\x03")
        assert "Stopped." in terminal.until("In [5]:")
        terminal.type("print(x + 1)\n")
        assert "43" in terminal.until("In [6]:")
    finally:
        terminal.close()


def test_a_script_on_a_pipe_is_not_asked(workspace: Path, tmp_path: Path, api: ScriptedMessages) -> None:
    api.add([ToolUse("notebook_python", {"code": "x = 1"})], [Text("Then not.")])
    (workspace / "script.ipy").write_text("%load_ext agent_kernel\n%agent Set x\n")
    done = program("-m", "IPython", "script.ipy", env=environment(tmp_path / "data", api), cwd=workspace)
    assert "Then not." in done.stdout, done.stderr
    assert "deny" in done.stdout and "nobody to ask" in done.stdout
