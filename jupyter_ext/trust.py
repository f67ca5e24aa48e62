"""Routes for trust in files of a workspace: a person looks at them in a browser; no kernel may say yes."""

from __future__ import annotations

from jupyter_server.auth.decorator import allow_unauthenticated

from jupyter_ext.models import PersonHandler

open_door = allow_unauthenticated


class AskingHandler(PersonHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """What waits for trust in a `workspace`: skills, agents, `.mcp.json`, with their files and one hash each."""
        workspace = await self.workspace(self.get_query_argument("workspace"))
        self.reply({"asking": await (await self.account()).asking(workspace)})

    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Trust one of them as it was shown; what is left."""
        from jupyter_ext.schemas import Yes

        body = self.body(Yes)
        workspace = await self.workspace(body.workspace)
        account = await self.account()
        await account.trust(workspace, body.kind, body.name, body.hash)
        self.reply({"asking": await account.asking(workspace)})
