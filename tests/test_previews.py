"""What listens in the sandbox is found, asked and told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent_kernel import previews
from agent_kernel.events import BrowserUpdate, Event, ToolResult
from agent_kernel.previews import PreviewWatch, answer_of
from agent_kernel.sandbox import open_sandbox, probe
from agent_kernel.sandbox.base import Sandbox

pytestmark = pytest.mark.skipif(
    not any(report.tier == "bubblewrap" and report.available for report in probe()),
    reason="only bubblewrap's sandbox has a network of its own",
)
SILENT = "import socket, time; s = socket.create_server(('127.0.0.1', 8302)); time.sleep(600)"
OTHER = (
    "import socket\ns = socket.create_server(('127.0.0.1', 8303))\n"
    "while True:\n c, _ = s.accept(); c.recv(999); c.sendall(b'SSH-2.0-x\\r\\n'); c.close()"
)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "index.html").write_text("<TITLE>\n A &amp; \x1b[31mb\n</title>")
    async with await open_sandbox(workspace=tmp_path / "work", data_dir=tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers are given the time that a slow machine needs."""
    monkeypatch.setattr(previews, "PATIENCE", 60.0)


@pytest.fixture
async def watch(sandbox: Sandbox) -> AsyncIterator[tuple[PreviewWatch, list[BrowserUpdate]]]:
    told: list[BrowserUpdate] = []

    async def tell(event: Event) -> None:
        assert isinstance(event, BrowserUpdate)
        told.append(event)

    watch = PreviewWatch(sandbox, tell)
    yield watch, told
    await watch.close()


async def until(look: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def listens(sandbox: Sandbox, port: int) -> None:
    async with asyncio.timeout(60):
        while port not in await sandbox.ports():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def result(text: str, path: str | None = None) -> ToolResult:
    return ToolResult(id="1", content=[{"type": "text", "text": text}], output_path=path)


async def test_only_what_listens_inside_is_listed_on_either_loopback(sandbox: Sandbox, patient: None) -> None:
    assert await sandbox.ports() == []
    await sandbox.exec("python3 -m http.server 8300", background=True)
    await sandbox.exec("python3 -m http.server 8301 --bind ::1", background=True)
    await listens(sandbox, 8300)
    await listens(sandbox, 8301)
    assert await sandbox.ports() == [8300, 8301]
    for port in (8300, 8301):
        answer = await answer_of(sandbox, port)
        assert (answer.http, answer.title) == (True, "A & b")
    life = sandbox.life
    await sandbox.stop()
    assert (await sandbox.ports(), sandbox.life) == ([], "")
    await sandbox.start()
    assert sandbox.life not in ("", life)


async def test_a_server_is_told_once_with_the_page_it_names_and_again_when_it_ends(
    sandbox: Sandbox, watch: tuple[PreviewWatch, list[BrowserUpdate]], patient: None
) -> None:
    watching, told = watch
    log = f"{sandbox.session}/outputs/1.log"
    said = "\\e[32mLocal: http://localhost:8300/index.html?a=1.\\e[0m"
    command = f"(echo -e '{said}'; exec python3 -m http.server 8300) >{log}"
    await sandbox.exec(command, background=True)
    watching.heard(result("It runs.", log), background=True)
    await watching.settle()
    await until(lambda: told)
    await asyncio.sleep(1.2)
    (update,) = told
    assert (update.url, update.title, update.live) == ("http://localhost:8300/index.html?a=1", "A & b", True)
    await sandbox.kill()
    await until(lambda: len(told) > 1)
    assert (told[1].port, told[1].url, told[1].live) == (8300, update.url, False)


async def test_a_desktop_that_listens_before_it_is_ready_is_told_to_be_one(
    sandbox: Sandbox, watch: tuple[PreviewWatch, list[BrowserUpdate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    preview, told = watch
    await sandbox.exec("python3 -m http.server 8306", background=True)
    preview.heard(result(""), background=True)
    await until(lambda: told)
    ready = "http://localhost:8306/?view_only=1"
    monkeypatch.setattr(type(sandbox), "desktop_url", ready)
    await until(lambda: len(told) == 2)
    assert [(update.kind, update.url, update.live) for update in told] == [
        ("page", "http://localhost:8306/", True),
        ("desktop", ready, True),
    ]


async def test_what_speaks_something_else_or_nothing_is_not_told(
    sandbox: Sandbox, watch: tuple[PreviewWatch, list[BrowserUpdate]], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching, told = watch
    await sandbox.write("silent.py", SILENT.encode())
    await sandbox.write("other.py", OTHER.encode())
    for program in ("silent.py", "other.py"):
        await sandbox.exec(f"python3 {program}", background=True)
    await listens(sandbox, 8302)
    await listens(sandbox, 8303)
    with monkeypatch.context() as patient:
        patient.setattr(previews, "PATIENCE", 60.0)
        assert (await answer_of(sandbox, 8303)).http is False
    watching.heard(result("http://localhost:8302/"), background=False)
    await sandbox.exec("python3 -m http.server 8304", background=True)
    await until(lambda: told)
    assert [update.port for update in told] == [8304]


async def test_nothing_is_waited_for_where_nothing_was_left_running(
    watch: tuple[PreviewWatch, list[BrowserUpdate]],
) -> None:
    watching, told = watch
    await watching.settle()
    watching.heard(result("done"), background=False)
    await watching.settle()
    assert told == []
