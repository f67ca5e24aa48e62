"""`agent-kernel mcp`: servers whose tools the agent can use, and our runs as a server for other agents."""

from __future__ import annotations

import asyncio
import json
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from agent_kernel.cli.base import folder, line
from agent_kernel.errors import SettingsError
from agent_kernel.settings import PERMISSIONS

if TYPE_CHECKING:
    from agent_kernel.mcp.config import Configuration, ServerConfig
    from agent_kernel.mcp.servers import McpServers

WORKSPACE = click.option(
    "--cwd", type=click.Path(path_type=Path), default=Path(), help="The folder worked in."
)
ASK_AGAIN = "Sessions that have begun get its tools with: %agent /tools refresh"


@click.group()
def mcp() -> None:
    """MCP servers: their tools for the agent, and our runs for other agents."""


def _configuration() -> Configuration:
    from agent_kernel.mcp.config import Configuration
    from agent_kernel.settings import load_settings

    settings = load_settings()
    return Configuration(settings.folder, settings.owner)


@mcp.command("list")
@WORKSPACE
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_servers(cwd: Path, as_json: bool) -> None:
    """The servers there are for a folder, and what of its .mcp.json waits to be trusted."""
    configuration = _configuration()
    workspace = folder(cwd)
    found = configuration.find(workspace)
    if as_json:
        servers = [
            {"name": one.name, "source": one.source, "kind": one.kind, "where": one.where,
             "on": one.name not in found.off}
            for one in found.servers
        ]  # fmt: skip
        waiting = [{"name": one.name, "kind": one.kind, "where": one.where} for one in found.waiting]
        print(json.dumps({"servers": servers, "waiting": waiting, "problems": found.problems}))
        return
    for server in found.servers:
        click.echo(_line(server, "off" if server.name in found.off else "on"))
    if not found.servers:
        click.echo("No servers yet. See: agent-kernel mcp templates")
    for problem in found.problems:
        click.echo(line(problem, 300), err=True)
    if found.waiting:
        click.echo(f"Not trusted yet, from {line(str(workspace), 200)}/.mcp.json (agent-kernel mcp trust):")
        for server in found.waiting:
            click.echo(_line(server, "waits"))


def _line(server: ServerConfig, state: str) -> str:
    return f"{server.name:<20} {state:<5}  {server.kind:<7}  {line(server.where, 120)}"


@mcp.command()
@click.argument("name")
@click.argument("target", nargs=-1)
@click.option("--template", metavar="NAME", help="One of `agent-kernel mcp templates`.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="'Name: value'",
    help="With ${VARIABLES} of your environment.",
)
@click.option(
    "--env", "variables", multiple=True, metavar="NAME=VALUE", help="For the program's environment."
)
@click.option("--on-host", is_flag=True, help="Run the program as you, outside the sandbox.")
@click.option(
    "--allow",
    multiple=True,
    metavar="TOOL",
    help="Let this tool run without asking while the server says it only reads (`*`: all such).",
)
@click.option("--client-id", help="For servers where you registered an app to log in with.")
@click.option("--client-secret", help="Its secret, as '${VARIABLE}' of your environment.")
@click.option("--grant", help="Runs log in by themselves: client_credentials or cross_app_access.")
@click.option("--issuer", help="The only login server that is given your secret.")
@click.option("--private-key", help="Instead of a secret: a key in PEM, as '${VARIABLE}'.")
@click.option("--scope", help="The rights a grant asks for.")
@click.option(
    "--idp",
    multiple=True,
    metavar="KEY=VALUE",
    help="Your company's identity provider: token_endpoint, client_id, client_secret, id_token.",
)
@click.option("--timeout", type=float, help="Seconds for one call.")
def add(name: str, target: tuple[str, ...], template: str | None, headers: tuple[str, ...],
        variables: tuple[str, ...], on_host: bool, allow: tuple[str, ...], idp: tuple[str, ...],
        **rest: Any) -> None:  # fmt: skip
    """Add a server: TARGET is its address, or (after --) the command line that starts it."""
    said = _from_template(template) if template else _from_target(target)
    if template and target:
        raise click.UsageError("Say a template or a target, one of the two.")
    if headers:
        said["headers"] = {**said.get("headers", {}), **dict(_pair(header, ":") for header in headers)}
    if variables:
        said["env"] = dict(_pair(variable, "=") for variable in variables)
    if idp:
        said["idp"] = dict(_pair(pair, "=") for pair in idp)
    if on_host:
        said["trusted"] = "host"
    if allow:
        said["allow"] = list(allow)
    said |= {key: value for key, value in rest.items() if value is not None}
    server = _configuration().add(name, said)
    click.echo(_line(server, "on"))
    click.echo(ASK_AGAIN, err=True)


