"""Each part a person sees, in JupyterLab and Notebook 7, light and dark, wide and narrow: nothing is cut off or out of
reach, and axe finds nothing serious. The pictures stay in tests/output, to be looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Error

from agent_kernel.testing.script import HttpError, Text, Thinking, ToolUse
from agent_kernel.tools.notebook.operations import digest
from tests.browser import lab
from tests.browser.looks import THEMES, look
from tests.browser.test_panel import OUTPUT, SLOW, Bench, box, post, show, tab, to_list

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ASK, FAILS, ONE, TWO = range(4)
LONG = "a_rather_long_name_of_a_column_that_nobody_would_call_so"
ANSWER = f"""## What was found

The total is **4,211** over `{LONG}`, see [the docs](https://example.org/{LONG}).

| month | region | {LONG} | total |
|---|---|---|---|
| January | north | 12.5 | 1,204 |
| February | south-east | 1.25 | 3,007 |

```python
frame = frame.groupby(["month", "region"], as_index=False)["total"].sum().sort_values("total", ascending=False)
```

> It adds up: $\\sum_i x_i = 4211$."""
PROGRAM = "\n".join(
    f"rows_{number} = [value for value in range({number}) if value % 2 == 0]  # one of many lines"
    for number in range(30)
)
PLAN = [
    {"text": "Read the sales", "status": "completed"},
    {"text": "Write the report, with its table", "status": "in_progress"},
    {"text": "Serve it", "status": "pending"},
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    OUTPUT.mkdir(exist_ok=True)
    scratch = tmp_path_factory.mktemp("looks")
    folder = scratch / "work"
    (folder / "site").mkdir(parents=True)
    (folder / "site" / "index.html").write_text("<title>The report</title><h1>4,211</h1>")
    (folder / "sales.csv").write_text("month,total\nJanuary,1204\n")
    skill = folder / ".agents" / "skills" / "house-style"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text(
        "---\nname: house-style\ndescription: How tables are made here.\n---\n# T\n"
    )
    (folder / "hostile.py").write_bytes((Path(__file__).parents[1] / "mcp" / "hostile.py").read_bytes())
    cells = [
        "%%agent --permission ask\nWrite the report of the sales",
        "%%python\nrows = []\ntotal = 1 / len(rows)",
        "%%python\nx = 1",
        "%%python\ny = 2",
    ]
    kernel = {"name": "agent", "display_name": "Agent", "language": "markdown"}
    for app in ("lab", "notebook"):
        v4 = nbformat.v4
        made = [v4.new_code_cell(source, id=f"c{place}") for place, source in enumerate(cells)]
        nbformat.write(v4.new_notebook(cells=made, metadata={"kernelspec": kernel}), folder / f"{app}.ipynb")
    with lab.scripted() as api, lab.jupyter(folder, scratch / "home") as server, lab.browser() as context:
        bench = Bench(server, context, api, scratch / "home")
        worked(bench)
        yield bench


def worked(bench: Bench) -> None:
    """A run with something in each of its tabs, and one that failed."""
    serve = "cd site && exec python3 -m http.server 8511"
    begin(
        bench, "Report of the sales of all regions, month by month, with a table and a chart",
        [Thinking("First the file, then its table."), ToolUse("todo", {"items": PLAN})],
        [Text("I write it."), ToolUse("write_file", {"path": "report/monthly.py", "content": PROGRAM})],
        [ToolUse("edit_file", {"path": "report/monthly.py", "old_string": "rows_7 = ", "new_string": "seventh = "}),
         ToolUse("write_file", {"path": f"report/{LONG}.md", "content": f"# {LONG} {LONG} {LONG}\n"})],
        [ToolUse("bash", {"command": f"printf '\\033[32mgood\\033[0m {LONG} {LONG} {LONG}\\n'; false"})],
        [ToolUse("bash", {"command": serve, "background": True})],
        [Text(ANSWER)],
    )  # fmt: skip
    begin(bench, "A question that fails", HttpError(400, "invalid_request_error", f"It knows no {LONG}."))
    session = lab.api(bench.server, "runs")["runs"][0]["session_id"]
    said = {"command": "python3", "args": ["hostile.py", "exit"]}
    post(bench, "mcp", {"session": session, "name": "broken", "said": said})


def begin(bench: Bench, prompt: str, *turns: Any, permission: str = "bypass") -> str:
    """A run, until it has ended or waits."""
    bench.api.add(*turns)
    session = post(bench, "sessions", {"name": prompt[:20], "workspace": ".", "new": True})["id"]
    body = {"session": session, "prompt": prompt, "options": {"permission": permission}}
    run = str(post(bench, "runs", body)["id"])
    begun = ("queued", "running")
    lab.until(
        lambda: lab.api(bench.server, f"runs/{run}")["status"] not in begun, "the run has ended or waits"
    )
    return run


@pytest.fixture(scope="module", params=["lab", "notebook"])
def app(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def page(bench: Bench, app: str) -> Iterator[Any]:
    opened = lab.open_notebook(bench.context, bench.server, f"{app}.ipynb", app)
    lab.known(opened, f"{app}.ipynb")
    yield opened
    opened.close()


def themed(page: Any, name: str, selector: str) -> list[str]:
    """In the theme there is, and in the other."""
    found = []
    for other in (False, True):
        if other:
            switch(page)
        found += look(page, f"look-{name}-{theme(page).lower()}", selector)
    return found


def theme(page: Any) -> str:
    return "Light" if page.evaluate("() => document.body.dataset.jpThemeLight") == "true" else "Dark"


def switch(page: Any) -> None:
    lab.set_theme(page, f"JupyterLab {THEMES[theme(page) == 'Light']}")


def test_a_run_in_its_cell_asks_and_is_told_when_it_has_ended(bench: Bench, page: Any, app: str) -> None:
    page.evaluate(
        "() => { const { shell } = window.jupyterapp; shell.collapseLeft(); shell.collapseRight(); }"
    )
    bench.api.add(
        [Thinking("First the file."), ToolUse("todo", {"items": PLAN}), ToolUse("read_file", {"path": "sales.csv"})],
        [Text(ANSWER), ToolUse("bash", {"command": f"echo {LONG} {LONG} | tee {app}.txt"})],
        [Text("It is written.")],
    )  # fmt: skip
    lab.run_cell(page, ASK, wait=False)
    asks = lab.cell(page, ASK)
    allow = asks.get_by_role("button", name="Allow once")
    allow.wait_for(timeout=SLOW)
    assert asks.locator(".agk-code", has_text=f"tee {app}.txt").count() == 1, (
        "what is asked about is read once"
    )
    faults = themed(page, f"{app}-cell-asks", ".jp-Cell .agk")
    allow.press("Enter")
    asks.locator(".agk").wait_for(state="detached", timeout=SLOW)
    page.wait_for_function(
        "() => document.activeElement.classList.contains('jp-Cell')", timeout=SLOW
    )  # who works by keyboard is still in the notebook when the view has gone
    asks.get_by_text("It is written.").first.wait_for(timeout=SLOW)
    asks.locator("details").last.evaluate("one => { one.open = true; }")
    faults += themed(page, f"{app}-cell-told", ".jp-Cell .jp-RenderedHTML")
    assert not faults, "\n".join(faults)


def test_errors_questions_and_changes_stand_below_cells(bench: Bench, page: Any, app: str) -> None:
    lab.run_cell(page, FAILS)
    page.get_by_role("button", name="Fix", exact=True).wait_for(timeout=SLOW)
    lab.cell(page, ONE).click()
    lab.cell(page, ONE).get_by_role("button", name="Ask Agent About This Cell").click(timeout=SLOW)
    path = f"{app}.ipynb"
    edits = [
        {"op": "edit", "cell": "c2", "expected": digest("%%python\nx = 1"), "source": f"%%python\nx = '{LONG}'"},
        {"op": "insert", "cell_type": "markdown", "source": f"# {LONG}", "after": "c2"},
        {"op": "delete", "cell": "c3", "expected": digest("%%python\ny = 2")},
    ]  # fmt: skip
    begin(
        bench,
        f"Change {path}",
        [ToolUse("notebook_edit", {"path": path, "operations": edits})],
        [Text("Ok.")],
    )
    page.locator(".agk-runbar").get_by_text("3 changes by the agent").wait_for(timeout=SLOW)
    page.get_by_label("Ask the agent about this cell").fill("Why is it so?")
    bars = ".agk-cellbar, .agk-runbar, .agk-askbar, .agk-errorbar"
    faults = themed(page, f"{app}-cell-changes", bars)
    assert not faults, "\n".join(faults)


def test_what_a_folder_brings_along_is_asked_about_in_the_panel(page: Any, app: str) -> None:
    show(page)
    page.get_by_role("button", name="Look at it").click(timeout=SLOW)
    faults = themed(page, f"{app}-panel-trust", ".agk-panel")
    page.get_by_role("button", name="Not now").click()
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("which", THEMES)
def test_every_part_of_the_panel_can_be_read_and_reached(
    bench: Bench, page: Any, app: str, which: str
) -> None:
    echo = ToolUse("bash", {"command": f"echo {LONG} {LONG}"})
    waiting = begin(bench, f"Ask me in {app}", [echo], permission="ask")
    lab.set_theme(page, f"JupyterLab {which}")
    faults = []
    for name, reach in PARTS.items():
        try:
            reach(page)
        except Error as error:
            faults.append(f"{app}, {name} in {which}: {error.message[:300]}")
            continue
        faults += look(page, f"look-{app}-panel-{name}-{which.lower()}", ".agk-panel")
    post(bench, f"runs/{waiting}/cancel", {})
    assert not faults, "\n".join(faults)


def to(prompt: str, part: str = "Chat") -> Callable[[Any], None]:
    def reach(page: Any) -> None:
        home(page)
        page.locator(".agk-run", has_text=prompt).first.click()
        tab(page, part).click(timeout=SLOW)

    return reach


def home(page: Any) -> None:
    """The list of runs."""
    for name in ("Close usage", "Close workspaces", "Dismiss"):
        if (close := page.get_by_role("button", name=name)).is_visible():
            close.click()
    if (back := page.locator(".agk-settings .agk-top button").first).is_visible():
        back.click()
    if page.locator(".agk-back").is_visible():
        to_list(page)
    box(page).fill("")


def opened(name: str, *more: str) -> Callable[[Any], None]:
    """A page of the panel, and in it one button after the other."""

    def reach(page: Any) -> None:
        home(page)
        for button in (name, *more):
            page.get_by_role("button", name=button, exact=True).first.click(timeout=SLOW)

    return reach


def typed(text: str) -> Callable[[Any], None]:
    def reach(page: Any) -> None:
        home(page)
        box(page).press_sequentially(text)
        page.locator(".agk-choices li").first.wait_for(timeout=SLOW)

    return reach


def then(reach: Callable[[Any], None], *act: Callable[[Any], None]) -> Callable[[Any], None]:
    def both(page: Any) -> None:
        for step in (reach, *act):
            step(page)

    return both


def press(name: str) -> Callable[[Any], None]:
    return lambda page: (
        page.locator(".agk-panel").get_by_role("button", name=name, exact=True).first.click(timeout=SLOW)
    )


def sees(text: str) -> Callable[[Any], None]:
    return lambda page: page.locator(".agk-panel").get_by_text(text).first.wait_for(timeout=SLOW)


def unfold(page: Any) -> None:
    page.eval_on_selector_all(
        ".agk-view button[aria-expanded=false]", "all => all.forEach(one => one.click())"
    )


def begun(page: Any) -> None:
    """A replay, from where it stands still."""
    player = page.get_by_role("region", name="Replay")
    player.get_by_role("log").press("Home", timeout=SLOW)
    player.get_by_role("log").press("ArrowRight")


def workspaces(page: Any) -> None:
    """All of them: with a run in sight, its own is shown first."""
    page.locator(".agk-workspaces :is(.agk-run, .agk-workspace)").first.wait_for(timeout=SLOW)
    if (every := page.get_by_role("button", name="All workspaces")).is_visible():
        every.click()


def workspace(page: Any) -> None:
    page.locator(".agk-workspaces .agk-run").first.click(timeout=SLOW)


def skill(page: Any) -> None:
    page.get_by_role("article", name="data-analysis").get_by_role("button").first.click(timeout=SLOW)
    page.locator(".agk-paper").wait_for(timeout=SLOW)


def framed(page: Any) -> None:
    page.locator("iframe.agk-app").wait_for(timeout=SLOW)


REPORT = "Report of the sales of all"
SETTINGS = "Skills and MCP servers"
PARTS: dict[str, Callable[[Any], None]] = {
    "list": then(home, sees("Ask me")),
    "commands": typed("/re"),
    "chat": to(REPORT),
    "fork": then(to(REPORT), press("Fork from here")),
    "thoughts": then(to(REPORT, "Thoughts"), unfold),
    "tools": then(to(REPORT, "Tools"), unfold),
    "files": then(to(REPORT, "Files"), sees("seventh")),
    "notebook": then(to("Change "), sees("edited: code cell c2")),
    "preview": then(to(REPORT, "Preview"), framed),
    "context": then(to(REPORT, "Context"), sees("tokens in the window")),
    "trace": then(to(REPORT, "Trace"), sees("Time went to the model")),
    "export": then(to(REPORT), press("Export transcript")),
    "replay": then(to(REPORT), press("Replay"), begun, press("Fork from here")),
    "asks": then(to("Ask me"), sees("Allow once")),
    "failed": then(to("A question that fails"), sees("It knows no")),
    "model": then(home, press("How the model is reached")),
    "usage": then(
        home,
        press("How the model is reached"),  # which folds it away
        opened("Usage"),
        lambda page: page.locator(".agk-usage dd").first.wait_for(timeout=SLOW),
    ),
    "workspaces": then(opened("Workspaces"), workspaces, press("New"), sees("A notebook for questions")),
    "workspace": then(opened("Workspaces"), workspaces, workspace, sees("sales.csv")),
    "skills": then(opened(SETTINGS), skill),
    "servers": then(opened(SETTINGS, "MCP servers", "Add a server"), sees("broken")),
}
