"""Routes for browser pages: which notebooks each has open, and what it answers when a tool asks about one.

The questions go out over the page's event stream (`stream.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError

from jupyter_ext.door import BadRequest, Handler

if TYPE_CHECKING:
    from agent_kernel.tools.notebook.pages import Pages


class PagesHandler(Handler):
    """Base of those that only a person's page may use."""

    async def pages(self) -> Pages:
        if self.notebook is not None:
            raise HTTPError(403, "What a person has open is not for a kernel to say.")
        pages = (await self.account()).app.pages
        assert pages is not None, "the extension gives its App one"
        return pages


class PageHandler(PagesHandler):
    @allow_unauthenticated  # type: ignore[untyped-decorator]
    async def put(self, page: str) -> None:
        """The notebooks this page has open, by Jupyter's own paths."""
        from agent_kernel.tools.notebook.pages import MOST_NOTEBOOKS
        from jupyter_ext.schemas import OpenNotebooks

        body = self.body(OpenNotebooks)
        if len(body.notebooks) > MOST_NOTEBOOKS:
            raise BadRequest(f"{len(body.notebooks)} notebooks are more than a page may name.")
        places = {await self.place_of(notebook): notebook for notebook in body.notebooks}
        (await self.pages()).show(self.owner, page, places)
        self.reply({})


class ClaimHandler(PagesHandler):
    @allow_unauthenticated  # type: ignore[untyped-decorator]
    async def post(self, page: str, question: str) -> None:
        """Take a question; `yours` is false when another page has it or nobody waits any more."""
        self.reply({"yours": (await self.pages()).claim(self.owner, page, question)})


class PageAnswerHandler(PagesHandler):
    @allow_unauthenticated  # type: ignore[untyped-decorator]
    async def post(self, page: str, question: str) -> None:
        """What became of it; `heard` is false when nobody waits any more."""
        from jupyter_ext.schemas import PageAnswer

        answer = self.body(PageAnswer).answer
        self.reply({"heard": (await self.pages()).answer(self.owner, page, question, answer)})
