"""The side panel in a real JupyterLab: runs without a cell, live, and what people do to them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent_kernel.events import Status
from agent_kernel.runs.bus import LocalBus
from agent_kernel.runs.log import RunLog
from agent_kernel.runs.redact import Redactor
from agent_kernel.runs.store import open_store
from agent_kernel.settings import local_user
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, Thinking, ToolUse
from tests.browser import lab
from tests.browser.axe import violations
from tests.browser.looks import resize
from tests.mcp.conftest import listening
from tests.transcript.runs import hostile

ROOT = Path(__file__).parents[2]
OUTPUT = ROOT / "tests" / "output"
SLOW = 120_000
ELSEWHERE = """() => {
  window.told = [];
  Object.defineProperty(document, 'hidden', { configurable: true, value: true });
  window.Notification = class {
    static permission = 'granted';
    constructor(title, { body }) { window.told.push(`${title}: ${body}`); }
  };
}"""
"""Somebody looks at another tab, and has allowed notifications."""
LAUNCHED = "() => document.activeElement?.closest('.jp-Launcher')"
"""JupyterLab opens its launcher seconds after everything else is there, and gives it the keyboard."""
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@dataclass(frozen=True)
class Bench:
    """One server with a scripted model, and one browser."""

    server: lab.Server
    context: Any
    api: ScriptedMessages
    home: Path

    def panel(self) -> Any:
        """A page of its own with the panel open on the list of runs."""
        page = self.context.new_page()
        page.problems = []
        page.on("pageerror", lambda e: page.problems.append(str(e)))
        page.goto(f"{self.server.url}/lab?token={lab.TOKEN}&reset")
        show(page)
        page.wait_for_function(LAUNCHED, timeout=SLOW)
        return page


def show(page: Any) -> None:
    page.wait_for_function("() => window.jupyterapp?.commands.hasCommand('agent-kernel:open')", timeout=SLOW)
    # The promise is held by the page: one that only the driver waits for may be collected.
    page.evaluate("() => { window.jupyterapp.restored.then(() => { window.isRestored = true; }); }")
    page.wait_for_function("() => window.isRestored", timeout=SLOW)
    page.evaluate("() => window.jupyterapp.commands.execute('agent-kernel:open')")
    page.locator(".agk-panel").wait_for(timeout=SLOW)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    OUTPUT.mkdir(exist_ok=True)
    scratch = tmp_path_factory.mktemp("panel")
    folder = scratch / "work"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "sales.csv").write_text("a,b\n1,2\n")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    empty = nbformat.v4.new_notebook(metadata={"kernelspec": kernel})
    nbformat.write(empty, folder / "empty.ipynb")
    with lab.scripted() as api, lab.jupyter(folder, scratch / "home") as server, lab.browser() as context:
        yield Bench(server, context, api, scratch / "home")


@pytest.fixture(scope="module")
def opened(bench: Bench) -> Any:
    return bench.panel()


@pytest.fixture
def page(opened: Any) -> Iterator[Any]:
    """The panel, on the list of runs."""
    if opened.locator(".agk-back").is_visible():
        to_list(opened)
    box(opened).fill("")
    opened.problems.clear()
    yield opened
    assert not opened.problems


def box(page: Any) -> Any:
    return page.locator(".agk-composer textarea")


def ask(page: Any, prompt: str, permission: str = "accept-edits") -> None:
    """A prompt in a new conversation."""
    page.get_by_label("Permission").select_option(permission)
    box(page).fill(prompt)
    box(page).press("Enter")
    page.locator(".agk-top").wait_for(timeout=SLOW)


def ended(page: Any, word: str = "Done") -> None:
    page.locator(".agk-header .agk-status").get_by_text(word).wait_for(timeout=SLOW)


def tab(page: Any, name: str) -> Any:
    return page.get_by_role("tab", name=name)


def to_list(page: Any) -> None:
    page.get_by_role("button", name="Runs", exact=True).click()


def test_nothing_was_asked_yet_and_the_panel_says_what_to_do(page: Any) -> None:
    page.get_by_text("Nothing was asked yet").wait_for(timeout=SLOW)
    assert page.get_by_text("%%agent").is_visible()
    page.screenshot(path=OUTPUT / "panel-empty.png")


def test_a_run_without_a_cell_is_seen_live_and_seven_ways(bench: Bench, page: Any) -> None:
    bench.api.add(
        [
            Thinking("First a file."),
            Text("I write it."),
            ToolUse("write_file", {"path": "note.md", "content": "one\n"}),
        ],
        [ToolUse("edit_file", {"path": "note.md", "old_string": "one", "new_string": "two"})],
        [ToolUse("bash", {"command": "echo hello > other.txt; echo said"})],
        [Text("It is **done**.")],
    )
    ask(page, "Write a note")
    ended(page)
    view = page.locator(".agk-view")
    assert view.locator("strong", has_text="done").is_visible(), "Markdown is drawn"
    assert tab(page, "Thoughts").inner_text().strip().endswith("1")
    assert tab(page, "Tools").inner_text().strip().endswith("3")
    tab(page, "Thoughts").click()
    view.get_by_text("First a file.").wait_for()
    tab(page, "Tools").click()
    assert view.locator(".agk-card").count() == 3
    tab(page, "Context").click()
    view.get_by_text("tokens in the window").wait_for()
    assert view.locator("tbody tr").count() == 4, "a row a turn"
    tab(page, "Trace").click()
    view.get_by_text("Time went to the model").wait_for()
    assert view.locator(".agk-lane").count() == 7, "a bar for each answer and each call"
    tab(page, "Preview").click()
    view.get_by_text("Nothing is served").wait_for()
    tab(page, "Files").click()
    view.get_by_role("button", name="Step by step").click()
    assert view.locator(".agk-card").count() == 3
    view.get_by_role("button", name="By file").click()
    note = view.locator(".agk-card", has_text="note.md")
    note.get_by_text("+ two").wait_for(timeout=SLOW)
    note.get_by_text("+ one").wait_for(state="detached", timeout=SLOW)
    assert note.locator(".agk-diff").count() == 1, "two changes of a file are seen as one"
    page.locator("#agent-kernel-panel").screenshot(path=OUTPUT / "panel-files.png")
    tab(page, "Files").press("ArrowRight")
    assert tab(page, "Preview").get_attribute("aria-selected") == "true", "arrow keys walk through the tabs"

    to_list(page)
    row = page.locator(".agk-run").first
    assert "Write a note" in row.inner_text()
    assert "tokens" in row.inner_text()


def test_a_run_is_exported_replayed_and_gone_on_from_any_step(bench: Bench, page: Any) -> None:
    page.locator(".agk-run", has_text="Write a note").last.click()
    ended(page)
    run = next(r for r in lab.api(bench.server, "runs")["runs"] if r["prompt"] == "Write a note")
    page.get_by_role("button", name="Export transcript").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Markdown").click()
    assert download.value.suggested_filename == f"{run['id']}.md"
    commands = page.evaluate("() => window.jupyterapp.commands.listCommands()")
    assert {f"agent-kernel:export-{kind}" for kind in ("ipynb", "html", "md")} <= {*commands}

    transcript = lab.api(bench.server, f"runs/{run['id']}/transcript?format=ipynb")
    (bench.server.folder / "told.ipynb").write_text(json.dumps(transcript))
    to_list(page)
    page.evaluate("() => void window.jupyterapp.commands.execute('docmanager:open', { path: 'told.ipynb' })")
    page.locator(".jp-NotebookPanel-toolbar").get_by_text("Replay").click(timeout=SLOW)
    player = page.get_by_role("region", name="Replay")
    player.get_by_label("Speed").select_option("8")
    player.get_by_text("It is done").wait_for(timeout=SLOW)
    page.screenshot(path=OUTPUT / "panel-replay.png")
    assert not violations(page, ".agk-panel")
    player.get_by_role("log").press("Home")
    for _ in range(5):
        player.get_by_role("log").press("ArrowRight")
    assert player.get_by_label("Step", exact=True).input_value() == "5"
    assert player.locator(".agk-user", has_text="Write a note").is_visible()
    assert player.locator(".agk-card").count() == 1, "later steps are not there yet"
    bench.api.add([Text("Another way.")])
    player.get_by_role("button", name="Fork from here").click()
    player.get_by_label("What to do instead").fill("Leave it so")
    player.get_by_label("Put the files back").check()
    page.locator("#agent-kernel-panel").screenshot(path=OUTPUT / "panel-fork.png")
    player.get_by_role("button", name="Go on from here").click()
    page.locator(".agk-view").get_by_text("Another way.").wait_for(timeout=SLOW)
    ended(page)
    assert (bench.server.folder / "note.md").read_text() == "one\n"
    assert not (bench.server.folder / "other.txt").exists()
    assert "Leave it so" in json.dumps(bench.api.bodies[-1]["messages"][-1])

    to_list(page)
    page.locator(".agk-run", has_text="Write a note").last.click()
    ended(page)
    wrote = page.locator(".agk-from", has=page.get_by_role("article", name="write_file"))
    wrote.hover()
    wrote.get_by_role("button", name="Fork from here").click()
    bench.api.add([Text("From the chat.")])
    page.get_by_label("What to do instead").fill("Read it aloud")
    page.get_by_role("button", name="Go on from here").click()
    page.locator(".agk-view").get_by_text("From the chat.").wait_for(timeout=SLOW)
    assert page.locator(".agk-card").count() == 1, "what came after the step is not there"
    assert "Read it aloud" in json.dumps(bench.api.bodies[-1]["messages"][-1])


def test_a_transcript_of_somebody_elses_is_told_cell_by_cell(bench: Bench, page: Any) -> None:
    told = json.loads((bench.server.folder / "told.ipynb").read_text())
    told["metadata"]["agent_kernel"]["run_id"] = "r-of-somebody"
    (bench.server.folder / "received.ipynb").write_text(json.dumps(told))
    page.evaluate(
        "() => void window.jupyterapp.commands.execute('docmanager:open', { path: 'received.ipynb' })"
    )
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.context?.path === 'received.ipynb'", timeout=SLOW
    )
    notebook = page.locator(".jp-NotebookPanel:visible")
    notebook.locator(".jp-NotebookPanel-toolbar").get_by_text("Replay").click(timeout=SLOW)
    bar = notebook.get_by_role("region", name="Replay")
    bar.get_by_label("Speed").select_option("8")
    bar.get_by_label("Speed").blur()
    bar.get_by_role("button", name="Play", exact=True).wait_for(timeout=SLOW)  # it has come to the end
    assert page.locator(".agk-later").count() == 0
    bar.get_by_role("button", name="Play", exact=True).press("Home")
    bar.get_by_role("button", name="Step forward").click()
    assert notebook.locator(".jp-Cell:not(.agk-later)").count() == 1
    page.screenshot(path=OUTPUT / "notebook-replay.png")
    bar.get_by_role("button", name="Close the replay").click()
    page.locator(".agk-later").first.wait_for(state="detached", timeout=SLOW)
    page.evaluate("() => void window.jupyterapp.shell.currentWidget.dispose()")


def test_the_window_is_compacted_and_cleared(bench: Bench, page: Any) -> None:
    page.locator(".agk-run", has_text="Write a note").last.click()
    ended(page)
    tab(page, "Context").click()
    bench.api.add([Text("SUMMARY of the note.")])
    page.get_by_role("button", name="Compact").click()
    page.get_by_text("the next prompt goes on from a summary").wait_for(timeout=SLOW)
    bench.api.add([Text("Going on.")])
    box(page).fill("Go on")
    box(page).press("Enter")
    page.get_by_text("Going on.").wait_for(timeout=SLOW)
    ended(page)
    sent = json.dumps(bench.api.bodies[-1]["messages"])
    assert "SUMMARY of the note." in sent
    assert "First a file." not in sent
    tab(page, "Context").click()
    page.get_by_role("button", name="Clear", exact=True).click()
    page.locator(".jp-Dialog").get_by_role("button", name="Clear").click()
    page.get_by_text("begins with an empty window").first.wait_for(timeout=SLOW)
    page.locator("#agent-kernel-panel").screenshot(path=OUTPUT / "panel-context.png")
    bench.api.add([Text("Afresh.")])
    box(page).fill("Begin afresh")
    box(page).press("Enter")
    page.get_by_text("Afresh.").wait_for(timeout=SLOW)
    ended(page)
    (said,) = bench.api.bodies[-1]["messages"]
    assert "SUMMARY" not in json.dumps(said)


def test_usage_adds_up_what_runs_used(bench: Bench, page: Any) -> None:
    bench.api.add([Text("Done.")])
    ask(page, "Use something")
    ended(page)
    to_list(page)
    page.get_by_role("button", name="Usage").click()
    usage = page.get_by_role("region", name="Usage", exact=True)
    usage.locator("dd").first.wait_for(timeout=SLOW)
    assert int(usage.locator("dd").first.inner_text()) >= 1
    assert usage.locator("dd").nth(2).inner_text() == "?", "the model has no price"
    assert usage.locator(".agk-plot", has_text="Cost").count() == 0, "and none is drawn"
    plot = usage.locator(".agk-plot").first
    plot.locator("svg").press("End")
    assert "not completed" in plot.inner_text() or plot.inner_text().count(":") == 1, "the last day is named"
    usage.get_by_role("button", name="Agent").click()
    usage.get_by_role("rowheader", name="no agent file").wait_for()
    usage.get_by_role("button", name="7 days").click()
    usage.locator("dd").first.wait_for()
    assert violations(page, ".agk-panel") == []
    page.get_by_role("button", name="Close usage").click()
    page.locator(".agk-run").first.wait_for()


def test_hostile_text_runs_nothing_in_any_view(bench: Bench, page: Any) -> None:
    attack = "<img src=x onerror=window.__xss=1>"
    with ThreadPoolExecutor(1) as beside:  # the browser's driver has a loop in this thread
        beside.submit(lambda: asyncio.run(stored(bench, attack))).result()
    page.get_by_label("Search runs").fill("onerror")
    page.locator(".agk-run", has_text="onerror").first.click()
    for name in ("Chat", "Thoughts", "Tools", "Files", "Preview", "Context", "Trace"):
        tab(page, name).click()
        page.locator(f"#agk-view[aria-labelledby='agk-tab-{name.lower()}']").wait_for(timeout=SLOW)
        page.eval_on_selector_all(
            ".agk-view button[aria-expanded=false]", "all => all.forEach(one => one.click())"
        )
    assert page.locator(".agk-lane").count() > 10, "what is hostile is shown, as text"
    to_list(page)
    page.get_by_label("Search runs").fill("")
    page.get_by_role("button", name="Usage", exact=True).click()
    page.get_by_role("rowheader", name=attack).wait_for(timeout=SLOW)
    page.get_by_role("button", name="Agent", exact=True).click()
    page.get_by_role("rowheader", name=attack).wait_for(timeout=SLOW)
    assert page.locator(".agk-panel [onerror], .agk-panel script").count() == 0
    assert page.evaluate("() => window.__xss") is None
    page.get_by_role("button", name="Close usage").click()
    page.evaluate(f"() => {{ document.createElement('div').innerHTML = '{attack}'; }}")
    page.wait_for_function("() => window.__xss === 1", timeout=SLOW)  # the canary would have sung
    page.evaluate("() => { delete window.__xss; }")


async def stored(bench: Bench, attack: str) -> None:
    """A run whose every word is an attack, as if it had been worked on here."""
    place = bench.home / "data" / "agent-kernel" / "runs.db"
    place.parent.mkdir(parents=True, exist_ok=True)
    store = await open_store(place)
    session = await store.create_session(
        owner=local_user(), name=attack, workspace=str(bench.server.folder / attack[:9])
    )
    run = await store.create_run(
        session_id=session.id, prompt=attack, model=attack, owner=local_user(), agent=attack
    )
    events = [event.model_copy(update={"seq": 0}) for event in hostile()]
    log = RunLog(store, LocalBus(), redact=Redactor([]))
    await log.append(run.id, *events, Status(status="failed", reason=attack))
    await store.close()


def test_files_are_undone_one_by_one_but_not_over_somebodys_own_edit(bench: Bench, page: Any) -> None:
    bench.api.add(
        [
            ToolUse("write_file", {"path": "mine.txt", "content": "agent\n"}),
            ToolUse("write_file", {"path": "its.txt", "content": "agent\n"}),
        ],
        [Text("Two files.")],
    )
    ask(page, "Write two files")
    ended(page)
    folder = bench.server.folder
    (folder / "mine.txt").write_text("a person was here\n")
    tab(page, "Files").click()
    page.get_by_role("button", name="Undo its.txt").click()
    page.locator(".agk-notice").get_by_text("Put back: its.txt").wait_for(timeout=SLOW)
    assert not (folder / "its.txt").exists()
    page.get_by_role("button", name="Undo mine.txt").click()
    page.locator(".agk-notice").get_by_text("you changed it since: mine.txt").wait_for(timeout=SLOW)
    assert (folder / "mine.txt").read_text() == "a person was here\n"


def test_what_is_asked_about_is_read_as_it_will_stand_in_the_file(bench: Bench, page: Any) -> None:
    edit = {"path": "asked.py", "old_string": "b = 2\n", "new_string": "b = 3\n"}
    bench.api.add(
        [ToolUse("write_file", {"path": "asked.py", "content": "a = 1\nb = 2\n"})],
        [ToolUse("edit_file", edit)],
        [Text("שלום.")],
    )
    ask(page, "Write what I may read", "ask")
    allow = page.get_by_role("button", name="Allow once")
    allow.wait_for(timeout=SLOW)
    card = page.locator(".agk-card.agk-is-pending")
    assert card.locator(".agk-code").inner_text() == "a = 1\nb = 2\n"
    allow.click()
    card.locator(".agk-rows").wait_for(timeout=SLOW)
    rows = card.locator(".agk-rows").inner_text().splitlines()
    assert [row for row in rows if row] == ["- b = 2", "+ b = 3"]
    page.get_by_role("button", name="Deny").click()
    ended(page)
    said = page.locator(".agk-message p", has_text="שלום")
    assert said.evaluate("one => getComputedStyle(one).direction") == "rtl"


def test_both_sides_of_a_long_change_are_moved_as_one(bench: Bench) -> None:
    (bench.server.folder / "long.txt").write_text("old\n" * 60)
    bench.api.add([ToolUse("bash", {"command": "sed -i s/old/new/ long.txt"})], [Text("Changed.")])
    page = bench.panel()
    resize(page, 1900)
    ask(page, "Change a long file")
    ended(page)
    page.get_by_role("button", name="Side by side").click()
    sides = page.locator(".agk-columns")
    sides.evaluate("one => { one.scrollTop = 200; }")
    assert sides.evaluate("one => one.scrollTop") == 200
    row = "rows => rows.map(row => row.getBoundingClientRect().top)"
    left, right = sides.locator(".agk-row:nth-child(30)").evaluate_all(row)
    page.close()
    assert left == right


def test_of_two_answers_the_first_counts_and_the_other_is_told(bench: Bench, page: Any) -> None:
    bench.api.add([ToolUse("bash", {"command": "echo asked"})], [Text("Thank you.")])
    page.evaluate(ELSEWHERE)
    ask(page, "Ask me", "ask")
    allow = page.get_by_role("button", name="Allow once")
    allow.wait_for(timeout=SLOW)
    badge = page.locator(".lm-TabBar-tab[data-agk-badge='1']")
    badge.wait_for(timeout=SLOW)
    assert "1 needs you" in page.locator(".agk-item").inner_text()
    assert page.evaluate("() => window.told") == ["The agent needs your approval: Ask me"]
    page.screenshot(path=OUTPUT / "panel-approval.png")
    other = bench.panel()
    other.locator(".agk-run", has_text="Ask me").click()
    other.get_by_role("button", name="Deny").wait_for(timeout=SLOW)
    # The other's page learns of the first answer only after it has given its own.
    other.route("**/api/agent/stream**", lambda route: route.abort())
    other.evaluate("() => window.dispatchEvent(new Event('online'))")
    other.locator(".agk-offline").wait_for(timeout=SLOW)
    allow.click()
    ended(page)
    other.get_by_role("button", name="Deny").click()
    other.locator(".agk-notice").get_by_text("It has been answered: allow").wait_for(timeout=SLOW)
    other.unroute("**/api/agent/stream**")
    other.locator(".agk-view").get_by_text("Thank you.").wait_for(timeout=SLOW)
    badge.wait_for(state="detached", timeout=SLOW)
    page.evaluate("() => { delete document.hidden; }")
    other.close()


def test_a_run_is_steered_paused_resumed_and_stopped_from_the_box(bench: Bench, page: Any) -> None:
    bench.api.add(
        [ToolUse("bash", {"command": "seq 200; while [ ! -e go-on ]; do sleep 0.1; done"})],
        [Text("Heard."), ToolUse("bash", {"command": "sleep 600"})],
    )
    ask(page, "Work for long")
    output = page.locator(".agk-card.agk-is-running .agk-terminal")
    output.get_by_text("200").wait_for(timeout=SLOW)
    in_sight = "one => one.scrollHeight - one.scrollTop - one.clientHeight < 2"
    lab.until(lambda: output.evaluate(in_sight), "what a tool writes last is in sight", page)
    box(page).fill("Be quick")
    box(page).press("Enter")
    page.locator(".agk-user", has_text="Be quick").wait_for(timeout=SLOW)
    page.get_by_role("button", name="Pause").click()
    ended(page, "Pauses after this step")
    (bench.server.folder / "go-on").touch()
    ended(page, "Paused")
    page.get_by_role("button", name="Resume").click()
    page.get_by_text("Heard.").wait_for(timeout=SLOW)
    page.locator(".agk-card.agk-is-running").wait_for(timeout=SLOW)
    box(page).fill("/stop")
    box(page).press("Enter")
    ended(page, "Stopped")
    box(page).fill("/cots")
    box(page).press("Enter")
    page.locator(".agk-notice").get_by_text("Did you mean /cost?").wait_for()
    assert box(page).input_value() == "/cots", "what was not understood stays, to be mended"
    box(page).fill("/cost")
    box(page).press("Enter")
    page.get_by_role("tab", name="Context", selected=True).wait_for()
    box(page).press("ArrowUp")
    assert box(page).input_value() == "/cost"
    box(page).press("ArrowUp")
    assert box(page).input_value() == "/stop"


def test_commands_and_files_are_completed_and_files_can_be_dropped(bench: Bench, page: Any) -> None:
    box(page).fill("")
    box(page).press_sequentially("/re")
    page.get_by_role("option", name="/resume").wait_for()
    box(page).fill("")
    box(page).press_sequentially("See @da")
    page.get_by_role("option", name="data/").wait_for(timeout=SLOW)
    box(page).press("Tab")
    page.get_by_role("option", name="data/sales.csv").wait_for(timeout=SLOW)
    box(page).press("Tab")
    assert box(page).input_value() == "See @data/sales.csv "
    box(page).fill("")
    box(page).press_sequentially("Use @data-")
    page.get_by_role("option", name="data-analysis").wait_for(timeout=SLOW)
    box(page).press("Tab")
    assert box(page).input_value() == "Use skill `data-analysis` "
    page.evaluate(
        """([name, data]) => {
          const files = new DataTransfer();
          files.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name));
          const form = document.querySelector('.agk-composer');
          form.dispatchEvent(new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer: files }));
        }""",
        ["../my data.bin", base64.b64encode(b"\x00\xffbinary").decode()],
    )
    page.wait_for_function(
        "() => document.querySelector('.agk-composer textarea').value.includes('my data.bin')", timeout=SLOW
    )
    (name,) = re.findall(r'@"([^"]+)"', box(page).input_value())
    assert (bench.server.folder / name).read_bytes() == b"\x00\xffbinary"
    assert "/" not in name
    box(page).fill("")


def test_text_of_strangers_stays_text(bench: Bench, page: Any) -> None:
    bad = '<img src=x onerror="window.owned=1"><script>window.owned=1</script>'
    bench.api.add(
        [
            Text(f"{bad} [link](javascript:window.owned=1)"),
            ToolUse("bash", {"command": f"cat <<'E' > '<b>.txt'\n{bad}\nE\ncat '<b>.txt'"}),
        ],
        [Text(bad)],
    )
    ask(page, f"Say {bad}")
    ended(page)
    for name in ("Tools", "Files", "Context", "Chat"):
        tab(page, name).click()
        page.wait_for_timeout(50)
        assert page.locator(".agk-panel :is(img, script, [onerror], a[href^=javascript])").count() == 0
    to_list(page)
    assert page.locator(".agk-run").first.inner_text().startswith(f"Say {bad[:40]}")
    assert page.evaluate("() => window.owned") is None


def test_a_reload_and_a_server_that_was_away_lose_nothing(bench: Bench, page: Any) -> None:
    bench.api.add(
        [Text("Begun. "), ToolUse("bash", {"command": "while [ ! -e woken ]; do sleep 0.1; done; echo slept"})],
        [Text("All there.")],
    )  # fmt: skip
    ask(page, "Sleep a little")
    page.locator(".agk-card.agk-is-running").wait_for(timeout=SLOW)
    page.reload()
    show(page)
    page.get_by_text("Begun.").wait_for(timeout=SLOW)
    page.route("**/api/agent/**", lambda route: route.abort())
    page.evaluate("() => window.dispatchEvent(new Event('online'))")
    page.locator(".agk-offline").wait_for(timeout=SLOW)
    page.screenshot(path=OUTPUT / "panel-offline.png")
    (bench.server.folder / "woken").touch()
    run = lab.api(bench.server, "runs")["runs"][0]["id"]
    lab.until(
        lambda: lab.api(bench.server, f"runs/{run}")["status"] == "completed", "the run has ended", page
    )
    page.unroute("**/api/agent/**")
    page.locator(".agk-offline").wait_for(state="detached", timeout=SLOW)
    ended(page)
    assert page.get_by_text("All there.").count() == 1


def test_the_list_is_searched_filtered_and_knows_of_runs_started_elsewhere(bench: Bench, page: Any) -> None:
    bench.api.add([Stall()])
    session = post(bench, "sessions", {"name": "elsewhere", "workspace": "."})["id"]
    post(bench, "runs", {"session": session, "prompt": "Started by a script"})
    page.locator(".agk-run", has_text="Started by a script").wait_for(timeout=SLOW)
    page.get_by_role("button", name="Working", exact=True).click()
    assert page.locator(".agk-run").count() == 1
    page.get_by_role("button", name="All", exact=True).click()
    page.get_by_role("region", name="elsewhere").wait_for(timeout=SLOW)  # its conversation is known, too
    page.get_by_label("Search runs").fill("script elsewhere")
    assert page.locator(".agk-run").count() == 1
    page.get_by_label("Search runs").fill("no such words")
    page.get_by_text("No run fits").wait_for()
    page.get_by_label("Search runs").fill("")
    page.locator(".agk-run", has_text="Started by a script").click()
    page.get_by_role("button", name="Stop").click()
    ended(page, "Stopped")


def test_a_skill_of_the_folder_is_looked_at_before_it_is_trusted(bench: Bench, page: Any) -> None:
    skill = bench.server.folder / ".agents" / "skills" / "house-style"
    skill.mkdir(parents=True)
    bad = '<img src=x onerror="window.owned=1">'
    text = f"---\nname: house-style\ndescription: How tables are made here. {bad}\n---\n# Tables\n\n{bad}\n"
    (skill / "SKILL.md").write_text(text)
    (skill / "scripts").mkdir()
    (skill / "scripts" / "table.py").write_text("print('a table')\n")
    page.reload()
    show(page)
    question = page.get_by_role("region", name="Trust of workspace files")
    question.get_by_text("house-style").first.wait_for(timeout=SLOW)
    question.get_by_role("button", name="Look at it").click()
    question.get_by_text("scripts/table.py").wait_for()
    assert question.locator("img").count() == 0
    assert not violations(page, ".agk-trust")
    page.locator("#agent-kernel-panel").screenshot(path=OUTPUT / "panel-trust.png")
    (skill / "SKILL.md").write_text(f"{text}Another line.\n")
    question.get_by_role("button", name="Trust", exact=True).click()
    page.locator(".agk-notice").get_by_text("has changed since you saw it").wait_for(timeout=SLOW)
    question.get_by_role("button", name="Trust", exact=True).click()
    question.wait_for(state="detached", timeout=SLOW)
    assert page.evaluate("() => window.owned") is None


def test_the_panel_stands_in_notebook_7_too(bench: Bench) -> None:
    page = bench.context.new_page()
    page.goto(f"{bench.server.url}/notebooks/empty.ipynb?token={lab.TOKEN}")
    show(page)
    page.locator(".agk-run").last.click()
    page.locator(".agk-view .agk-user").first.wait_for(timeout=SLOW)
    assert violations(page, ".agk-panel") == []
    page.screenshot(path=OUTPUT / "panel-notebook7.png")
    page.close()


def post(bench: Bench, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{bench.server.url}/api/agent/{path}",
        json.dumps(body).encode(),
        {"Authorization": f"token {lab.TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=SLOW / 1000) as response:
        return json.load(response)


def test_skills_and_servers_are_arranged_in_the_panel(bench: Bench) -> None:
    page = bench.panel()
    page.get_by_role("button", name="Skills and MCP servers").click()
    view = page.get_by_role("region", name="Settings of the agent")
    view.get_by_role("article", name="data-analysis").wait_for(timeout=SLOW)
    assert view.get_by_role("switch").count() == 0, "a skill is on or off in a conversation"
    view.get_by_role("button", name="New skill").click()
    view.get_by_label("Name").fill("Tea Time")
    view.get_by_label("What it does").fill("Makes tea. Use when somebody is tired.")
    view.get_by_role("button", name="Begin from the template").click()
    source = view.get_by_label("SKILL.md")
    source.wait_for(timeout=SLOW)
    source.fill(f"{source.input_value()}\n**Boil** water. <img src=x onerror=window.__xss=1>\n")
    view.get_by_role("button", name="Preview").click()
    view.get_by_role("region", name="Preview").get_by_text("Boil").wait_for()
    assert not violations(page, ".agk-panel")
    view.get_by_role("button", name="Keep").click()
    view.get_by_text("Kept.").wait_for(timeout=SLOW)
    view.get_by_role("button", name="Done").click()
    own = view.get_by_role("article", name="tea-time")
    own.get_by_role("button", name="tea-time").click()
    own.get_by_text("Boil").wait_for(timeout=SLOW)
    own.get_by_role("button", name="Delete").click()
    page.locator(".jp-Dialog").get_by_role("button", name="Delete").click()
    own.wait_for(state="detached", timeout=SLOW)

    view.get_by_role("button", name="MCP servers").click()
    view.get_by_text("No server yet").wait_for(timeout=SLOW)
    server = (Path(__file__).parents[1] / "mcp" / "hostile.py").read_bytes()
    (bench.server.folder / "hostile.py").write_bytes(server)
    view.get_by_role("button", name="Add a server").click()
    view.get_by_label("What it is").select_option("github")
    view.get_by_text("GITHUB_TOKEN in the environment").wait_for(timeout=SLOW)
    for name, kind in (("widgets", "thirty"), ("broken", "exit")):
        if name != "widgets":
            view.get_by_role("button", name="Add a server").click()
        view.get_by_label("What it is").select_option("command")
        view.get_by_label("Name").fill(name)
        view.get_by_label("Command line").fill(f"python3 hostile.py {kind}")
        view.get_by_role("button", name="Add", exact=True).click()
        view.get_by_text(f"{name} is there.").wait_for(timeout=SLOW)
        view.get_by_role("article", name=name).get_by_role("button", name=name).click()
        view.get_by_role("article", name=name).get_by_role("button", name="Test").click()
    view.get_by_text("it said: no licence").first.wait_for(timeout=SLOW)
    view.get_by_role("article", name="widgets").get_by_text("make_widget_29").wait_for(timeout=SLOW)
    view.get_by_role("switch", name="Use broken").click()
    view.get_by_role("article", name="broken").get_by_text("off", exact=True).wait_for(timeout=SLOW)
    for name in ("widgets", "broken"):
        view.get_by_role("article", name=name).get_by_role("button", name="Remove").click()
        page.locator(".jp-Dialog").get_by_role("button", name="Remove").click()
        view.get_by_role("article", name=name).wait_for(state="detached", timeout=SLOW)

    view.get_by_role("button", name="Back").click()
    bench.api.add([Text("Hello.")])
    ask(page, "Say hello")
    ended(page)
    page.get_by_role("button", name="Skills of this conversation").click()
    switch = view.get_by_role("switch", name="Use dashboards in this conversation")
    switch.click(timeout=SLOW)
    page.wait_for_function(
        "() => document.querySelector('.agk-switch[aria-checked=\"false\"]')", timeout=SLOW
    )
    assert not violations(page, ".agk-panel")
    assert page.evaluate("() => window.__xss") is None
    assert not page.problems
    page.close()


def test_a_person_logs_in_at_a_server_and_out_again(bench: Bench, page: Any) -> None:
    view = page.get_by_role("region", name="Settings of the agent")
    with listening(ROOT / "tests" / "mcp" / "guarded.py") as address:
        page.get_by_role("button", name="Skills and MCP servers").click()
        view.get_by_role("button", name="MCP servers").click(timeout=SLOW)
        view.get_by_role("button", name="Add a server").click(timeout=SLOW)
        view.get_by_label("Name").fill("guarded")
        view.get_by_label("Address").fill(address)
        view.get_by_role("button", name="Add", exact=True).click()
        guarded = view.get_by_role("article", name="guarded")
        guarded.get_by_role("button", name="guarded").click(timeout=SLOW)
        guarded.get_by_role("button", name="Test").click()
        view.get_by_text("guarded wants you to log in first").first.wait_for(timeout=SLOW)
        with page.context.expect_page(timeout=SLOW) as opening:
            guarded.get_by_role("button", name="Log in", exact=True).click()
        tab = opening.value
        tab.get_by_role("heading", name="Logged in at guarded").wait_for(timeout=SLOW)
        assert tab.url.startswith(f"{bench.server.url}/api/agent/mcp/callback?")
        assert tab.evaluate("() => window.opener") is None
        tab.close()

        guarded.get_by_text("secret", exact=True).wait_for(timeout=SLOW)  # nobody pressed Test
        view.get_by_text("guarded answers").wait_for(timeout=SLOW)
        guarded.get_by_text("connected", exact=True).wait_for(timeout=SLOW)
        logins = list((bench.home / "data" / "agent-kernel" / "mcp").rglob("logins/*.secret"))
        assert logins
        for path in [Path(folder, name) for folder, _, names in os.walk(bench.home) for name in names]:
            with suppress(FileNotFoundError):  # a journal that went meanwhile
                kept = path.read_bytes() if path.is_file() else b""
                assert not re.search(rb"(access|refresh)-[0-9a-f]{24}", kept), path
        view.get_by_role("button", name="Back").click()
        bench.api.add([Text("Hello.")])
        ask(page, "Say hello")
        ended(page)
        assert "mcp__guarded__secret" in json.dumps(bench.api.bodies[-1]["tools"])
        assert not re.search(r"(access|refresh)-[0-9a-f]{24}", json.dumps(bench.api.bodies[-1]))

        to_list(page)
        page.get_by_role("button", name="Skills and MCP servers").click()
        view.get_by_role("button", name="MCP servers").click(timeout=SLOW)
        guarded.get_by_role("button", name="guarded").click(timeout=SLOW)
        guarded.get_by_role("button", name="Log out", exact=True).click(timeout=SLOW)
        view.get_by_text("The login at guarded is forgotten.").wait_for(timeout=SLOW)
        assert not [path for path in logins if path.exists()]
        guarded.get_by_role("button", name="Test").click()
        view.get_by_text("guarded wants you to log in first").first.wait_for(timeout=SLOW)
        guarded.get_by_role("button", name="Remove").click()
        page.locator(".jp-Dialog").get_by_role("button", name="Remove").click()
        guarded.wait_for(state="detached", timeout=SLOW)
    view.get_by_role("button", name="Back").click()
