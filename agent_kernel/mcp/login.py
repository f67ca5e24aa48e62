"""Logging in at a server that asks for it: OAuth in the person's browser, by the SDK's own flow.

A run never logs in: it says that a person has to. A person does, from the command line or through the Jupyter
server, and the tokens stay in the vault.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx2

from agent_kernel.errors import SettingsError
from agent_kernel.mcp.config import ServerConfig
from agent_kernel.mcp.connection import LoginNeeded, reason
from agent_kernel.vault import Vault

NOWHERE = "http://127.0.0.1/callback"
LONGEST_LOGIN = 600.0
KINDS = ("tokens", "client", "place")
"""What is kept of a login."""


class Storage:
    """The SDK's token storage on our vault. `keep` hears each token: it must not reach an event. `client` is an
    id and a secret (or "") that the person registered. `anew`: what is kept counts only once it has been replaced,
    so that a login which comes to nothing leaves the old one as it was."""

    def __init__(
        self,
        vault: Vault,
        url: str,
        keep: Callable[[list[str]], None],
        client: tuple[str, str] = ("", ""),
        *,
        anew: bool = False,
    ) -> None:
        self._vault = vault
        self._url = url
        self._keep = keep
        self._client = client
        self._passed_over = set(KINDS) if anew else set()

    async def get_tokens(self) -> Any:
        return await self._get("tokens")

    async def set_tokens(self, tokens: Any) -> None:
        await self._set("tokens", tokens)
        await self._vault.forget(f"scope {self._url}")

    async def wanted(self) -> str:
        """Rights that a run was refused for want of."""
        return str(await self._vault.get(f"scope {self._url}") or "")

    async def want(self, scope: str) -> None:
        await self._vault.put(f"scope {self._url}", scope)

    async def get_place(self) -> Any:
        """Where the tokens came from and until when they hold, as `oauth.PersonsLogin` left it; or None."""
        return None if "place" in self._passed_over else await self._vault.get(f"place {self._url}")

    async def set_place(self, place: Any) -> None:
        self._passed_over.discard("place")
        await self._vault.put(f"place {self._url}", place)

    async def forget(self) -> None:
        for kind in KINDS:
            await self._vault.forget(f"{kind} {self._url}")

    async def get_client_info(self) -> Any:
        if not self._client[0] or is_document(self._client[0]):
            return await self._get("client")
        from mcp.shared.auth import OAuthClientInformationFull

        name, secret = self._client
        method = "client_secret_basic" if secret else "none"
        return OAuthClientInformationFull.model_validate(
            {
                "client_id": name,
                "client_secret": secret or None,
                "redirect_uris": [NOWHERE],
                "token_endpoint_auth_method": method,
            }
        )

    async def set_client_info(self, client_info: Any) -> None:
        await self._set("client", client_info)

    async def _get(self, kind: str) -> Any:
        from mcp.shared.auth import OAuthClientInformationFull, OAuthToken

        said = None if kind in self._passed_over else await self._vault.get(f"{kind} {self._url}")
        if said is None:
            return None
        found = (OAuthToken if kind == "tokens" else OAuthClientInformationFull).model_validate(said)
        self._hide(found)
        return found

    async def _set(self, kind: str, value: Any) -> None:
        self._hide(value)
        self._passed_over.discard(kind)
        await self._vault.put(f"{kind} {self._url}", value.model_dump(mode="json"))

    def _hide(self, value: Any) -> None:
        names = ("access_token", "refresh_token", "client_secret")
        self._keep([secret for name in names if (secret := getattr(value, name, None))])


def provider(
    config: ServerConfig,
    storage: Storage,
    redirect_uri: str,
    show: Callable[[str], Awaitable[None]],
    answered: Callable[[], Awaitable[Any]],
) -> Any:
    """The SDK's OAuth for `config`."""
    from mcp.shared.auth import OAuthClientMetadata

    from agent_kernel.mcp.oauth import PersonsLogin

    about = {"client_name": "agent-kernel", "redirect_uris": [redirect_uri]}
    return PersonsLogin(
        config.url,
        OAuthClientMetadata.model_validate(about),
        storage,
        redirect_handler=show,
        callback_handler=answered,
        client_metadata_url=config.client_id if is_document(config.client_id) else None,
    )


