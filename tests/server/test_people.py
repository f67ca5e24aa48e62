"""Several people on one server: each sees only what is theirs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from tests.server.conftest import Jupyter, Start

CONFIG = '''
from jupyter_server.auth import Authorizer, IdentityProvider, User

class People(IdentityProvider):
    """Anna, Ben and a guest, by their tokens."""

    def get_user(self, handler):
        token = handler.request.headers.get("Authorization", "").removeprefix("token ")
        return User(token) if token in ("anna", "ben", "guest") else None

    def is_token_authenticated(self, handler):
        return True

class Rules(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return user.username != "guest" or action == "read"

c.ServerApp.identity_provider_class = People
c.ServerApp.authorizer_class = Rules
'''


@pytest.fixture(scope="module")
def people(
    start: Start, shared_api: ScriptedMessages, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("people")
    config = folder / "config.py"
    config.write_text(CONFIG)
    with start(
        folder / "home", folder / "work", shared_api, f"--config={config}", base_url="/a/prefix/"
    ) as server:
        yield server


def test_everything_of_one_person_does_not_exist_for_another(
    people: Jupyter, shared_api: ScriptedMessages
) -> None:
    shared_api.add([Text("For Anna.")])
    session = people.session(token="anna")
    run = people.post("runs", {"session": session, "prompt": "Mine"}, token="anna").json()["id"]
    assert people.get(f"runs/{run}", token="anna").json()["owner"] == "anna"
    for path in (f"runs/{run}", f"runs/{run}/events", f"runs/{run}/transcript", f"stream?run={run}",
                 f"sessions/{session}", f"mcp?session={session}"):  # fmt: skip
        response = people.get(path, token="ben")
        assert response.status_code == 404, path
        assert "anna" not in response.text
    bodies = {"messages": {"text": "x"}, "approvals/x": {"decision": "allow"}, "results/x": {"content": []}}
    for action in (
        "messages",
        "approvals/x",
        "results/x",
        "results/x/begin",
        "undo",
        "resume",
        "pause",
        "cancel",
    ):
        response = people.post(f"runs/{run}/{action}", bodies.get(action, {}), token="ben")
        assert response.status_code == 404, (action, response.text)
    assert people.post("runs", {"session": session, "prompt": "Hers"}, token="ben").status_code == 404
    assert people.get("runs", token="ben").json()["runs"] == []
    assert people.session(token="ben") != session, "the same name and folder are another session"


def test_who_may_only_read_cannot_start_anything(people: Jupyter) -> None:
    assert people.get("runs", token="guest").status_code == 200
    refused = people.post("sessions", {"workspace": "."}, token="guest")
    assert refused.status_code == 403
    assert "not allowed to write" in refused.json()["error"]["message"]


def test_a_workspace_is_found_below_the_servers_folder_and_must_exist(
    people: Jupyter, tmp_path: Path
) -> None:
    (people.folder / "sub").mkdir()
    made = people.post("sessions", {"workspace": "sub"}, token="ben")
    assert made.json()["workspace"] == str((people.folder / "sub").resolve())
    missing = people.post("sessions", {"workspace": "nowhere"}, token="ben")
    assert missing.status_code == 400
    assert "nowhere" in missing.json()["error"]["message"]
