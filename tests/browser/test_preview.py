"""What the agent serves, in a real JupyterLab: it works, and it reaches nothing of Jupyter's."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
import pytest

from agent_kernel.testing.script import Stall, Text, ToolUse
from tests.browser import lab
from tests.browser.test_panel import Bench
from tests.ports import free_port
from tests.sandbox.fake_daytona import KEY, FakeDaytona

OUTPUT = Path(__file__).parents[1] / "output"
APP = Path(__file__).parents[1] / "server" / "previewed.py"
LIVE = 120_000
pytestmark = [pytest.mark.browser, pytest.mark.slow]
X_CLIENT = Path(__file__).parents[1] / "sandbox" / "x_client.py"
SHOP = """<!doctype html><title>Tea shop</title>
<style>body { font: 16px system-ui; margin: 40px auto; max-width: 600px }
input, button { font: inherit; padding: 8px 12px }</style><h1>Order tea</h1>
<p><label>Your name <input id=who></label> <button>Order</button></p>"""
HOSTILE = Path(__file__).with_name("hostile.html")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    OUTPUT.mkdir(exist_ok=True)
    scratch = tmp_path_factory.mktemp("preview")
    folder = scratch / "work"
    folder.mkdir()
    shutil.copy(APP, folder / "app.py")
    shutil.copy(HOSTILE, folder / "hostile.html")
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text(
        '<title>Static site</title><link rel=stylesheet href="look.css"><h1 id=h>Still</h1>'
        '<a href="two.html">two</a>'
    )
    (folder / "site" / "look.css").write_text("#h { color: rgb(1, 2, 3) }")
    (folder / "site" / "two.html").write_text("<h1>Two</h1>")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [
        nbformat.v4.new_code_cell("%load_ext agent_kernel"),
        nbformat.v4.new_code_cell("%%agent --new\nServe it"),
    ]
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "serve.ipynb"
    )
    with (
        lab.scripted() as api,
        FakeDaytona(scratch / "daytona") as daytona,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("DAYTONA_API_KEY", KEY)
        patch.setenv("DAYTONA_API_URL", daytona.url)
        with lab.jupyter(folder, scratch / "home") as server, lab.browser() as context:
            context.set_default_timeout(LIVE)
            yield Bench(server, context, api, scratch / "home")


@pytest.fixture(scope="module")
def page(bench: Bench) -> Any:
    return bench.panel()


def serve(bench: Bench, page: Any, command: str, **options: str) -> str:
    """A run that leaves this running, shown in the panel on its preview; its id."""
    bench.api.add([ToolUse("bash", {"command": command, "background": True})], [Text("Served.")])
    run, prompt = start(bench, page, **options)
    lab.until(lambda: lab.api(bench.server, f"runs/{run}")["status"] == "completed", "it is served")
    show_preview(page, prompt)
    return run


def start(bench: Bench, page: Any, **options: str) -> tuple[str, str]:
    """A run of what the model is told to do, where nothing that others served is left: its id and its prompt."""
    prompt = f"Serve {uuid4().hex[:8]}"  # the list may show the run before this one for a moment longer
    run = page.evaluate(
        """async ([folder, prompt, options]) => {
          const headers = { 'X-XSRFToken': document.cookie.match('_xsrf=([^;]*)')[1] };
          const post = body => ({ method: 'POST', body: JSON.stringify(body), headers });
          const ask = async (path, body) => (await fetch('/api/agent/' + path, post(body))).json();
          const session = await ask('sessions', { workspace: folder, new: true });
          return (await ask('runs', { session: session.id, prompt, options })).id;
        }""",
        [str(bench.server.folder), prompt, options],
    )
    return str(run), prompt


def show_preview(page: Any, prompt: str) -> None:
    if page.locator(".agk-back").is_visible():
        page.locator(".agk-back").click()
    page.locator(".agk-run", has_text=prompt).click()
    page.get_by_role("tab", name=re.compile("Preview")).click()
    page.locator("iframe.agk-app").last.wait_for()


def inside(page: Any, port: int) -> Any:
    """The frame's content."""
    page.locator(f"input[aria-label='Path on port {port}']").wait_for()
    return page.locator("iframe.agk-app").last.element_handle().content_frame()


def go(page: Any, path: str) -> None:
    field = page.locator(".agk-address input")
    field.fill(path)
    field.press("Enter")


def settled(page: Any, port: int) -> dict[str, Any]:
    """What the hostile page has come to."""
    frame = inside(page, port)
    frame.wait_for_function("() => document.getElementById('o')?.textContent")
    found: dict[str, Any] = json.loads(frame.evaluate("() => document.getElementById('o').textContent"))
    return found


