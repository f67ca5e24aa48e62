"""Our client as the conformance suite starts it: `conformance_client.py URL`, the scenario in the environment."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2

from agent_kernel.errors import ToolError
from agent_kernel.mcp.config import Configuration
from agent_kernel.mcp.servers import McpServers

DOCUMENT = "https://conformance-test.local/client-metadata.json"
"""Where the suite expects a client to say what it is."""
CALLS = {"tools_call": ("add_numbers", {"a": 5, "b": 3}), "sse-retry": ("test_reconnection", {})}


async def main(url: str) -> None:
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    home = Path(os.environ["CONFORMANCE_HOME"])
    configuration = Configuration(home / "data", "conformance")
    given = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    if scenario == "auth/basic-cimd":
        given["client_id"] = DOCUMENT
    client = {key: given[key] for key in ("client_id", "client_secret") if key in given}
    if scenario.startswith(("auth/client-credentials", "auth/cross-app-access")):
        client |= grant(given, await issuer(url))
    configuration.add("suite", {"url": url, **client})
    servers = McpServers(configuration, home, hide=lambda _: None)
    await servers.find()
    try:
        if scenario.startswith("auth/") and "grant" not in client:
            await log_in(servers)
        connection = servers.connection("suite")
        tools = await connection.tools()
        name, args = CALLS.get(scenario, (tools[0].tool if tools else "", {}))
        if name and scenario != "initialize":
            try:
                print(await connection.call(name, dict(args), seconds=30, emit=print, ask=yes))
            except ToolError as error:
                if scenario != "auth/scope-step-up" or "wants you to log in" not in str(error):
                    raise
                print(error)  # a person hears it, and logs in with the rights that were missing
                await log_in(servers)
                print(
                    await servers.connection("suite").call(name, dict(args), seconds=30, emit=print, ask=yes)
                )
    finally:
        await servers.close()


def grant(given: dict[str, Any], issuer: str) -> dict[str, Any]:
    """What a person says of a server where programs log in by themselves; secrets as variables."""
    os.environ["PROGRAMS_SECRET"] = given.get("client_secret") or given["private_key_pem"]
    kind = "client_secret" if "client_secret" in given else "private_key"
    secret = {"issuer": issuer, kind: "${PROGRAMS_SECRET}"}
    if "idp_id_token" not in given:
        return {"grant": "client_credentials", **secret}
    os.environ["ID_TOKEN"] = given["idp_id_token"]
    idp = {
        "token_endpoint": given["idp_token_endpoint"],
        "client_id": given["idp_client_id"],
        "id_token": "${ID_TOKEN}",
    }
    return {"grant": "cross_app_access", **secret, "idp": idp}


async def issuer(url: str) -> str:
    """The login server of a server, as whoever runs it tells people."""
    parts = urlsplit(url)
    async with httpx2.AsyncClient(trust_env=False) as client:
        about = await client.get(
            f"{parts.scheme}://{parts.netloc}/.well-known/oauth-protected-resource{parts.path}"
        )
    return str(about.json()["authorization_servers"][0])


async def yes(*, scope: str, what: str, reason: str) -> bool:
    """A person who says yes to what a server asks."""
    return True


async def log_in(servers: McpServers) -> None:
    """A browser of one page: it follows the redirect that the suite's login page is."""
    login = await servers.login("suite", "http://127.0.0.1:9/callback")
    if address := await login.address():
        async with httpx2.AsyncClient(trust_env=False) as browser:
            response = await browser.get(address)
        login.give(dict(parse_qsl(urlsplit(response.headers["location"]).query)))
        await login.done()


asyncio.run(main(sys.argv[-1]))
