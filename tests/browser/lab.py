"""A real Jupyter server and a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from tests.ports import free_port

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TOKEN = "token-of-the-test"
PATIENCE = 120_000
"""Milliseconds that a page may take for anything, on a machine that is busy with two other tests and whatever else."""
OUTPUT = Path(__file__).parents[1] / "output"
PYTHON = os.environ.get("PYTHON_UNDER_TEST", sys.executable)
"""Another environment's Python (where a built wheel is installed), or this one."""
OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
    # Every two minutes, wherever a test is then: of two savings at once JupyterLab takes one for a stranger's.
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}
NOTEBOOK = """() => {
  const app = window.jupyterapp;
  if (!app) return null;
  for (const widget of app.shell.widgets('main')) {
    if (widget.context && widget.context.sessionContext) return widget;
  }
  return null;
}"""

ROUTED = """
const looking = setInterval(() => {
  window.jupyterapp?.commands.commandExecuted.connect((_, { id, result }) => {
    if (id === 'router:tree') result.finally(() => { window.__routed = true; });
  });
  if (window.jupyterapp) clearInterval(looking);
}, 1);"""
"""JupyterLab carries out its address some time after the page is there: it opens the notebook once more, and takes the
keyboard from whoever has it."""


@dataclass(frozen=True)
class Server:
    url: str
    folder: Path
    process: subprocess.Popen[bytes]
    log: Path


@contextlib.contextmanager
def scripted() -> Iterator[ScriptedMessages]:
    """The scripted model, of every server that is started while this is open."""
    with ScriptedMessages() as api, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENT_KERNEL_MODEL", "scripted")
        patch.setenv("ANTHROPIC_BASE_URL", api.url)
        patch.setenv("ANTHROPIC_API_KEY", "key-of-the-test")
        yield api


@contextlib.contextmanager
def jupyter(
    folder: Path,
    home: Path,
    app: str = "lab",
    port: int = 0,
    options: Sequence[str] = (),
    python: str = PYTHON,
) -> Iterator[Server]:
    """`jupyter lab` (or notebook) of `python`'s environment, with settings and data of its own in `home`."""
    port = port or free_port()
    overrides = home / "config" / "labconfig" / "default_setting_overrides.json"
    overrides.parent.mkdir(parents=True, exist_ok=True)
    overrides.write_text(json.dumps(OVERRIDES))
    environment = {
        **os.environ,
        "HOME": str(home),
        "PATH": f"{Path(python).parent}:{os.environ['PATH']}",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    command = [
        python, "-m", {"lab": "jupyterlab"}.get(app, app), "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        f"--IdentityProvider.token={TOKEN}", "--LabApp.expose_app_in_browser=True",
        "--JupyterNotebookApp.expose_app_in_browser=True",
        "--LabApp.news_url=", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate", *options,
    ]  # fmt: skip
    log = home / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/api/status?token={TOKEN}", process, log)
            server = Server(url, folder, process, log)
            try:
                yield server
            except BaseException:
                tell_of_server(server)
                raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=10):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"The server did not start: {log.read_text()[-3000:]}")


def until(look: Callable[[], Any], what: str, page: Any = None) -> Any:
    """What `look` gives once it is something; `page` hears meanwhile what happens in it."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not (found := look()):
        assert time.monotonic() < deadline, f"never: {what}"
        page.wait_for_timeout(50) if page else time.sleep(0.05)
    return found


def api(server: Server, path: str) -> Any:
    """What `GET api/agent/{path}` answers."""
    request = urllib.request.Request(
        f"{server.url}/api/agent/{path}", headers={"Authorization": f"token {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE / 1000) as response:
        return json.load(response)


@contextlib.contextmanager
def browser(**context: Any) -> Iterator[Any]:
    """A browser context. The system's Chromium, else the one Playwright downloaded."""
    from playwright.sync_api import sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE)
        opened = chromium.new_context(**{"viewport": {"width": 1280, "height": 1000}, **context})
        opened.set_default_timeout(PATIENCE)
        try:
            yield opened
        except BaseException:
            tell_of_pages(opened)
            raise
        chromium.close()


