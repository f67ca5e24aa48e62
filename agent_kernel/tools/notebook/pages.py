"""Notebooks that are open in somebody's browser: who has which, and how they are asked.

A page says which notebooks it has open, hears questions over its event stream and answers by REST. Of several pages
with the same notebook the first that claims a question carries it out. A page that does not answer is taken to be
gone, and whoever asked goes on with the file.
"""

from __future__ import annotations

import asyncio
import posixpath
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from agent_kernel.errors import ToolError
from agent_kernel.events import Json

CLAIM = 4.0
"""Seconds in which one of the pages has to claim a question."""
ANSWER = 30.0
"""Seconds for a page to read or change its notebook; running cells has its own bound."""
GRACE = 8.0
"""Seconds a page may be without its stream: it opens a new one whenever it follows other runs."""
MOST_PAGES, MOST_NOTEBOOKS, MOST_ENDED = 50, 200, 20


class PageGone(ToolError):
    """The page that had begun did not come to an end; what it did is not known."""


@dataclass(slots=True)
class _Page:
    owner: str
    id: str
    notebooks: dict[Path, str] = field(default_factory=dict)
    queue: asyncio.Queue[Json] | None = None
    left: float = 0.0
    ended: deque[Json] = field(default_factory=lambda: deque(maxlen=MOST_ENDED))
    """What says that something it may still be doing is wanted no more."""

    @property
    def here(self) -> bool:
        return self.queue is not None or time.monotonic() - self.left < GRACE


@dataclass(slots=True)
class _Question:
    asked: Json
    notebook: Path
    pages: list[_Page]
    claimed: asyncio.Future[_Page]
    answer: asyncio.Future[Json]


class Pages:
    """The pages of all people of this server."""

    def __init__(self) -> None:
        self._pages: dict[tuple[str, str], _Page] = {}
        self._questions: dict[str, _Question] = {}

    # -- what pages do ---------------------------------------------------------------------------------

    @contextmanager
    def attached(self, owner: str, page_id: str) -> Iterator[asyncio.Queue[Json]]:
        """While the page's stream is open; what it is asked, also what it was asked before and has not answered."""
        page = self._page(owner, page_id)
        queue = page.queue = asyncio.Queue[Json]()
        for end in page.ended:  # its last stream may have been lost before it said so
            queue.put_nowait(end)
        for question in self._questions.values():
            if page in question.pages and not question.answer.done():
                queue.put_nowait(question.asked)
        try:
            yield queue
        finally:
            if page.queue is queue:
                page.queue, page.left = None, time.monotonic()

    def show(self, owner: str, page_id: str, notebooks: Mapping[Path, str]) -> None:
        """The notebooks a page has open, by where they are and by what the page calls them; what is being asked
        about one of them is asked here, too: the page it was asked of may be this one before it was loaded anew."""
        page = self._page(owner, page_id)
        page.notebooks = dict(notebooks)
        for question in self._questions.values():
            mine = question.asked["owner"] == owner and question.notebook in notebooks
            if mine and page not in question.pages and not question.claimed.done():
                question.pages.append(page)
                if page.queue is not None:
                    page.queue.put_nowait(question.asked)

    def claim(self, owner: str, page_id: str, question_id: str) -> bool:
        """Whether the page is the one to carry it out. Asked again, the same answer."""
        question, page = self._question(owner, question_id), self._pages.get((owner, page_id))
        if question is None or page not in question.pages or question.answer.done():
            return False
        if not question.claimed.done():
            question.claimed.set_result(page)
        return question.claimed.result() is page

    def answer(self, owner: str, page_id: str, question_id: str, answer: Json) -> bool:
        """False when nobody waits for it any more."""
        if not self.claim(owner, page_id, question_id):
            return False
        self._questions[question_id].answer.set_result(answer)
        return True

    def _page(self, owner: str, page_id: str) -> _Page:
        self._forget()
        mine = [page for page in self._pages.values() if page.owner == owner and page.id != page_id]
        if len(mine) >= MOST_PAGES:
            del self._pages[(owner, min(mine, key=lambda page: page.left).id)]
        return self._pages.setdefault((owner, page_id), _Page(owner, page_id, left=time.monotonic()))

    def _forget(self) -> None:
        for key in [key for key, page in self._pages.items() if not page.here]:
            del self._pages[key]

    def _question(self, owner: str, question_id: str) -> _Question | None:
        question = self._questions.get(question_id)
        return question if question and question.asked["owner"] == owner else None

    # -- what tools do -----------------------------------------------------------------------------------

    def having(self, owner: str, notebook: Path) -> list[_Page]:
        """The owner's pages that have it open."""
        self._forget()
        return [page for page in self._pages.values() if page.owner == owner and notebook in page.notebooks]

    async def ask(
        self, owner: str, notebook: Path, action: str, within: float = ANSWER, **said: Any
    ) -> Json | None:
        """What a page with the notebook open answers; None when there is none. Raises PageGone."""
        pages = self.having(owner, notebook)
        if not pages:
            return None
        loop = asyncio.get_running_loop()
        asked: Json = {"id": uuid4().hex, "owner": owner, "action": action, **said}
        question = _Question(asked, notebook, pages, loop.create_future(), loop.create_future())
        self._questions[asked["id"]] = question
        for page in pages:
            asked["path"] = page.notebooks[notebook]  # every page of one server calls it the same
            if page.queue is not None:
                page.queue.put_nowait(asked)
        try:
            await asyncio.wait({question.claimed}, timeout=CLAIM)
            if not question.claimed.done():
                for page in pages:  # until they say again what they have
                    page.notebooks.pop(notebook, None)
                return None
            return await self._answered(question, notebook, within)
        finally:
            if question.claimed.done() and not question.answer.done():
                self._end(question)
            del self._questions[asked["id"]]
            for future in (question.claimed, question.answer):
                future.cancel()

    async def _answered(self, question: _Question, notebook: Path, within: float) -> Json:
        page, since = question.claimed.result(), time.monotonic()
        while page.here and time.monotonic() - since < within:
            await asyncio.wait({question.answer}, timeout=0.5)
            if question.answer.done():
                return question.answer.result()
        raise PageGone(
            f"The page in which {notebook.name} is open did not answer; what it did is not known.",
            hint="Read the notebook again.",
        )

    @staticmethod
    def _end(question: _Question) -> None:
        page, end = question.claimed.result(), {"id": question.asked["id"], "action": "end", "path": ""}
        page.ended.append(end)
        if page.queue is not None:
            page.queue.put_nowait(end)


