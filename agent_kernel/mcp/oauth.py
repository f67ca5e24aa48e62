"""The SDK's OAuth, where a login of ours needs more than it gives.

A login outlives the process: what a renewal needs is kept beside the tokens. And programs log in without a person:
with credentials of their own, or with what a company's identity provider says of whoever works with them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.auth.extensions.client_credentials import (
    ClientCredentialsOAuthProvider,
    PrivateKeyJWTOAuthProvider,
    SignedJWTParameters,
)
from mcp.client.auth.extensions.identity_assertion import IdentityAssertionOAuthProvider
from mcp.shared.auth import OAuthMetadata, ProtectedResourceMetadata
from pydantic import ValidationError

from agent_kernel.errors import SettingsError
from agent_kernel.events import Json
from agent_kernel.mcp.config import ServerConfig

ID_JAG = "urn:ietf:params:oauth:token-type:id-jag"
CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class PersonsLogin(OAuthClientProvider):
    """A login in a person's browser. `storage` also keeps where it was made (`get_place`, `set_place`)."""

    _older = ""

    async def _initialize(self) -> None:
        await super()._initialize()
        if self.context.current_tokens is not None and (kept := await self._kept.get_place()):
            context = self.context
            context.oauth_metadata = kept["server"] and OAuthMetadata.model_validate(kept["server"])
            context.protected_resource_metadata = kept["resource"] and (
                ProtectedResourceMetadata.model_validate(kept["resource"])
            )
            context.auth_server_url = kept["address"]
            context.token_expiry_time = kept["until"]
            self._older = kept["older"]

    @property
    def _kept(self) -> Any:
        return self.context.storage

    async def _handle_token_response(self, response: httpx2.Response) -> None:
        await super()._handle_token_response(response)
        await self._keep()

    async def _handle_refresh_response(self, response: httpx2.Response) -> bool:
        renewed = await super()._handle_refresh_response(response)
        if renewed:
            await self._keep()
        return renewed

    async def _keep(self) -> None:
        context = self.context
        place: Json = {
            "server": context.oauth_metadata and context.oauth_metadata.model_dump(mode="json"),
            "resource": context.protected_resource_metadata
            and context.protected_resource_metadata.model_dump(mode="json"),
            "address": context.auth_server_url,
            "until": context.token_expiry_time,
            "older": self._older,
        }
        await self._kept.set_place(place)

    def _expected_issuer(self) -> str:
        return self._older or super()._expected_issuer()

    async def _auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """The SDK's flow; begun anew, told whom to expect, at a server as `older_issuer` describes."""
        if not self.context.is_token_valid():
            self._initialized = False  # another process may have renewed them since
        flow = super()._auth_flow(request)
        try:
            outgoing = await anext(flow)
            while True:
                response = yield outgoing
                if not self._older and (issuer := await self._names_older(response)):
                    self._older = issuer
                    await flow.aclose()
                    flow = super()._auth_flow(request)
                    outgoing = await anext(flow)
                else:
                    outgoing = await flow.asend(response)
        except StopAsyncIteration:
            return
        finally:
            await flow.aclose()

    async def _names_older(self, response: httpx2.Response) -> str:
        if self.context.auth_server_url is not None or response.status_code != 200:
            return ""
        origin = self.context.get_authorization_base_url(self.context.server_url)
        if str(response.request.url) != f"{origin}/.well-known/oauth-authorization-server":
            return ""
        return older_issuer(await response.aread(), origin)


def older_issuer(metadata: bytes, origin: str) -> str:
    """The issuer below `origin` that a server of the protocol's first revision names there; "" for all else.

    RFC 8414 wants `origin` itself to be named. Revision 2025-03-26 had clients ask at the server's origin whatever
    its issuer was, and servers that still do so name one below it. It is believed only where the MCP server names no
    authorization server (every later revision has it do so), and only when all that is in the metadata is of that
    one origin: what it says then leads nowhere that the revision's fixed addresses (`/authorize`, `/token`) at the
    same origin, which are what is used when there is no metadata, would not have led.
    """
    try:
        said = OAuthMetadata.model_validate_json(metadata)
    except ValidationError:
        return ""
    issuer = str(said.issuer)
    named = [
        value
        for name, value in said.model_dump(mode="json", exclude_none=True).items()
        if name == "issuer" or name.endswith("_endpoint") or name == "jwks_uri"
    ]
    if urlsplit(issuer).path in ("", "/") or any(_origin(value) != _origin(origin) for value in named):
        return ""
    return issuer


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