def _from_template(template: str) -> dict[str, Any]:
    from agent_kernel.mcp.templates import TEMPLATES

    if template not in TEMPLATES:
        raise SettingsError(f"There is no template {template!r}.", hint=f"There are: {', '.join(TEMPLATES)}.")
    click.echo(f"Needs: {TEMPLATES[template].needs}", err=True)
    return dict(TEMPLATES[template].said)


def _from_target(target: tuple[str, ...]) -> dict[str, Any]:
    if not target:
        raise click.UsageError("Say the server's address, or `--` and its command line.")
    if len(target) == 1 and target[0].startswith(("http://", "https://")):
        return {"url": target[0]}
    try:
        command, *args = shlex.split(target[0]) if len(target) == 1 else target
    except ValueError as error:  # a quotation without an end, or nothing
        raise click.UsageError(f"{target[0]!r} is no command line: {error}.") from None
    return {"command": command, "args": list(args)}


def _pair(text: str, mark: str) -> tuple[str, str]:
    name, found, value = text.partition(mark)
    if not found or not name.strip():
        raise click.UsageError(f"{text.partition(mark)[0]!r} is not NAME{mark}VALUE.")
    return name.strip(), value.strip()


@mcp.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget a server of yours."""
    _configuration().remove(name)


@mcp.command()
@click.argument("name")
@click.option("--forget", is_flag=True, help="Keep it no more.")
def secret(name: str, forget: bool) -> None:
    """Keep what ${NAME} stands for in servers' settings, encrypted. It is asked for, or read from a pipe."""
    configuration = _configuration()
    if forget:
        asyncio.run(configuration.forget_secret(name))
        return
    piped = not sys.stdin.isatty()
    value = sys.stdin.read().strip() if piped else click.prompt(name, hide_input=True, err=True)
    if not value:
        raise SettingsError(
            f"Nothing was given for {name}.", hint=f"cat FILE | agent-kernel mcp secret {name}"
        )
    asyncio.run(configuration.keep_secret(name, value))
    click.echo(f"Kept. Servers' settings say it as ${{{name}}}.", err=True)


def _switch(state: str, says: str) -> None:
    @mcp.command(state, help=says)
    @click.argument("name")
    @WORKSPACE
    def switch(name: str, cwd: Path) -> None:
        _configuration().switch(name, state == "on", folder(cwd))


_switch("on", "Use a server again, from the next run on.")
_switch("off", "Leave a server alone, from the next run on.")


@mcp.command()
@WORKSPACE
@click.option("--yes", is_flag=True, help="Do not ask.")
def trust(cwd: Path, yes: bool) -> None:
    """Use the servers a folder's .mcp.json names, as long as nobody changes the file."""
    workspace, configuration = folder(cwd), _configuration()
    found = configuration.find(workspace)
    for server in found.waiting:
        click.echo(_line(server, "waits"))
    if found.waiting and not yes:
        click.confirm(
            "Their programs run in the sandbox; their answers reach the model. Trust them?", abort=True
        )
    for server in configuration.trust(workspace, found.untrusted):
        click.echo(_line(server, "on"))


