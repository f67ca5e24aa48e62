"""The first thing somebody without a model sees, and what becomes of their key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from tests.browser import lab
from tests.browser.looks import look
from tests.browser.test_panel import SLOW, show

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_whoever_comes_first_sets_up_a_model(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    cells = ["%load_ext agent_kernel", "%%agent\nSay what you can do"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": kernel}
    )
    nbformat.write(notebook, tmp_path / "work" / "first.ipynb")
    with ScriptedMessages() as api, pytest.MonkeyPatch.context() as patch:
        for name in ("AGENT_KERNEL_MODEL", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"):
            patch.setenv(name, "")
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
        with lab.jupyter(tmp_path / "work", tmp_path / "home") as server, lab.browser() as context:
            page = context.new_page()
            page.problems = []
            page.on("pageerror", lambda e: page.problems.append(str(e)))
            page.goto(f"{server.url}/lab?token={lab.TOKEN}&reset")
            show(page)
            card = page.get_by_role("region", name="How the model is reached")
            card.get_by_text("Set up a model").wait_for(timeout=SLOW)
            card.get_by_role("button", name="Use another endpoint").click()
            assert not look(page, "look-lab-setup-light", ".agk-panel")
            card.get_by_label("Endpoint that speaks").fill("http://127.0.0.1:9")
            card.get_by_label("Key, where").fill("sk-of-the-person-123456")
            card.get_by_role("button", name="Test and keep").click()
            card.locator(".agk-error").wait_for(timeout=SLOW)
            assert lab.api(server, "model")["by"] == "", "what does not answer is not kept"
            api.add([Text("ok")])
            card.get_by_label("Endpoint that speaks").fill(api.url)
            card.get_by_label("Name of the model").fill("mine")
            card.get_by_role("button", name="Test and keep").click()
            card.wait_for(state="detached", timeout=SLOW)
            page.get_by_role("button", name="How the model is reached").click()
            card.get_by_text("Runs of yours ask mine").wait_for(timeout=SLOW)
            lab.set_theme(page, "JupyterLab Dark")
            assert not look(page, "look-lab-setup-kept-dark", ".agk-panel")
            assert "sk-of" not in page.content()
            card.get_by_role("button", name="Forget").click()
            card.get_by_role("button", name="Try the offline demo").click()
            card.get_by_text("the offline demo (a script, no AI)").wait_for(timeout=SLOW)
            card.get_by_role("button", name="Forget").click()
            card.get_by_text("Set up a model").wait_for(timeout=SLOW)
            assert not page.problems
            page.close()
            in_notebook_7(context, server)
            in_a_cell(context, server)
    kept = (tmp_path / "work" / "first.ipynb").read_text()
    assert "sk-" not in kept
    assert "widget-view" not in kept


def in_notebook_7(context: Any, server: lab.Server) -> None:
    page = lab.open_notebook(context, server, "first.ipynb", "notebook", kernel=False)
    show(page)
    card = page.get_by_role("region", name="How the model is reached")
    card.get_by_role("button", name="Use another endpoint").click(timeout=SLOW)
    for theme in ("Dark", "Light"):
        lab.set_theme(page, f"JupyterLab {theme}")
        assert not look(page, f"look-notebook-setup-{theme.lower()}", ".agk-panel")
    page.close()


def in_a_cell(context: Any, server: lab.Server) -> None:
    """The first prompt waits for a model, and runs as soon as there is one."""
    page = lab.open_notebook(context, server, "first.ipynb")
    lab.run_cell(page, 0)
    lab.run_cell(page, 1, wait=False)
    ask = lab.cell(page, 1)
    card = ask.get_by_role("region", name="How the model is reached")
    card.get_by_role("button", name="Close").click(timeout=SLOW)
    page.wait_for_function("() => window.__done", timeout=SLOW)
    ask.get_by_text("ANTHROPIC_API_KEY").first.wait_for(timeout=SLOW)
    lab.run_cell(page, 1, wait=False)
    card.get_by_text("Then your prompt runs.").wait_for(timeout=SLOW)
    for theme in ("Dark", "Light"):
        lab.set_theme(page, f"JupyterLab {theme}")
        assert not look(page, f"look-lab-cell-setup-{theme.lower()}", ".jp-Cell .agk")
    card.get_by_label("Key of the Anthropic API").press_sequentially("jk")
    assert card.get_by_label("Key of the Anthropic API").input_value() == "jk"
    card.get_by_role("button", name="Try the offline demo").click()
    page.wait_for_function("() => window.__done")
    ask.get_by_text("offline demo, no AI").first.wait_for(timeout=SLOW)
    ask.locator(".agk").wait_for(state="detached", timeout=SLOW)
    lab.save(page)
