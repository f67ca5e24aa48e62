"""Whatever goes away in the middle of a run, who comes back sees the whole of it, once: in the cell and in the file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.browser import lab
from tests.browser.axe import violations
from tests.browser.test_panel import OUTPUT, SLOW, show

ASK, SHOW = 1, 2
DIRTY = f"() => ({lab.NOTEBOOK})().context.model.dirty"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    OUTPUT.mkdir(exist_ok=True)
    target = tmp_path / "work"
    target.mkdir()
    for name in ("saved", "unsaved", "killed"):
        cells = [nbformat.v4.new_code_cell("%load_ext agent_kernel")]
        cells += [nbformat.v4.new_code_cell(f"%%agent\nWork in {name}")]
        cells += [nbformat.v4.new_code_cell("%agent /show")]
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(
            nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), target / f"{name}.ipynb"
        )
    return target


@pytest.fixture
def model() -> Iterator[ScriptedMessages]:
    with ScriptedMessages() as api, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AGENT_KERNEL_MODEL", "scripted")
        patch.setenv("ANTHROPIC_BASE_URL", api.url)
        patch.setenv("ANTHROPIC_API_KEY", "key-of-the-test")
        yield api


def until(look: Callable[[], Any], seconds: float = 60) -> Any:
    """What `look` gives once it is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def begun(page: Any, api: ScriptedMessages, name: str) -> None:
    """A run that works until the file `go` is there."""
    wait = f"echo begun-{name}; while [ ! -e go-{name} ]; do sleep 0.2; done"
    api.add([ToolUse("bash", {"command": wait})], [Text(f"The end of {name}.")])
    lab.run_cell(page, 0)
    lab.run_cell(page, ASK, wait=False)
    lab.cell(page, ASK).get_by_text(f"begun-{name}").last.wait_for(timeout=SLOW)


def completed(server: lab.Server, name: str) -> dict[str, Any]:
    (server.folder / f"go-{name}").touch()

    def ended() -> Any:
        runs = lab.api(server, "runs")["runs"]
        return next((r for r in runs if name in r["prompt"] and r["status"] == "completed"), None)

    run = until(ended)
    events = lab.api(server, f"runs/{run['id']}/events?limit=1000")["events"]
    assert [event["seq"] for event in events] == list(range(1, run["head"] + 1))
    return run  # type: ignore[no-any-return]


def whole(page: Any, name: str) -> None:
    """The cell shows the run from its call to its answer, and once."""
    cell = lab.cell(page, ASK)
    cell.get_by_text(f"The end of {name}.").first.wait_for(timeout=SLOW)
    cell.locator(".agk-following").wait_for(state="detached", timeout=SLOW)
    assert cell.get_by_text(f"The end of {name}.").count() == 1
    assert cell.get_by_text(f"begun-{name}").count() >= 1
    assert "Error displaying widget" not in cell.inner_text()


def followed(page: Any, name: str) -> None:
    """What goes on is seen live, in place of the picture that is kept."""
    live = lab.cell(page, ASK).locator(".agk-following")
    live.get_by_text("The run goes on at the server").wait_for(timeout=SLOW)
    live.get_by_text(f"begun-{name}").last.wait_for(timeout=SLOW)
    live.get_by_role("button", name="Stop").wait_for()
    assert lab.cell(page, ASK).locator(".jp-OutputArea-output:visible").count() == 0
    assert violations(page, ".agk-following") == []
    page.screenshot(path=OUTPUT / f"followed-{name}.png")


def kept(folder: Path, name: str) -> None:
    """The file holds it as well."""
    (output,) = nbformat.read(folder / f"{name}.ipynb", as_version=4).cells[ASK].outputs
    assert sorted(output.data) == ["text/html", "text/markdown", "text/plain"]
    assert f"The end of {name}." in output.data["text/html"]
    assert output.metadata.agent_kernel.status == "completed"


def switch(page: Any, name: str) -> None:
    """Close the notebook, and open another (or the same again) in the page."""
    page.evaluate(
        f"""async (name) => {{
          ({lab.NOTEBOOK})()?.dispose();
          const widget = await window.jupyterapp.commands.execute('docmanager:open', {{ path: name }});
          await widget.context.ready;
          await widget.context.sessionContext.ready;
        }}""",
        f"{name}.ipynb",
    )
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=SLOW)


def test_closed_tabs_a_dead_kernel_and_a_server_that_was_away(
    folder: Path, tmp_path: Path, model: ScriptedMessages
) -> None:
    port = lab.free_port()
    with lab.browser() as context:
        with lab.jupyter(folder, tmp_path / "home", port=port) as server:
            page = lab.open_notebook(context, server, "saved.ipynb")
            begun(page, model, "saved")
            lab.save(page)
            page.close()
            completed(server, "saved")
            page = lab.open_notebook(context, server, "saved.ipynb", kernel=False)
            whole(page, "saved")
            lab.save(page)
            kept(folder, "saved")
            lab.run_cell(page, SHOW)
            assert "The end of saved." in lab.cell(page, SHOW).inner_text()
            lab.save(page)
            switch(page, "saved")
            whole(page, "saved")
            assert not page.evaluate(DIRTY), "what is whole is not touched"

            switch(page, "unsaved")
            begun(page, model, "unsaved")
            page.close()
            page = lab.open_notebook(context, server, "unsaved.ipynb", app="notebook", kernel=False)
            followed(page, "unsaved")
            completed(server, "unsaved")
            whole(page, "unsaved")
            lab.save(page)
            kept(folder, "unsaved")

            page.close()
            page = lab.open_notebook(context, server, "killed.ipynb")
            begun(page, model, "killed")
            page.evaluate(f"() => ({lab.NOTEBOOK})().context.sessionContext.session.kernel.restart()")
            followed(page, "killed")
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
        with lab.jupyter(folder, tmp_path / "home", port=port) as server:
            context.set_offline(True)
            completed(server, "killed")
            context.set_offline(False)
            whole(page, "killed")
            if (told := page.locator(".jp-Dialog button")).count():  # JupyterLab has lost the server, too
                told.first.click()
            lab.save(page)
            kept(folder, "killed")
            show(page)
            page.locator(".agk-run", has_text="Work in killed").click()
            page.locator(".agk-view").get_by_text("The end of killed.").wait_for(timeout=SLOW)
            page.screenshot(path=OUTPUT / "whole.png")
