"""Whatever is sent to the routes of the served OpenAPI document: no crash, no traceback, an error that can be read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_kernel.testing.messages_api import ScriptedMessages
from tests.fuzz.depth import FACTOR, examples
from tests.server.conftest import TOKEN, Jupyter, jupyter_server

EACH = 4
"""Requests to each operation; the ids of a session and a run there are find their way into some."""
OUTSIDE = ("/model/test", "/login", "/stream")
"""What connects to addresses in the request, or never ends."""
SPEED = "--AgentKernelExtension.requests_per_second=100000"


@pytest.fixture(scope="module")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("fuzzed")
    with ScriptedMessages() as api, jupyter_server(folder / "home", folder / "work", api, SPEED) as server:
        yield server


def operations(jupyter: Jupyter) -> list[Any]:
    from schemathesis import openapi

    schema = openapi.from_dict(jupyter.get("openapi.json").json())
    found = [result.ok() for result in schema.get_all_operations()]
    return [operation for operation in found if not operation.path.endswith(OUTSIDE)]


@pytest.mark.timeout(400 * FACTOR)
def test_no_request_makes_the_server_fail(jupyter: Jupyter, tmp_path: Path) -> None:
    run = jupyter.run("Go")
    session = jupyter.ended(run)["session_id"]
    known = {"run": run, "session": session}
    sent = 0

    def check(operation: Any) -> None:
        @given(case=operation.as_strategy(), real=st.booleans())
        @examples(EACH)
        def send(case: Any, real: bool) -> None:
            nonlocal sent
            if real:
                case.path_parameters = {**(case.path_parameters or {}), **_known(case, known)}
            if case.method == "DELETE" and session in str(case.path_parameters):
                return
            answer = case.call(base_url=jupyter.url, headers={"Authorization": f"token {TOKEN}"}, timeout=60)
            sent += 1
            asked = f"{case.method} {answer.request.url} {answer.request.body!r}"
            text = answer.content.decode("utf-8", "replace")  # an exported workspace is none
            said = f"{asked}: {answer.status_code} {text[:500]}"
            assert answer.status_code < 500, said
            assert "Traceback" not in text, said
            if answer.status_code >= 400 and "/api/agent/" in str(answer.request.url):
                error = answer.json()["error"] if "json" in answer.headers.get("Content-Type", "") else None
                assert error is None or set(error) == {"type", "message", "hint"}, said

        send()

    found = operations(jupyter)
    for operation in found:
        check(operation)
    assert len(found) > 30 and sent > len(found)
    assert jupyter.get("health").status_code == 200
    log = (jupyter.home / "server.log").read_text()
    assert "Uncaught exception" not in log and "Traceback" not in log, log[log.find("Traceback") - 500 :][
        :3000
    ]


def _known(case: Any, known: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in known.items() if name in (case.path_parameters or {})}
