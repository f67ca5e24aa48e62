"""Logins outlive the process; programs log in by themselves; and nobody's secret goes where it does not belong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner

from agent_kernel.cli import main
from agent_kernel.errors import SettingsError
from agent_kernel.mcp.config import server
from agent_kernel.mcp.login import Storage
from agent_kernel.mcp.oauth import older_issuer
from agent_kernel.mcp.servers import McpServers
from agent_kernel.vault import Vault
from tests.mcp.conftest import Switchboard

ORIGIN = "https://old.example"
BASIC = {"url": f"{ORIGIN}/mcp", "grant": "client_credentials", "client_id": "me", "issuer": "https://login.example",
         "client_secret": "${S}"}  # fmt: skip
CROSS = {**BASIC, "grant": "cross_app_access",
         "idp": {"token_endpoint": "https://idp.example/token", "client_id": "app", "id_token": "${T}"}}  # fmt: skip


def metadata(issuer: str, **other: str) -> bytes:
    said = {
        "issuer": issuer,
        "authorization_endpoint": f"{ORIGIN}/oauth/authorize",
        "token_endpoint": f"{ORIGIN}/oauth/token",
        "registration_endpoint": f"{ORIGIN}/oauth/register",
        "response_types_supported": ["code"],
    }
    return json.dumps({**said, **other}).encode()


def test_an_issuer_below_the_servers_own_origin_is_one_of_the_first_revision() -> None:
    assert older_issuer(metadata(f"{ORIGIN}/oauth"), ORIGIN) == f"{ORIGIN}/oauth"


@pytest.mark.parametrize(
    "said",
    [
        metadata("https://bank.example/oauth"),  # it would vouch for the bank's answers (RFC 9207)
        metadata("https://bank.example"),
        metadata("http://old.example/oauth"),
        metadata("https://old.example:8443/oauth"),
        metadata(ORIGIN),  # nothing unusual: the SDK's own check is for it
        metadata(f"{ORIGIN}/oauth", authorization_endpoint="https://bank.example/authorize"),
        metadata(f"{ORIGIN}/oauth", token_endpoint="https://old.example.evil/token"),
        metadata(f"{ORIGIN}/oauth", registration_endpoint="https://evil.example/register"),
        b"{}",
        b"no JSON",
    ],
)
def test_any_other_issuer_is_not(said: bytes) -> None:
    assert older_issuer(said, ORIGIN) == ""


@contextmanager
def web(answers: dict[str, Any], heard: list[str]) -> Iterator[str]:
    """A server whose /mcp wants a login, with JSON at the other paths; `heard` gets each request's line and body."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            heard.append(f"{self.path} {body.decode()} {self.headers.get('authorization', '')}")
            self.send_error(401)

        def do_GET(self) -> None:
            heard.append(self.path)
            said = answers.get(self.path)
            self.send_response(200 if said else 404)
            self.end_headers()
            self.wfile.write(json.dumps(said or {}).encode())

        def log_message(self, *_: object) -> None: ...

    running = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


async def test_a_server_that_names_its_login_server_is_held_to_that_name(board: Switchboard) -> None:
    answers: dict[str, Any] = {}
    with web(answers, []) as own:
        said = json.loads(metadata(f"{own}/oauth").replace(ORIGIN.encode(), own.encode()))
        answers["/.well-known/oauth-protected-resource"] = {
            "resource": f"{own}/mcp",
            "authorization_servers": [own],
        }
        answers["/.well-known/oauth-authorization-server"] = said
        board.add("newer", url=f"{own}/mcp")
        login = await board.servers.login("newer", "http://127.0.0.1:9/callback")
        with pytest.raises(SettingsError, match="issuer mismatch"):
            await login.address()


async def log_in(board: Switchboard, name: str) -> None:
    login = await board.servers.login(name, "http://127.0.0.1:9/callback")
    async with httpx2.AsyncClient(trust_env=False) as browser:
        response = await browser.get(await login.address())
    login.give(dict(httpx2.URL(response.headers["location"]).params))
    await login.done()


async def test_a_login_that_has_run_out_is_renewed_by_the_next_process(
    board: Switchboard, guarded_http: str
) -> None:
    board.add("guarded", url=guarded_http)
    await log_in(board, "guarded")
    storage = Storage(Vault(board.configuration.folder / "logins"), guarded_http, lambda _: None)
    first = (await storage.get_tokens()).access_token
    place = await storage.get_place()
    await storage.set_place({**place, "until": 1.0})

    hidden: list[str] = []
    later = McpServers(board.configuration, board.servers.workspace, hide=hidden.extend)
    await later.find()
    try:
        assert [tool.tool for tool in await later.connection("guarded").tools()] == ["secret"]
    finally:
        await later.close()
    kept = await storage.get_tokens()
    assert kept.access_token != first and kept.access_token in hidden
    assert (await storage.get_place())["until"] > 1.0