def is_document(client_id: str) -> bool:
    """A client id that is the address of a document about the client, which the person has put on the web."""
    return client_id.startswith("https://")


class KeptLogin(httpx2.Auth):
    """What a run has: the login a person made before, renewed as long as that works. It never begins one."""

    def __init__(self, config: ServerConfig, storage: Storage) -> None:
        self._config = config
        self._storage = storage
        self._provider: Any = None

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        if self._provider is None and await self._storage.get_tokens() is not None:
            self._provider = provider(self._config, self._storage, NOWHERE, self._refuse, self._refuse)
        if self._provider is None:
            response = yield request
            if response.status_code == 401:
                await self._refuse()
            return
        flow = self._provider.async_auth_flow(request)
        try:
            outgoing = await anext(flow)
            while True:
                outgoing = await flow.asend((yield outgoing))
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    async def _refuse(self, *address: str) -> Any:
        """`address` is where a person would log in; the rights in it are what the next login asks for."""
        if address and (scope := _query(address[0]).get("scope")):
            await self._storage.want(scope)
        raise LoginNeeded(
            f"{self._config.name} wants you to log in first.",
            hint=f"A person can: agent-kernel mcp login {self._config.name}",
        )


def _query(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query))


class Login:
    """One login under way. `address` is where the person's browser goes; `give` takes what it came back with."""

    def __init__(self, config: ServerConfig, redirect_uri: str) -> None:
        self.config = config
        self.redirect_uri = redirect_uri
        loop = asyncio.get_running_loop()
        self._address: asyncio.Future[str] = loop.create_future()
        self._answer: asyncio.Future[Any] = loop.create_future()
        self._task: asyncio.Task[None] | None = None
        self._storage: Storage | None = None

    def begin(self, connect: Callable[[Any], Awaitable[None]], storage: Storage) -> None:
        """`connect(auth)` talks to the server until it is let in."""
        self._storage = storage
        auth = provider(self.config, storage, self.redirect_uri, self._show, self._answered)
        self._task = asyncio.create_task(self._work(connect, auth))

    async def _work(self, connect: Callable[[Any], Awaitable[None]], auth: Any) -> None:
        async with asyncio.timeout(LONGEST_LOGIN):
            await connect(auth)

    async def _show(self, address: str) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise SettingsError(
                f"{self.config.name} sends people to {address[:200]!r}, which is no web page."
            )
        assert self._storage is not None
        if wanted := await self._storage.wanted():
            query = _query(address)
            query["scope"] = " ".join(dict.fromkeys(f"{query.get('scope', '')} {wanted}".split()))
            address = urlunsplit(urlsplit(address)._replace(query=urlencode(query)))
        if not self._address.done():
            self._address.set_result(address)

    async def _answered(self) -> Any:
        return await self._answer

    async def address(self) -> str:
        """Where to log in; empty when the server lets us in without. Raises SettingsError when it cannot be."""
        assert self._task is not None
        both: set[asyncio.Future[Any]] = {self._address, self._task}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if self._address.done():
            return self._address.result()
        await self.done()
        return ""

    async def state(self) -> str:
        """What tells the browser's way back from anybody else's."""
        return _query(await self.address()).get("state", "")

    def give(self, query: dict[str, str]) -> None:
        """What the browser came back with: `code` and `state`, or `error`."""
        from mcp.shared.auth import AuthorizationCodeResult

        if self._answer.done():
            return
        if query.get("code"):
            said = {name: query[name] for name in ("code", "state", "iss") if name in query}
            self._answer.set_result(AuthorizationCodeResult(**said))
        else:
            why = query.get("error_description") or query.get("error") or "nothing"
            self._answer.set_exception(SettingsError(f"{self.config.name} did not log you in: {why[:200]}."))

    async def done(self) -> None:
        """Until the tokens are kept. Raises SettingsError with the reason."""
        assert self._task is not None
        try:
            await asyncio.shield(self._task)
        except TimeoutError:
            raise SettingsError(f"Nobody logged in at {self.config.name}.", hint="Try again.") from None
        except SettingsError:
            raise
        except Exception as error:
            raise SettingsError(f"The login at {self.config.name} failed: {reason(error)}.") from error

    def on_end(self, ended: Callable[[], object]) -> None:
        """`ended()` is called when the login is over, however."""
        assert self._task is not None
        self._task.add_done_callback(lambda _: ended())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
