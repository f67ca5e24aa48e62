"""Routes for skills: which there are, and a person's own: begun, written, uploaded, removed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError

from agent_kernel.errors import SkillError
from jupyter_ext.door import BadRequest, Handler
from jupyter_ext.route import Route

if TYPE_CHECKING:
    from agent_kernel.events import Json
    from agent_kernel.skills import Library, Skill

T = TypeVar("T")
open_door = allow_unauthenticated


class SkillHandler(Handler):
    """The person's own lie in the home of whoever runs the server: others who log in there may not write them."""

    def only_the_servers_own(self) -> None:
        from jupyter_ext.people import owner_of

        if self.kernel is not None:
            raise HTTPError(403, "This is for the person to do, in the panel or with agent-kernel skills.")
        if self.owner != owner_of(None, self.identity_provider):
            raise HTTPError(
                403, "Only who runs this server can change its skills: they would be everybody's."
            )

    async def library(self) -> Library:
        """With those of the workspace, where a `session` is named."""
        account = await self.account()
        session_id = self.get_query_argument("session", "")
        session = await account.get_session(session_id) if session_id else None
        return await account.app.skills(session, self.owner)

    async def change(self, work: Callable[..., T], *args: Any) -> T:
        """What cannot be done to a skill that is there is a bad request."""
        try:
            return await asyncio.to_thread(work, *args)
        except SkillError as error:
            raise BadRequest(error.message, hint=error.hint.replace("Say --replace", "Choose")) from None

    async def reply_skill(self, skill: Skill, status: int = 200) -> None:
        self.reply(await asyncio.to_thread(_told, skill), status)


class SkillsHandler(SkillHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """Skills and their state, nearest first; with `session`, those of its workspace too."""
        account = await self.account()
        self.reply({"skills": await account.skills(self.get_query_argument("session", None))})

    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Begin a skill of one's own, from the template."""
        from agent_kernel.skills.own import begin, own_folder
        from jupyter_ext.schemas import NewSkill

        self.only_the_servers_own()
        body = self.body(NewSkill)
        skill = await self.change(begin, own_folder(), body.name, body.description)
        await self.reply_skill(skill, 201)


class UploadHandler(SkillHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Install the skills of a ZIP file, which is the body; `replace=1` replaces those of the same name."""
        from agent_kernel.skills.install import install
        from agent_kernel.skills.own import own_folder

        self.only_the_servers_own()
        if not self.request.body:
            raise BadRequest("The body is empty.", hint="Send the ZIP file itself.")
        replace = self.get_query_argument("replace", "0") == "1"

        def put() -> list[Json]:
            with tempfile.TemporaryDirectory() as scratch:
                archive = Path(scratch) / "upload.zip"
                archive.write_bytes(self.request.body)
                return [_told(skill) for skill in install(archive, own_folder(), replace=replace)]

        self.reply({"skills": await self.change(put)}, 201)


class OneSkillHandler(SkillHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, name: str) -> None:
        """What a skill says, its files, and what is wrong with it."""
        await self.reply_skill((await self.library()).find(name).skill)

    @open_door  # type: ignore[untyped-decorator]
    async def put(self, name: str) -> None:
        """Give a skill of one's own another `SKILL.md`."""
        from agent_kernel.skills.own import owned, write
        from jupyter_ext.schemas import SkillText

        self.only_the_servers_own()
        skill = await self.change(owned, await self.library(), name)
        await self.reply_skill(await self.change(write, skill, self.body(SkillText).text))

    @open_door  # type: ignore[untyped-decorator]
    async def delete(self, name: str) -> None:
        """Delete a skill of one's own."""
        from agent_kernel.skills.install import remove
        from agent_kernel.skills.own import owned

        self.only_the_servers_own()
        await self.change(remove, await self.change(owned, await self.library(), name))
        self.reply({})


def _told(skill: Skill) -> Json:
    from agent_kernel.skills import examine
    from agent_kernel.skills.contents import contents
    from agent_kernel.skills.own import read

    inside = contents(skill.folder)
    return {
        "name": skill.name,
        "description": skill.description,
        "scope": skill.scope,
        "folder": str(skill.folder),
        "text": read(skill),
        "files": [{"path": file.path, "size": file.size} for file in inside.files],
        "problems": [{"level": problem.level, "text": problem.text} for problem in examine(skill)],
    }


SKILL_ROUTES: tuple[Any, ...] = (
    Route("skills", SkillsHandler, {"post": "NewSkill"}, ("session",)),
    Route("skills/upload", UploadHandler, query=("replace",)),
    Route("skills/{skill}", OneSkillHandler, {"put": "SkillText"}, ("session",)),
)