@mcp.command()
@WORKSPACE
def distrust(cwd: Path) -> None:
    """Use a folder's .mcp.json no more."""
    _configuration().distrust(folder(cwd))


@mcp.command()
def templates() -> None:
    """Servers many people want, ready to add."""
    from agent_kernel.mcp.templates import TEMPLATES

    for name, template in TEMPLATES.items():
        click.echo(f"{name:<12} {template.says}.\n{'':<12} Needs {template.needs}.")
        click.echo(f"{'':<12} agent-kernel mcp add {name} --template {name}")


@mcp.command()
@click.argument("name")
@WORKSPACE
def test(name: str, cwd: Path) -> None:
    """Connect to a server as a run would, and list its tools."""

    async def look(servers: McpServers) -> None:
        from agent_kernel.mcp.connection import LoginNeeded, ServerFailed

        since = time.monotonic()
        try:
            tools = await servers.connection(name).tools()
        except LoginNeeded:
            raise
        except ServerFailed as error:  # its hint is for the model
            raise ServerFailed(error.message, hint="See how it is set up: agent-kernel mcp list") from None
        click.echo(f"{name}: {len(tools)} tools in {time.monotonic() - since:.1f} s")
        for tool in tools:
            effect = "only reads" if tool.read_only else "may change things"
            about = tool.description.removeprefix(f"[{name}] ")
            click.echo(f"  {line(tool.tool, 60)} ({effect}): {line(about, 80)}")

    asyncio.run(_with_servers(folder(cwd), look))


@mcp.command()
@click.argument("name")
@WORKSPACE
def login(name: str, cwd: Path) -> None:
    """Log in at a server, in your browser."""

    async def go(servers: McpServers) -> None:
        from agent_kernel.cli.mcp_login import browser_login

        await browser_login(servers, name)

    asyncio.run(_with_servers(folder(cwd), go))


@mcp.command()
@click.argument("name")
@WORKSPACE
def logout(name: str, cwd: Path) -> None:
    """Forget a login."""
    asyncio.run(_with_servers(folder(cwd), lambda servers: servers.logout(name)))


async def _with_servers(workspace: Path, use: Any) -> None:
    """`use` the folder's servers, with a sandbox of their own."""
    import tempfile

    from agent_kernel.mcp.servers import McpServers
    from agent_kernel.sandbox import open_sandbox
    from agent_kernel.sandbox.base import NetworkPolicy
    from agent_kernel.settings import load_settings

    settings = load_settings()
    servers = McpServers(_configuration(), workspace, hide=lambda _: None)
    with tempfile.TemporaryDirectory(prefix="agent-kernel-mcp-") as home:
        unsafe = settings.sandbox == "none"
        servers.sandbox = await open_sandbox(
            workspace=workspace,
            data_dir=home,
            allow_unsafe=unsafe,
            network=NetworkPolicy(allow=settings.network),
        )
        try:
            await servers.find()
            await use(servers)
        finally:
            await servers.close()
            await servers.sandbox.stop()


@mcp.command()
@WORKSPACE
@click.option("--model", help="A model's name; `demo` works offline, without AI.")
@click.option("--permission", type=click.Choice(PERMISSIONS), help="The most a run may do; nobody is asked.")
@click.option(
    "--http",
    "port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Streamable HTTP on this machine instead of stdio.",
)
def serve(cwd: Path, model: str | None, permission: str | None, port: int | None) -> None:
    """Serve our runs to other agents: start, follow, list and show them."""
    from agent_kernel.mcp_server import serve as serve_runs
    from agent_kernel.settings import load_settings

    settings = load_settings().with_overrides("command line", model=model, permission=permission)
    asyncio.run(serve_runs(settings, folder(cwd), port, tell=lambda address: click.echo(address, err=True)))