def test_an_app_works_in_the_panel_with_addresses_from_its_root(bench: Bench, page: Any) -> None:
    serve(bench, page, "exec python3 app.py 8500")
    frame = inside(page, 8500)
    frame.wait_for_function("() => document.title === 'module ran'")
    assert frame.evaluate("() => getComputedStyle(document.getElementById('h')).color") == "rgb(1, 2, 3)"
    assert frame.url.startswith("http://preview-")
    said = frame.evaluate(
        """() => new Promise(done => { const socket = new WebSocket(`ws://${location.host}/ws`), heard = [];
          socket.onopen = () => socket.send('hi');
          socket.onmessage = message => heard.push(message.data) === 2 && done(heard); })"""
    )
    assert said == ["http://localhost:8500", "hi"]
    posted = frame.evaluate(
        "async () => (await fetch('/echo', { method: 'PUT', headers: { 'X-A': '1' }, body: 'x'.repeat(9) })).json()"
    )
    assert (posted["method"], posted["size"]) == ("PUT", 9)
    go(page, "http://localhost:8500/headers?x=1")
    page.wait_for_function("() => document.querySelector('.agk-address input').value === '/headers?x=1'")
    frame = inside(page, 8500)
    frame.wait_for_function("() => document.body?.innerText.includes('user-agent')")
    seen = json.loads(frame.evaluate("() => document.body.innerText"))
    assert not {"cookie", "referer", "authorization"} & seen.keys()
    go(page, "/")


def test_widths_a_tab_of_its_own_and_how_it_looks(bench: Bench, page: Any) -> None:
    page.get_by_role("button", name="Phone").click()
    assert page.locator("iframe.agk-app").evaluate("frame => frame.clientWidth") == 390
    assert page.get_by_role("button", name="Phone").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="Full width").click()
    with bench.context.expect_page() as opened:
        page.get_by_role("link", name="Open in a new tab").click()
    tab = opened.value
    tab.wait_for_function("() => document.title === 'module ran'")
    assert tab.evaluate("() => self.origin") == "null"
    assert tab.evaluate("() => window.opener") is None
    tab.close()
    for theme in ("Light", "Dark"):
        lab.set_theme(page, f"JupyterLab {theme}")
        page.screenshot(path=OUTPUT / f"preview-panel-{theme.lower()}.png")
    lab.set_theme(page, "JupyterLab Light")


def test_a_static_site_works_below_the_path_where_the_browser_knows_no_such_host(
    bench: Bench, page: Any
) -> None:
    page.route("**/.well-known/agent-kernel-preview", lambda route: route.abort())
    serve(bench, page, "cd site && exec python3 -m http.server 8501")
    frame = inside(page, 8501)
    frame.wait_for_function("() => getComputedStyle(document.getElementById('h')).color === 'rgb(1, 2, 3)'")
    assert "/agent-kernel/preview/" in frame.url
    frame.locator("a").click()
    frame.wait_for_function("() => document.body.innerText === 'Two'")
    page.unroute("**/.well-known/agent-kernel-preview")


@pytest.mark.parametrize("below", ["host", "path"])
def test_a_hostile_app_reads_and_does_nothing_outside_itself(bench: Bench, page: Any, below: str) -> None:
    if below == "path":
        page.route("**/.well-known/agent-kernel-preview", lambda route: route.abort())
    port = {"host": 8502, "path": 8503}[below]
    serve(bench, page, f"echo http://localhost:{port}/hostile.html; exec python3 -m http.server {port}")
    found = settled(page, port)
    assert ("/agent-kernel/preview/" in inside(page, port).url) == (below == "path")
    assert found.pop("done") is True
    assert found["origin"] == "null"
    for name in (
        "cookie",
        "storage",
        "parent",
        "parentConfig",
        "contents",
        "runs",
        "write",
        "worker",
        "socket",
        "popup",
    ):
        assert found[name].startswith("refused") or (name == "popup" and found[name] == "none"), (
            name,
            found[name],
        )
    assert found["referrer"] == ""
    assert "application/json" not in found["root"] and "hostile.html" not in found["root"], found["root"]
    assert page.url.startswith(bench.server.url), "the page around it is where it was"
    assert not (bench.server.folder / "made.txt").exists()
    assert page.evaluate("async () => (await (await fetch('/api/sessions')).json()).length") == 0
    page.unroute("**/.well-known/agent-kernel-preview")