def tell_of_pages(context: Any) -> None:
    """What a person would see at this moment, for the report of a test that failed."""
    OUTPUT.mkdir(exist_ok=True)
    for number, page in enumerate(context.pages):
        with contextlib.suppress(Exception):
            print(f"\n── page {number}: {page.url.partition('?')[0]}\n{page.inner_text('body')[-4000:]}")
            print("── console:", *getattr(page, "problems", [])[-20:], sep="\n")
            page.screenshot(path=OUTPUT / f"failed-{os.getpid()}-{number}.png", timeout=5_000)


def tell_of_server(server: Server) -> None:
    """Its runs and the last of its log, for the report of a test that failed."""
    with contextlib.suppress(Exception):
        for run in api(server, "runs")["runs"]:
            print("── run", {key: run.get(key) for key in ("id", "status", "last_seq", "prompt")})
    print(f"── server's log\n{server.log.read_text(errors='replace')[-4000:]}")


def open_notebook(context: Any, server: Server, name: str, app: str = "lab", kernel: bool = True) -> Any:
    """The page with the notebook open, its kernel idle. `page.problems` collects console errors, `page.announced` the
    notebooks that the server knows to be open in it."""
    page = context.new_page()
    page.problems, page.announced = [], []
    page.on("response", lambda response: page.announced.extend(announced(response)))
    page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: page.problems.append(str(e)))
    page.add_init_script(ROUTED)
    place = f"lab/workspaces/t{time.time_ns()}/tree/{name}" if app == "lab" else f"notebooks/{name}"
    page.goto(f"{server.url}/{place}?token={TOKEN}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function(
        f"() => ({NOTEBOOK})()?.context.isReady"
    )  # what stood there before is an empty cell
    if app == "lab":
        page.wait_for_function("() => window.__routed")
    if kernel:
        page.wait_for_function(
            f"() => {{ const w = ({NOTEBOOK})(); const k = w?.context.sessionContext.session?.kernel;"
            " return !!k && k.status === 'idle'; }"
        )
    return page


def announced(response: Any) -> list[str]:
    """The notebooks that a page has told the server of with this request."""
    told = response.request.method == "PUT" and "/api/agent/pages/" in response.url and response.ok
    return list(response.request.post_data_json["notebooks"]) if told else []


def known(page: Any, name: str) -> None:
    """Until the server knows that the page has the notebook open: before, tools change its file."""
    until(lambda: name in page.announced, f"{name} is announced", page)


def run_cell(page: Any, index: int, *, wait: bool = True) -> None:
    """Run the cell as Shift+Enter would."""
    page.evaluate(
        f"""(index) => {{
          const notebook = ({NOTEBOOK})().content;
          notebook.activeCellIndex = index;
          notebook.deselectAll();
          const mine = window.__cell = {{}};  // one that was run before may end only now
          window.__done = false;
          const running = window.jupyterapp.commands.execute('notebook:run-cell');
          running.then(() => {{ window.__done ||= window.__cell === mine; }});
        }}""",
        index,
    )
    if wait:
        page.wait_for_function("() => window.__done")


def cell(page: Any, index: int) -> Any:
    return page.locator(".jp-Notebook .jp-Cell").nth(index)


def save(page: Any) -> None:
    page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function(f"() => !({NOTEBOOK})().context.model.dirty")


def set_theme(page: Any, name: str) -> None:
    """`JupyterLab Light` or `JupyterLab Dark`."""
    page.evaluate("(theme) => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", name)
    page.wait_for_function("(theme) => document.body.dataset.jpThemeName === theme", arg=name, timeout=60_000)
    page.wait_for_selector("#jupyterlab-splash", state="detached")
    page.wait_for_function("() => document.getAnimations().every(one => !(one instanceof CSSTransition))")
