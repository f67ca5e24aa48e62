"""Whatever goes away in the middle of a run, who comes back sees the whole of it, once: in the cell and in the file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.browser import lab
from tests.browser.axe import violations
from tests.browser.test_panel import OUTPUT, SLOW, show
from tests.ports import free_port
from tests.server.proxy import Proxy

ASK, SHOW = 1, 2
ASLEEP = float(os.environ.get("AGENT_KERNEL_ASLEEP", "8"))
"""Seconds that the network is asleep; from 60 on everybody has their own patience, else they are made impatient."""
IMPATIENT = [
    "--AgentKernelExtension.heartbeat=1",
    "--AgentKernelExtension.stall_timeout=2",
    "--ServerApp.websocket_ping_interval=2",
][: 3 * (ASLEEP < 60)]
DIRTY = f"() => ({lab.NOTEBOOK})().context.model.dirty"
KINDS = f"(index) => Object.keys(({lab.NOTEBOOK})().content.model.cells.get(index).outputs.get(0).data)"
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    OUTPUT.mkdir(exist_ok=True)
    target = tmp_path / "work"
    target.mkdir()
    for name in ("asleep", "saved", "unsaved", "killed"):
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
    with lab.scripted() as api:
        yield api


def waiting(name: str) -> str:
    return f"while [ ! -e go-{name} ]; do sleep 0.2; done"


def begun(page: Any, api: ScriptedMessages, name: str, *turns: list[Any]) -> None:
    """A run that works until the file `go` is there."""
    wait = f"echo begun-{name}; {waiting(name)}"
    api.add([ToolUse("bash", {"command": wait})], *turns, [Text(f"The end of {name}.")])
    lab.run_cell(page, 0)
    lab.run_cell(page, ASK, wait=False)
    lab.cell(page, ASK).get_by_text(f"begun-{name}").last.wait_for(timeout=SLOW)


def completed(server: lab.Server, name: str, awaited: str = "") -> dict[str, Any]:
    (server.folder / f"go-{awaited or name}").touch()

    def ended() -> Any:
        runs = lab.api(server, "runs")["runs"]
        return next((r for r in runs if name in r["prompt"] and r["status"] == "completed"), None)

    run = lab.until(ended, f"{name} is completed")
    events = lab.api(server, f"runs/{run['id']}/events?limit=1000")["events"]
    assert [event["seq"] for event in events] == list(range(1, run["head"] + 1))
    return run  # type: ignore[no-any-return]


def whole(page: Any, name: str) -> None:
    """The cell shows the run from its call to its answer, and once."""
    cell = lab.cell(page, ASK)
    cell.get_by_text(f"The end of {name}.").first.wait_for(timeout=SLOW)
    cell.locator(".agk-following").wait_for(state="detached", timeout=SLOW)
    # The live view has the end a moment before the picture that stays takes its place.
    page.wait_for_function(f"(index) => ({KINDS})(index).includes('text/html')", arg=ASK, timeout=SLOW)
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


def asleep(context: Any, server: lab.Server, model: ScriptedMessages) -> None:
    """The network between browser and server is asleep while the run goes on, and awake again before it ends."""
    with Proxy(int(server.url.rpartition(":")[2])) as network:
        page = lab.open_notebook(
            context, replace(server, url=f"http://127.0.0.1:{network.port}"), "asleep.ipynb"
        )
        show(page)
        begun(
            page, model, "asleep",
            [Text("Half of it."), ToolUse("bash", {"command": "touch dreamt; " + waiting("asleep-again")})],
        )  # fmt: skip
        page.locator(".agk-run", has_text="Work in asleep").click()
        page.locator(".agk-view").get_by_text("begun-asleep").first.wait_for(timeout=SLOW)
        network.sleep()
        since = time.monotonic()
        (server.folder / "go-asleep").touch()
        lab.until((server.folder / "dreamt").exists, "the run goes on")
        page.locator(".agk-panel").get_by_text("Offline").wait_for(timeout=SLOW + ASLEEP * 1_000)
        assert page.get_by_text("Half of it.").count() == 0, "nothing gets through"
        page.wait_for_timeout(max(0, ASLEEP - (time.monotonic() - since)) * 1_000)
        network.wake()
        woke = time.monotonic()
        page.locator(".agk-view").get_by_text("Half of it.").wait_for(timeout=SLOW)
        print(
            f"asleep for {woke - since:.0f} s; what was missed was shown {time.monotonic() - woke:.1f} s later"
        )
        completed(server, "asleep", "asleep-again")
        whole(page, "asleep")
        lab.cell(page, ASK).get_by_text("Half of it.").wait_for(timeout=SLOW)
        for view in (page.locator(".agk-panel .agk-view"), lab.cell(page, ASK)):
            view.get_by_text("The end of asleep.").wait_for(timeout=SLOW)
            assert [view.get_by_text(said).count() for said in ("Half of it.", "The end of asleep.")] == [
                1,
                1,
            ]
        assert page.locator(".agk-panel .agk-view .agk-tool").count() == 2
        lab.save(page)
        kept(server.folder, "asleep")
        page.close()


@pytest.mark.timeout(600 + ASLEEP)
def test_a_network_asleep_closed_tabs_a_dead_kernel_and_a_server_that_was_away(
    folder: Path, tmp_path: Path, model: ScriptedMessages
) -> None:
    port = free_port()
    with lab.browser() as context:
        with lab.jupyter(folder, tmp_path / "home", port=port, options=IMPATIENT) as server:
            asleep(context, server, model)
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
            told = lab.cell(page, SHOW).get_by_text("The end of saved.").filter(visible=True)
            told.first.wait_for(timeout=SLOW)
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
            # JupyterLab has lost the server, too, and may say so at any moment from now on.
            lost = page.locator(".jp-Dialog")
            page.add_locator_handler(lost, lambda dialog: dialog.locator("button").first.click())
            lab.save(page)
            kept(folder, "killed")
            show(page)
            page.locator(".agk-run", has_text="Work in killed").click()
            page.locator(".agk-view").get_by_text("The end of killed.").wait_for(timeout=SLOW)
            page.screenshot(path=OUTPUT / "whole.png")