# -- logins of programs ----------------------------------------------------------------------------------


class _Kept:
    """Tokens as long as the connection: a program gets new ones whenever it needs them."""

    def __init__(self, hide: Callable[[list[str]], None]) -> None:
        self._hide = hide

    async def get_tokens(self) -> Any:
        return None

    async def set_tokens(self, tokens: Any) -> None:
        self._hide([token for token in (tokens.access_token, tokens.refresh_token) if token])

    async def get_client_info(self) -> Any:
        return None

    async def set_client_info(self, client_info: Any) -> None:
        pass


def programs_login(
    config: ServerConfig,
    secrets: Mapping[str, str],
    hide: Callable[[list[str]], None],
    open_client: Callable[[str], httpx2.AsyncClient],
) -> httpx2.Auth:
    """How a run lets itself in where `config.grant` says so. `secrets` are the configuration's, filled in:
    `client_secret`, `private_key` and those of `idp`; they go to the issuer (and the identity provider) it names,
    nowhere else. `open_client(url)` is what the identity provider is asked with."""
    storage, scope = _Kept(hide), config.scope or None
    if config.grant == "cross_app_access":
        return IdentityAssertionOAuthProvider(
            config.url,
            storage,
            config.client_id,
            secrets["client_secret"],
            config.issuer,
            _assertion(config, secrets, hide, open_client),
            scope,
            "client_secret_basic",
        )
    if key := secrets.get("private_key"):
        signing = SignedJWTParameters(
            issuer=config.client_id,
            subject=config.client_id,
            signing_key=key,
            signing_algorithm=_algorithm(config, key),
        )
        return PrivateKeyJWTOAuthProvider(
            config.url, storage, config.client_id, signing.create_assertion_provider(), scope, config.issuer
        )
    return ClientCredentialsOAuthProvider(
        config.url,
        storage,
        config.client_id,
        secrets["client_secret"],
        scope=scope,
        issuer=config.issuer,
    )


def _algorithm(config: ServerConfig, key: str) -> str:
    """What a key signs with. Raises SettingsError when it is none."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        found = load_pem_private_key(key.encode(), None)
    except (ValueError, TypeError):
        raise SettingsError(
            f"Server {config.name}: private_key is no private key in PEM without a password.",
            hint="Its variable holds the whole of it, from -----BEGIN to END-----.",
        ) from None
    if isinstance(found, rsa.RSAPrivateKey):
        return "RS256"
    if isinstance(found, ed25519.Ed25519PrivateKey):
        return "EdDSA"
    curve = found.curve.name if isinstance(found, ec.EllipticCurvePrivateKey) else ""
    if curve not in CURVES:
        raise SettingsError(
            f"Server {config.name}: private_key is of a kind that nobody signs logins with.",
            hint="RSA, Ed25519, or one of the curves P-256, P-384 and P-521.",
        )
    return CURVES[curve]


def _assertion(
    config: ServerConfig,
    secrets: Mapping[str, str],
    hide: Callable[[list[str]], None],
    open_client: Callable[[str], httpx2.AsyncClient],
) -> Callable[[str, str], Awaitable[str]]:
    """Asks the company's identity provider to vouch for the person (RFC 8693, for an ID-JAG)."""

    async def vouched(audience: str, resource: str) -> str:
        data = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "requested_token_type": ID_JAG,
            "audience": audience,
            "resource": resource,
            "subject_token": secrets["id_token"],
            "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
            "client_id": config.idp["client_id"],
        }
        if config.scope:
            data["scope"] = config.scope
        if secret := secrets.get("idp_secret"):
            data["client_secret"] = secret
        endpoint = config.idp["token_endpoint"]
        async with open_client(endpoint) as client:
            response = await client.post(endpoint, data=data)
        try:
            said = response.json()
        except ValueError:
            said = None
        said = said if isinstance(said, dict) else {}
        token = said.get("access_token")
        if (
            response.status_code != 200
            or said.get("issued_token_type") != ID_JAG
            or not isinstance(token, str)
        ):
            why = str(said.get("error_description") or said.get("error") or f"HTTP {response.status_code}")
            raise SettingsError(
                f"The identity provider does not vouch for you at {config.name}: {why[:200]}.",
                hint="Is idp.id_token still valid?",
            )
        hide([token])
        return token

    return vouched