class Asks(Protocol):
    """Asks the pages that have a notebook open."""

    async def ask(
        self, owner: str, notebook: Path, action: str, within: float = ANSWER, **said: Any
    ) -> Json | None:
        """What a page answers; None when none has the notebook open. Raises PageGone."""
        ...


@dataclass(frozen=True, slots=True)
class OpenNotebooks:
    """The notebooks one person has open in a session's workspace, named as the session's tools name files."""

    pages: Asks
    owner: str
    workspace: Path

    async def place(self, path: str, workdir: str) -> Path | None:
        """Where the file is on this machine; None outside of the workspace."""
        inside = posixpath.relpath(posixpath.normpath(posixpath.join(workdir, path)), workdir)
        if inside.startswith("../"):
            return None
        found = await asyncio.to_thread((self.workspace / inside).resolve)
        home = await asyncio.to_thread(self.workspace.resolve)
        return found if found.is_relative_to(home) else None

    async def ask(
        self, path: str, workdir: str, action: str, within: float = ANSWER, **said: Any
    ) -> Json | None:
        """What the page answers; None when the notebook is not open. Raises ToolError for a refusal."""
        notebook = await self.place(path, workdir)
        if notebook is None:
            return None
        answer = await self.pages.ask(self.owner, notebook, action, within, **said)
        refuse(answer or {})
        return answer


class Refused(ToolError):
    """The page did not do it; `said` is all it says of why."""

    def __init__(self, message: str, *, hint: str = "", said: Json) -> None:
        super().__init__(message, hint=hint)
        self.said = said


def refuse(answer: Json) -> None:
    """Raises Refused where the page has not done what it was asked."""
    if refused := answer.get("refused"):
        raise Refused(str(refused.get("message", "refused")), hint=str(refused.get("hint", "")), said=refused)
