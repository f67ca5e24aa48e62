"""Routes for the model a person sets up: in a browser, never from a kernel, whose code an agent may have written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.web import HTTPError

from jupyter_ext.door import Handler

if TYPE_CHECKING:
    from agent_kernel.account import Account
    from agent_kernel.choice import ModelChoice

open_door = allow_unauthenticated


class PersonHandler(Handler):
    """For people only."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.kernel is not None:
            raise HTTPError(403, "This is for the person to do, in the panel.")

    def choice(self) -> ModelChoice:
        from agent_kernel.choice import ModelChoice
        from jupyter_ext.schemas import ModelSetup

        return ModelChoice(**self.body(ModelSetup).model_dump(exclude_none=True))


class ModelHandler(PersonHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self) -> None:
        """The model in use and who set it up: `server`, `you` or nobody (empty). No key is shown."""
        self.reply(await shown_model(await self.account()))

    @open_door  # type: ignore[untyped-decorator]
    async def put(self) -> None:
        """Set up your model; the key is kept encrypted."""
        account = await self.account()
        choice = self.choice()
        await account.app.choices.put(self.owner, choice)
        account.app.redactor.keep(choice.secrets)
        self.reply(await shown_model(account))

    @open_door  # type: ignore[untyped-decorator]
    async def delete(self) -> None:
        """Forget your model and its key."""
        account = await self.account()
        await account.app.choices.forget(self.owner)
        self.reply(await shown_model(account))


class ModelTestHandler(PersonHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def post(self) -> None:
        """Ask the model for one word, with what the body says or (empty) with what is set up."""
        account = await self.account()
        choice = self.choice() if self.request.body not in (b"", b"{}") else None
        self.reply(await account.app.try_model(self.owner, choice))


async def shown_model(account: Account) -> dict[str, Any]:
    from agent_kernel.choice import applied, configured
    from agent_kernel.settings import DEMO_MODEL

    settings = account.app.settings
    by = "server" if configured(settings) else ""
    choice = None if by else await account.app.choices.get(account.owner)
    if choice is not None:
        settings, by = applied(settings, choice), "you"
    return {
        "by": by,
        "model": settings.model,
        "base_url": settings.base_url,
        "key": bool(settings.api_key or settings.auth_token),
        "demo": settings.model.startswith(DEMO_MODEL),
    }
