"""Notebooks that are open in a browser: who is asked, who answers, and what happens when nobody does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.events import Json
from agent_kernel.tools import builtin_tools, run_tool, tools_by_name
from agent_kernel.tools.notebook import pages as module
from agent_kernel.tools.notebook.far_pages import FarPages, reachable
from agent_kernel.tools.notebook.operations import digest
from agent_kernel.tools.notebook.pages import OpenNotebooks, PageGone, Pages
from tests.ports import free_port
from tests.tools.conftest import Desk, said
from tests.tools.test_notebooks import edit, written

ME = "me"


class Page:
    """A browser page: it hears questions and answers each with what `answers` gives."""

    def __init__(
        self, pages: Pages, notebook: Path, answers: Callable[[Json], Json | None], name: str = "p"
    ) -> None:
        self.pages, self.name, self.answers = pages, name, answers
        self.heard: list[Json] = []
        pages.show(ME, name, {notebook: notebook.name})
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        with self.pages.attached(ME, self.name) as queue:
            while True:
                self.heard.append(asked := await queue.get())
                if asked["action"] != "end" and self.pages.claim(ME, self.name, asked["id"]):
                    answer = self.answers(asked)
                    if answer is not None:
                        self.pages.answer(ME, self.name, asked["id"], answer)

    async def hears(self, action: str) -> None:
        """Until it has heard the question, and claimed it; and whoever asks knows of that."""
        async with asyncio.timeout(60):
            while not any(asked["action"] == action for asked in self.heard):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for _ in range(10):  # no clock: so many turns of the loop
            await asyncio.sleep(0)

    async def leave(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that stands still for a moment makes no page late."""
    monkeypatch.setattr(module, "CLAIM", 60.0)