def test_an_app_at_daytona_works_in_the_panel(bench: Bench, page: Any) -> None:
    port = free_port()  # the fake's containers share this machine's network
    serve(bench, page, f"exec python3 app.py {port}", sandbox="daytona")
    frame = inside(page, port)
    frame.wait_for_function("() => document.title === 'module ran'")
    assert frame.url.startswith("http://preview-"), "the page never sees the address of the service"
    said = frame.evaluate(
        """() => new Promise(done => { const socket = new WebSocket(`ws://${location.host}/ws`), heard = [];
          socket.onopen = () => socket.send('hi');
          socket.onmessage = message => heard.push(message.data) === 2 && done(heard); })"""
    )
    assert said[1] == "hi"


FLASK = """
from flask import Flask, redirect, request, session
app = Flask(__name__)
app.secret_key = "of the app"
@app.get("/")
def page():
    who = session.get("who", "")
    form = '<form method=post action=/login><input name=who><button>in</button></form>'
    return f"<title>Flask app</title><p id=who>{who}</p>{form}"
@app.post("/login")
def login():
    session["who"] = request.form["who"]
    return redirect("/")
"""


def write_vite(folder: Path) -> bool:
    """A Vite app; False where it cannot be installed."""
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    (folder / "index.html").write_text(
        '<title>Vite</title><p id=p></p><script type=module src="/main.js"></script>'
    )
    (folder / "main.js").write_text(
        "import { said } from '/said.js'; window.started = (window.started ?? 0) + 1;\n"
        "const show = text => document.getElementById('p').textContent = text; show(said);\n"
        "import.meta.hot.accept('/said.js', fresh => show(fresh.said));\n"
    )
    (folder / "said.js").write_text("export const said = 'first';\n")
    path = {**os.environ, "PATH": f"{Path(lab.PYTHON).parent}:{os.environ['PATH']}"}
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "vite@7"]
    return not subprocess.run(install, cwd=folder, env=path, timeout=240).returncode


def test_vite_with_hot_reload_flask_and_a_static_site_work_in_the_cell(bench: Bench) -> None:
    folder = bench.server.folder
    (folder / "flask_app.py").write_text(FLASK)
    servers = {
        8506: "exec python3 -m flask --app flask_app run --port 8506",
        8507: "cd site && exec python3 -m http.server 8507",
    }
    if vite := write_vite(folder / "vite"):
        servers[8505] = "cd vite && exec node node_modules/vite/bin/vite.js --port 8505"
    for command in servers.values():
        bench.api.add([ToolUse("bash", {"command": command, "background": True})])
    bench.api.add([Text("Served."), Stall()])
    said: list[str] = []
    page = lab.open_notebook(bench.context, bench.server, "serve.ipynb")
    lab.run_cell(page, 0)
    lab.run_cell(page, 1, wait=False)
    cell = lab.cell(page, 1)

    def shown(port: int) -> Any:
        cell.locator(".agk-ports button", has_text=f":{port}").click()
        cell.locator(f"input[aria-label='Path on port {port}']").wait_for()
        cell.locator("iframe.agk-app").wait_for()
        return cell.locator("iframe.agk-app").element_handle().content_frame()

    cell.locator(".agk-ports button").nth(len(servers) - 1).wait_for()
    frame = shown(8507)
    frame.wait_for_function("() => getComputedStyle(document.getElementById('h')).color === 'rgb(1, 2, 3)'")
    frame.locator("a").click()
    frame.wait_for_function("() => document.body.innerText === 'Two'")
    frame = shown(8506)
    frame.locator("input").fill("ann")
    frame.locator("button").click()
    frame.wait_for_function("() => document.getElementById('who')?.textContent === 'ann'")
    page.screenshot(path=OUTPUT / "preview-cell-many.png")
    if vite:
        page.on("console", lambda message: said.append(message.text))
        frame = shown(8505)
        frame.wait_for_function("() => document.getElementById('p')?.textContent === 'first'")
        lab.until(lambda: "[vite] connected." in said, "Vite's client hears of changes", page)

        def replaced() -> bool:
            """Vite, too, begins to watch its files at some time."""
            (folder / "vite" / "said.js").write_text("export const said = 'second';\n")
            page.wait_for_timeout(1_000)
            return bool(frame.evaluate("() => document.getElementById('p').textContent === 'second'"))

        lab.until(replaced, "the page has heard of the change")
        assert frame.evaluate("() => window.started") == 1, "the module was replaced, not the page"
    cell.get_by_role("button", name="Stop").click()
    page.wait_for_function("() => window.__done")
    page.close()


