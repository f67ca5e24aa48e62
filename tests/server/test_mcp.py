"""MCP servers over REST: what the panel shows and switches, and a login by the person's browser."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from agent_kernel.mcp.config import Configuration
from agent_kernel.settings import local_user
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from tests.mcp.conftest import HOSTILE, listening
from tests.server.conftest import PATIENCE, TOKEN, Jupyter, Start

GUARDED = HOSTILE.with_name("guarded.py")


@pytest.fixture(scope="module")
def jupyter(
    start: Start, shared_api: ScriptedMessages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Jupyter]:
    """A server whose person has a server of widgets, and whose workspace names another."""
    folder = tmp_path_factory.mktemp("mcp")
    with start(folder / "home", folder / "work", shared_api) as server:
        (server.folder / "hostile.py").write_bytes(HOSTILE.read_bytes())
        own = Configuration(server.home / "agent-kernel", local_user())
        own.add("widgets", {"command": "python3", "args": ["hostile.py", "thirty"]})
        yield server


def test_servers_are_listed_tested_and_switched(jupyter: Jupyter) -> None:
    session = {"session": jupyter.session()}
    listed = jupyter.get(f"mcp?session={session['session']}").json()
    assert [(server["name"], server["state"], server["on"]) for server in listed["servers"]] == [
        ("widgets", "idle", True)
    ]
    tested = jupyter.post("mcp/widgets/test", session).json()
    assert (tested["ok"], tested["state"], len(tested["tools"])) == (True, "connected", 30)
    assert tested["tools"][0] == {"name": "make_widget_0", "read_only": False, "asks": True}
    off = jupyter.post("mcp/widgets/off", session).json()
    assert (off["servers"][0]["on"], off["servers"][0]["state"]) == (False, "off")
    refused = jupyter.post("mcp/widgets/test", session).json()
    assert "switched on" in refused["problem"]
    assert jupyter.post("mcp/widgets/on", session).json()["servers"][0]["on"]
    assert jupyter.post("mcp/nobody/on", session).status_code == 400


def test_a_workspaces_servers_are_trusted_as_they_were_seen(
    jupyter: Jupyter, shared_api: ScriptedMessages
) -> None:
    session = jupyter.session("trusting")
    data = json.dumps({"mcpServers": {"theirs": {"command": "python3", "args": ["hostile.py", "pid"]}}})
    (jupyter.folder / ".mcp.json").write_text(data)
    seen = jupyter.get(f"mcp?session={session}").json()
    assert [server["name"] for server in seen["waiting"]] == ["theirs"]
    assert seen["untrusted"] == hashlib.sha256(data.encode()).hexdigest()
    (jupyter.folder / ".mcp.json").write_text(data + "\n")
    late = jupyter.post("mcp/trust", {"session": session, "hash": seen["untrusted"]})
    assert late.status_code == 400 and "has changed since you saw it" in late.text
    (jupyter.folder / ".mcp.json").write_text(data)
    trusted = jupyter.post("mcp/trust", {"session": session, "hash": seen["untrusted"]}).json()
    assert {server["name"] for server in trusted["servers"]} == {"theirs", "widgets"}
    shared_api.add([Text("Hello.")])
    jupyter.ended(jupyter.run("Hi", session))
    assert "mcp__theirs__pid" in json.dumps(shared_api.bodies[-1]["tools"])
    (jupyter.folder / ".mcp.json").unlink()
    assert jupyter.post("mcp/refresh", {"session": session}).status_code == 200
    shared_api.add([Text("Hello.")])
    jupyter.ended(jupyter.run("Hi", session))
    assert "mcp__theirs__pid" not in json.dumps(shared_api.bodies[-1]["tools"])


def test_nonsense_and_what_belongs_to_nobody_are_refused(jupyter: Jupyter) -> None:
    assert jupyter.get("mcp?session=nope").status_code == 404
    assert jupyter.get("mcp").status_code == 404
    assert jupyter.get("mcp/callback?state=guessed&code=1").status_code == 400
    assert jupyter.post("mcp/trust", {"session": jupyter.session(), "hash": "short"}).status_code == 400
    assert jupyter.post("mcp/widgets/login", {"session": jupyter.session()}).status_code == 400
    assert jupyter.get("mcp?session=x", token="wrong").status_code == 403


def test_a_person_logs_in_by_way_of_the_jupyter_server(jupyter: Jupyter, tmp_path: Path) -> None:
    with listening(GUARDED) as address:
        Configuration(jupyter.home / "agent-kernel", local_user()).add("guarded", {"url": address})
        session = {"session": jupyter.session()}
        assert "log in first" in jupyter.post("mcp/guarded/test", session).json()["problem"]
        url = jupyter.post("mcp/guarded/login", session).json()["url"]
        back = httpx2.get(url, trust_env=False, timeout=PATIENCE).headers["location"]
        assert back.startswith(f"{jupyter.url}/api/agent/mcp/callback?")
        stranger = httpx2.get(back, trust_env=False, timeout=PATIENCE)
        assert stranger.status_code == 403
        arrived = httpx2.get(
            back, headers={"Authorization": f"token {TOKEN}"}, trust_env=False, timeout=PATIENCE
        )
        assert (arrived.status_code, arrived.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert "Logged in at guarded" in arrived.text
        assert login_of(jupyter, session["session"]) == "kept"
        assert jupyter.post("mcp/guarded/test", session).json()["ok"]
        again = httpx2.get(
            back, headers={"Authorization": f"token {TOKEN}"}, trust_env=False, timeout=PATIENCE
        )
        assert again.status_code == 400

        out = jupyter.post("mcp/guarded/logout", session).json()
        assert [server["login"] for server in out["servers"] if server["name"] == "guarded"] == ["possible"]
        assert "log in first" in jupyter.post("mcp/guarded/test", session).json()["problem"]
        assert login_of(jupyter, session["session"]) == "needed"

        state = httpx2.URL(jupyter.post("mcp/guarded/login", session).json()["url"]).params["state"]
        assert login_of(jupyter, session["session"]) == "waiting"
        refused = httpx2.get(
            f"{jupyter.url}/api/agent/mcp/callback",
            params={"state": state, "error": "access_denied", "error_description": "<script>no()</script>"},
            headers={"Authorization": f"token {TOKEN}"},
            trust_env=False,
            timeout=PATIENCE,
        )
        assert (refused.status_code, "&lt;script&gt;no()&lt;/script&gt;" in refused.text) == (400, True)
        assert "<script" not in refused.text
        assert "default-src 'none'" in refused.headers["content-security-policy"]
        assert login_of(jupyter, session["session"]) == "needed"


def login_of(jupyter: Jupyter, session: str) -> str:
    """How the login at `guarded` stands."""
    servers = jupyter.get(f"mcp?session={session}").json()["servers"]
    return str(next(server["login"] for server in servers if server["name"] == "guarded"))
