"""Logins: a run says that one is needed, a person does it in a browser, and what comes of it is kept encrypted."""

from __future__ import annotations

import sys
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner

from agent_kernel.cli import main
from agent_kernel.errors import SettingsError
from tests.mcp.conftest import Switchboard, said


async def test_a_run_says_that_a_login_is_needed_and_works_after_it(
    board: Switchboard, guarded_http: str
) -> None:
    board.add("guarded", url=guarded_http)
    assert await board.prefix() != []
    assert board.notes == ["guarded wants you to log in first. A person can: agent-kernel mcp login guarded"]
    assert "wants you to log in first" in said(await board.call("secret", server="guarded"))

    login = await board.servers.login("guarded", "http://127.0.0.1:9/callback")
    address = await login.address()
    async with httpx2.AsyncClient(trust_env=False) as browser:
        response = await browser.get(address)
    query = dict(httpx2.URL(response.headers["location"]).params)
    assert query["state"] == await login.state()
    login.give(query)
    await login.done()

    assert "the cake is real" in said(await board.call("secret", server="guarded"))
    tokens = [value for value in board.hidden if value.startswith(("access-", "refresh-"))]
    assert len({value.partition("-")[0] for value in tokens}) == 2
    kept = b"".join(path.read_bytes() for path in board.configuration.folder.rglob("*") if path.is_file())
    assert not any(token.encode() in kept for token in tokens)

    await board.servers.logout("guarded")
    assert "wants you to log in first" in said(await board.call("secret", server="guarded"))


async def test_a_login_that_the_person_refuses_or_that_is_none_says_so(
    board: Switchboard, guarded_http: str
) -> None:
    board.add("guarded", url=guarded_http)
    login = await board.servers.login("guarded", "http://127.0.0.1:9/callback")
    await login.address()
    login.give({"error": "access_denied", "error_description": "The person said no."})
    with pytest.raises(SettingsError, match="The person said no"):
        await login.done()
    board.add("program", command="x")
    for name in ("program", "nobody"):
        with pytest.raises(SettingsError, match="is no server one logs in at"):
            await board.servers.login(name, "http://127.0.0.1:9/callback")


def test_the_command_line_logs_in_by_the_persons_browser(
    guarded_http: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("BROWSER", f"{sys.executable} {Path(__file__).with_name('browser.py')} %s")
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(main, ["mcp", "add", "guarded", guarded_http]).exit_code == 0
    done = runner.invoke(main, ["mcp", "test", "guarded"])
    assert (done.exit_code, "wants you to log in first" in done.output) == (1, True)
    done = runner.invoke(main, ["mcp", "login", "guarded"])
    assert "Logged in at guarded." in done.output, done.output
    assert "secret (may change things)" in runner.invoke(main, ["mcp", "test", "guarded"]).output
    assert runner.invoke(main, ["mcp", "logout", "guarded"]).exit_code == 0
    assert "wants you to log in first" in runner.invoke(main, ["mcp", "test", "guarded"]).output