async def test_a_programs_secret_goes_to_its_issuer_only(board: Switchboard) -> None:
    """The server names a login server of its own; the person named another one."""
    answers: dict[str, Any] = {}
    heard: list[str] = []
    with web(answers, heard) as own:
        said = json.loads(metadata(own).replace(ORIGIN.encode(), own.encode()))
        answers["/.well-known/oauth-protected-resource"] = {
            "resource": f"{own}/mcp",
            "authorization_servers": [own],
        }
        answers["/.well-known/oauth-authorization-server"] = said
        for name, more in (("basic", BASIC), ("cross", CROSS)):
            here = {"url": f"{own}/mcp", "issuer": "http://127.0.0.1:9", "client_secret": "${SECRET_TOKEN}"}
            board.add(name, **{**more, **here})
        await board.servers.find()
        _, failed = await board.servers.listed()
    assert set(failed) == {"basic", "cross"}
    assert "issuer mismatch" in failed["basic"]
    assert heard
    assert not [line for line in heard if "s3cr3t" in line or line.startswith("/oauth/token")]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({**BASIC, "grant": "password"}, "there is no grant 'password'"),
        ({**BASIC, "issuer": ""}, "needs issuer too"),
        ({**BASIC, "issuer": "http://login.example"}, "is no https address"),
        ({**BASIC, "private_key": "${K}"}, "one of the two"),
        ({**BASIC, "idp": CROSS["idp"]}, "idp.client_id is nothing client_credentials knows"),
        ({**CROSS, "idp": {"client_id": "app"}}, "needs idp.token_endpoint, idp.id_token too"),
        ({**CROSS, "idp": {**CROSS["idp"], "token_endpoint": "http://idp.example"}}, "idp.token_endpoint"),  # type: ignore[dict-item]
        ({"command": "x", "grant": "client_credentials", "client_secret": "${S}"}, "needs url"),
        ({**BASIC, "client_secret": "hunter2"}, "client_secret stands there in the clear"),
        ({"url": "https://a.example", "issuer": "https://b.example"}, "issuer belongs to a `grant`"),
    ],
)
def test_a_grant_that_cannot_work_is_refused_with_the_reason(said: Any, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        server("board", said, "user")


def test_no_workspace_says_how_programs_log_in() -> None:
    with pytest.raises(SettingsError, match="cannot be said by a workspace"):
        server("board", BASIC, "workspace")


async def test_a_key_that_is_none_is_said_without_showing_it(board: Switchboard) -> None:
    said = {key: value for key, value in BASIC.items() if key != "client_secret"}
    board.add("board", **{**said, "url": "http://127.0.0.1:9/mcp", "private_key": "${SECRET_TOKEN}"})
    await board.servers.find()
    _, failed = await board.servers.listed()
    assert "private_key is no private key in PEM" in failed["board"]
    assert "s3cr3t" not in failed["board"]
    with pytest.raises(SettingsError, match="Runs log in at board by themselves"):
        await board.servers.login("board", "http://127.0.0.1:9/callback")


def test_a_kept_secret_fills_a_variable_and_lies_on_no_disk_in_the_clear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    runner, secret, heard = CliRunner(), "kept-1234567890", []  # type: ignore[var-annotated]
    done = runner.invoke(main, ["mcp", "secret", "BOARD_KEY"], input=f"{secret}\n")
    assert (done.exit_code, secret in done.output) == (0, False), done.output
    with web({}, heard) as own:
        header = ["--header", "Authorization: Bearer ${BOARD_KEY}"]
        assert runner.invoke(main, ["mcp", "add", "board", f"{own}/mcp", *header]).exit_code == 0
        assert runner.invoke(main, ["mcp", "test", "board"]).exit_code == 1
        assert any(line.endswith(f"Bearer {secret}") for line in heard)
    kept = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    assert kept and not any(secret.encode() in data for data in kept)
    assert runner.invoke(main, ["mcp", "secret", "BOARD_KEY", "--forget"]).exit_code == 0
    done = runner.invoke(main, ["mcp", "test", "board"])
    assert "there is no variable BOARD_KEY" in done.output
    assert "agent-kernel mcp secret BOARD_KEY" in done.output
    assert (
        "cannot be a variable's name" in runner.invoke(main, ["mcp", "secret", "no name"], input="x").output
    )