@pytest.fixture
def quick(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is waited for for long."""
    for name, seconds in {"CLAIM": 0.1, "GRACE": 0.1}.items():
        monkeypatch.setattr(module, name, seconds)


async def test_the_first_page_that_claims_a_question_answers_it(tmp_path: Path) -> None:
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    both = [Page(pages, notebook, lambda asked, name=name: {"by": name}, name) for name in ("one", "two")]  # type: ignore[misc]
    await asyncio.sleep(0)
    assert await pages.ask(ME, notebook, "read") == {"by": "one"}
    assert [page.heard[0]["path"] for page in both] == ["a.ipynb", "a.ipynb"]
    assert await pages.ask("somebody else", notebook, "read") is None
    assert await pages.ask(ME, tmp_path / "b.ipynb", "read") is None
    for page in both:
        await page.leave()


async def test_a_question_waits_for_a_page_whose_stream_is_opened_anew(tmp_path: Path) -> None:
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    page = Page(pages, notebook, lambda asked: {"by": "old"})
    await asyncio.sleep(0)
    await page.leave()
    asking = asyncio.create_task(pages.ask(ME, notebook, "read"))
    await asyncio.sleep(0)
    page = Page(pages, notebook, lambda asked: {"by": "new"})
    assert await asking == {"by": "new"}
    await page.leave()


async def test_what_was_asked_of_a_page_that_is_loaded_anew_is_asked_of_it_when_it_is_back(
    tmp_path: Path,
) -> None:
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    before = Page(pages, notebook, lambda asked: {"by": "before"}, "before")
    await asyncio.sleep(0)
    await before.leave()
    asking = asyncio.create_task(pages.ask(ME, notebook, "undo"))
    await asyncio.sleep(0)
    other = Page(pages, tmp_path / "b.ipynb", lambda asked: {"by": "other"}, "other")
    after = Page(pages, notebook, lambda asked: {"by": "after"}, "after")
    assert await asking == {"by": "after"}
    assert [asked["path"] for asked in after.heard] == ["a.ipynb"] and not other.heard
    for page in (other, after):
        await page.leave()


async def test_a_page_that_does_not_claim_is_taken_to_be_gone(tmp_path: Path, quick: None) -> None:
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    pages.show(ME, "p", {notebook: "a.ipynb"})
    with pages.attached(ME, "p") as queue:
        assert await pages.ask(ME, notebook, "edit") is None
        late = await queue.get()
        assert not pages.claim(ME, "p", late["id"]), "it comes too late, and must not do it as well"
        assert not pages.having(ME, notebook)


async def test_of_a_page_that_vanishes_while_it_works_the_outcome_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE", 0.1)
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    page = Page(pages, notebook, lambda asked: None)
    await asyncio.sleep(0)
    asking = asyncio.create_task(pages.ask(ME, notebook, "edit"))
    await page.hears("edit")
    await page.leave()
    with pytest.raises(PageGone, match="Read the notebook again"):
        await asking


async def test_a_page_whose_stream_is_just_opened_anew_hears_that_what_it_does_is_wanted_no_more(
    tmp_path: Path,
) -> None:
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    page = Page(pages, notebook, lambda asked: None)
    await asyncio.sleep(0)
    asking = asyncio.create_task(pages.ask(ME, notebook, "run"))
    await page.hears("run")
    await page.leave()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    again = Page(pages, notebook, lambda asked: None)
    await again.hears("end")
    assert [(asked["action"], asked["id"]) for asked in again.heard] == [("end", page.heard[0]["id"])]
    await again.leave()


async def test_a_page_hears_that_a_question_has_ended_however_early(tmp_path: Path) -> None:
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    pages.show(ME, "p", {notebook: "a.ipynb"})
    with pages.attached(ME, "p") as queue:
        asking = asyncio.create_task(pages.ask(ME, notebook, "run"))
        asked = await queue.get()
        assert pages.claim(ME, "p", asked["id"])
        asking.cancel()  # before whoever asks has heard of the claim
        await asyncio.gather(asking, return_exceptions=True)
        assert queue.get_nowait()["action"] == "end"


async def test_another_process_reaches_the_pages_of_this_machines_servers(tmp_path: Path) -> None:
    pages, notebook, far = Pages(), tmp_path / "a.ipynb", FarPages(tmp_path)
    assert await far.ask(ME, notebook, "read") is None, "there is no server"
    page = Page(pages, notebook, lambda asked: None if asked["action"] == "run" else {"said": asked["x"]})
    await asyncio.sleep(0)
    async with reachable(pages, tmp_path / "other"):
        pass
    assert not any((tmp_path / "other" / "pages").iterdir())
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "1-killed.json").write_text("{}")
    async with reachable(Pages(), tmp_path), reachable(pages, tmp_path):
        assert len(list((tmp_path / "pages").iterdir())) == 2, (
            "whose server lives stays, what was killed goes"
        )
    async with reachable(pages, tmp_path):
        (record,) = (tmp_path / "pages").iterdir()
        assert record.stat().st_mode & 0o777 == 0o600
        assert await far.ask(ME, notebook, "read", x="y" * 1_000_000) == {"said": "y" * 1_000_000}
        assert await far.ask("somebody else", notebook, "read") is None
        asking = asyncio.create_task(far.ask(ME, notebook, "run"))
        while len(page.heard) < 2:  # noqa: ASYNC110 - the page rings no bell
            await asyncio.sleep(0.01)
        asking.cancel()
        while page.heard[-1]["action"] != "end":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        wrong = {**json.loads(record.read_text()), "secret": "guessed"}
        record.write_text(json.dumps(wrong))
        with pytest.raises(PageGone, match="may be open"):
            await far.ask(ME, notebook, "edit", x=1)
        await page.leave()
        record.write_text(json.dumps({**wrong, "port": free_port()}))
        assert await far.ask(ME, notebook, "edit") is None and not record.exists(), "it was killed"


async def test_a_page_is_told_when_nobody_waits_any_more(tmp_path: Path) -> None:
    pages, notebook = Pages(), tmp_path / "a.ipynb"
    page = Page(pages, notebook, lambda asked: None)
    await asyncio.sleep(0)
    asking = asyncio.create_task(pages.ask(ME, notebook, "run"))
    await page.hears("run")
    asking.cancel()
    await page.hears("end")
    assert [asked["action"] for asked in page.heard] == ["run", "end"]
    assert page.heard[0]["id"] == page.heard[1]["id"]
    await page.leave()


async def test_only_files_of_the_workspace_are_looked_for(tmp_path: Path) -> None:
    (workspace := tmp_path / "work").mkdir()
    outside, inside = tmp_path / "private.ipynb", workspace / "a.ipynb"
    outside.touch()
    inside.touch()
    (workspace / "link.ipynb").symlink_to(outside)
    (workspace / "same.ipynb").symlink_to(inside)
    pages = Pages()
    pages.show(ME, "p", {outside: "private.ipynb", inside: "work/a.ipynb"})
    opened = OpenNotebooks(pages, ME, workspace)
    for path in ("../private.ipynb", "link.ipynb", str(outside), "/workspace/../private.ipynb"):
        assert await opened.place(path, "/workspace") is None, path
    assert await opened.ask("b.ipynb", "/workspace", "read") is None
    for path in ("a.ipynb", "/workspace/a.ipynb", "./x/../a.ipynb", "same.ipynb"):
        assert await opened.place(path, "/workspace") == inside, path


async def test_what_a_page_refuses_is_said_with_its_reason(desk: Desk) -> None:
    written(desk.workspace / "a.ipynb")
    pages, notebook = Pages(), desk.workspace.resolve() / "a.ipynb"
    cell = {"cell_type": "code", "id": "load", "metadata": {}, "source": "typed", "outputs": []}
    stale = {"message": "", "cell": "load", "expected": digest("import pandas"), "source": "typed"}
    notes: dict[str, Json] = {
        "read": {
            "notebook": {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [cell]},
            "dirty": True,
        },
        "edit": {"refused": stale},
        "run": {"refused": {"message": "The notebook has no kernel.", "hint": "Choose one."}},
    }
    page = Page(pages, notebook, lambda asked: notes[asked["action"]])
    await asyncio.sleep(0)
    opened = OpenNotebooks(pages, ME, desk.workspace)

    async def call(name: str, notebooks: OpenNotebooks | None = opened, /, **args: Any) -> tuple[bool, str]:
        context = desk.context(notebooks=notebooks)
        output = await run_tool(tools_by_name(builtin_tools(pages=True)), name, args, context)
        return output.is_error, said(output)

    failed, text = await call("notebook_read", path="a.ipynb")
    assert not failed and "open, with changes that are not saved" in text and "| typed" in text
    failed, text = await call(
        "notebook_edit", path="a.ipynb", operations=[edit("load", "import pandas", "x")]
    )
    assert failed and "Cell 'load' was changed since you read it" in text and "typed" in text
    wanted = [{"cell": "load", "expected": digest("typed")}]
    assert await call("notebook_run", path="a.ipynb", cells=wanted) == (
        True, "The notebook has no kernel. Nothing was done. Choose one.",
    )  # fmt: skip
    await page.leave()
    failed, text = await call("notebook_run", None, path="a.ipynb", cells=wanted)
    assert failed and "a.ipynb is not open in JupyterLab" in text
    assert json.loads((desk.workspace / "a.ipynb").read_text())["cells"][1]["source"] == ["import pandas"]