def test_it_is_shown_in_the_cell_and_says_when_the_server_has_ended(bench: Bench) -> None:
    bench.api.add(
        [ToolUse("bash", {"command": "exec python3 app.py 8504", "background": True})],
        [
            ToolUse(
                "bash",
                {"command": "touch ready; until [ -e end ]; do sleep 0.2; done; pkill -f 'app.py 8504'"},
            )
        ],
        [Text("Stopped."), Stall()],
    )
    page = lab.open_notebook(bench.context, bench.server, "serve.ipynb")
    lab.run_cell(page, 0)
    lab.run_cell(page, 1, wait=False)
    cell = lab.cell(page, 1)
    lab.until(lambda: title_of(cell.locator("iframe.agk-app")) == "module ran", "the app runs")
    for theme in ("Light", "Dark"):
        lab.set_theme(page, f"JupyterLab {theme}")
        cell.locator(".agk-preview").scroll_into_view_if_needed()
        page.screenshot(path=OUTPUT / f"preview-cell-{theme.lower()}.png")
    lab.set_theme(page, "JupyterLab Light")
    (bench.server.folder / "end").touch()
    cell.get_by_text("The server on port 8504 has ended").wait_for()
    assert cell.locator("iframe.agk-app").count() == 0
    page.screenshot(path=OUTPUT / "preview-gone.png")
    cell.get_by_role("button", name="Stop").click()
    page.wait_for_function("() => window.__done")
    cell.get_by_text("Served: http://localhost:8504/").first.wait_for()
    page.close()


def test_a_browser_and_a_desktop_are_seen_and_the_desktop_is_taken_over_and_handed_back(
    bench: Bench, page: Any
) -> None:
    folder = bench.server.folder
    (folder / "x_client.py").write_bytes(X_CLIENT.read_bytes())
    (folder / "shop.html").write_text(SHOP)
    bench.api.add(
        [
            ToolUse("browser_navigate", {"url": "shop.html"}),
            ToolUse("browser_type", {"selector": "#who", "text": "Ann"}),
            ToolUse("browser_screenshot", {}),
        ],
        [ToolUse("desktop_screenshot", {})],
        [
            ToolUse("bash", {"command": "DISPLAY=:0 exec python3 x_client.py told", "background": True}),
            ToolUse("bash", {"command": "until [ -e go ]; do sleep 0.1; done"}),
            ToolUse("desktop_type", {"text": "agent"}),
        ],
        [Text("Done, really.")],
    )
    _, prompt = start(bench, page)
    show_preview(page, prompt)
    desk = page.locator("iframe[title='The desktop, to watch']")
    desk.wait_for()
    assert page.locator(".agk-ports").count() == 0, "what the browser serves itself is not shown"
    page.get_by_role("button", name="Take over").click()
    page.get_by_text("Yours: the agent waits").wait_for()
    screen = page.frame_locator("iframe[title='The desktop']")
    screen.locator("canvas").wait_for()
    told = folder / "told"
    lab.until(lambda: told.exists() and "shown" in told.read_text(), "the program has the keyboard")
    (folder / "go").touch()
    page.get_by_text("Waits for the desktop").wait_for()
    screen.locator("canvas").click()
    screen.locator("canvas").press_sequentially("hey", delay=30)
    lab.until(lambda: "key y" in told.read_text(), "the desktop has the person's keys")
    assert "key g" not in told.read_text(), "the agent waits"
    for theme in ("Dark", "Light"):
        lab.set_theme(page, f"JupyterLab {theme}")
        page.screenshot(path=OUTPUT / f"desktop-panel-{theme.lower()}.png")
    page.get_by_role("button", name="Hand back").click()
    page.get_by_text("Yours: the run has ended").wait_for()
    keys = told.read_text()
    assert keys.index("key h") < keys.index("key y") < keys.index("key g")
    page.get_by_role("tab", name="Tools").click()
    card = page.locator(".agk-card", has_text="desktop_type").last
    card.locator("img.agk-picture").wait_for()
    card.get_by_role("button").first.click()
    card.get_by_text("The person has used the desktop meanwhile").wait_for()
    page.screenshot(path=OUTPUT / "desktop-cards-light.png")
    page.locator(".agk-card", has_text="browser_screenshot").last.scroll_into_view_if_needed()
    lab.set_theme(page, "JupyterLab Dark")
    page.screenshot(path=OUTPUT / "browser-cards-dark.png")
    lab.set_theme(page, "JupyterLab Light")


def title_of(frame: Any) -> str:
    """Of the page in the frame; empty while it comes."""
    from playwright.sync_api import Error

    with contextlib.suppress(Error):
        handle = frame.element_handle(timeout=1_000)
        inner = handle.content_frame()
        return str(inner.title()) if inner else ""
    return ""
