"""The event stream: replay and live, from where a client left, at the pace of whoever reads."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from tests.server.conftest import PATIENCE, TOKEN, Jupyter, Start, eventually, waits_for

FINAL = ("completed", "failed", "cancelled")


def stream(jupyter: Jupyter, query: str, **headers: str) -> AbstractContextManager[httpx2.Response]:
    return httpx2.stream(
        "GET",
        f"{jupyter.url}/api/agent/stream?{query}",
        headers={"Authorization": f"token {TOKEN}", **headers},
        timeout=PATIENCE,
        trust_env=False,
    )


def messages(jupyter: Jupyter, query: str, **headers: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id, event) of each message, until a run is final."""
    with stream(jupyter, query, **headers) as response:
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        cursor = ""
        for line in response.iter_lines():
            if line.startswith("id: "):
                cursor = line[4:]
            elif line.startswith("data: "):
                event = json.loads(line[6:])
                yield cursor, event
                cursor = ""
                if event["type"] == "status" and event["status"] in FINAL:
                    return


@pytest.fixture(scope="module")
def done(jupyter: Jupyter, shared_api: ScriptedMessages) -> str:
    """A finished run with a few events."""
    shared_api.add(
        [ToolUse("list_files", {})],
        [ToolUse("list_files", {})],
        [Text("Lines\n\n\u2028of\x85every\u2029kind")],
    )
    run = jupyter.run("List")
    jupyter.ended(run)
    return run


def test_a_finished_run_is_replayed_whole(jupyter: Jupyter, done: str) -> None:
    seen = list(messages(jupyter, f"run={done}"))
    assert [event for _, event in seen] == jupyter.events(done)
    assert [cursor for cursor, _ in seen] == [f"{done}:{event['seq']}" for _, event in seen]


def test_a_client_goes_on_exactly_after_what_it_has_fifty_at_once(jupyter: Jupyter, done: str) -> None:
    whole = jupyter.events(done)

    def follow(number: int) -> list[int]:
        after = number % len(whole)
        if number % 2:
            seen = messages(jupyter, f"run={done}", **({"Last-Event-ID": f"{done}:{after}"} if after else {}))
        else:
            seen = messages(jupyter, f"run={done}:{after}")
        return [after, *(event["seq"] for _, event in seen)]

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        for seqs in pool.map(follow, range(50)):
            assert seqs == list(range(seqs[0], len(whole) + 1))


def test_text_comes_live_and_many_runs_share_one_connection(
    jupyter: Jupyter, shared_api: ScriptedMessages, done: str
) -> None:
    shared_api.add([ToolUse("bash", waits_for("watched"))], [Text("Slowly, " * 20, chunks=20), Stall()])
    run = jupyter.run("Write")
    seen: dict[str, list[dict[str, Any]]] = {run: [], done: []}
    with stream(jupyter, f"run={run}&run={done}") as response:
        cursor = ""
        for line in response.iter_lines():
            if line.startswith("id: "):
                cursor = line[4:]
            if line.startswith("data: "):
                event = json.loads(line[6:])
                if event["run_id"] == run and event["type"] == "tool_start":
                    (jupyter.folder / "watched").touch()
                if event["type"] == "delta" and "delta" not in {e["type"] for e in seen[run]}:
                    assert jupyter.post(f"runs/{run}/cancel").status_code == 202
                seen[event["run_id"]].append(event)
                ends = [
                    events[-1]["type"] == "status" and events[-1]["status"] in FINAL
                    for events in seen.values()
                    if events
                ]
                if len(ends) == 2 and all(ends):
                    break
    assert "delta" in {event["type"] for event in seen[run]}
    assert [event for event in seen[run] if event["seq"]] == jupyter.events(run)
    assert seen[done] == jupyter.events(done)
    assert dict(part.split(":") for part in cursor.split(",")).keys() == {run, done}


def test_a_client_that_does_not_read_is_dropped_and_the_others_go_on(
    start: Start, shared_api: ScriptedMessages, tmp_path: Path
) -> None:
    options = ["--AgentKernelExtension.stall_timeout=1", "--AgentKernelExtension.heartbeat=1"]
    with start(tmp_path / "home", tmp_path / "work", shared_api, *options) as jupyter:
        _stalled(jupyter, shared_api)


def _stalled(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    shared_api.add([Stall(), Text("Never.")])
    run = jupyter.run("Much")
    jupyter.until(run, lambda event: event.get("reason") == "thinking")
    place = urlsplit(jupyter.url)
    stalled = socket.create_connection((place.hostname or "", place.port or 0))
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.sendall(
        f"GET {place.path}/api/agent/stream?run={run} HTTP/1.1\r\nHost: {place.netloc}\r\n"
        f"Authorization: token {TOKEN}\r\n\r\n".encode()
    )
    before = memory(jupyter)
    for number in range(16):  # more than the buffers of both sides hold
        text = f"{number}" + "x" * 900_000
        assert jupyter.post(f"runs/{run}/messages", {"text": text}).status_code == 202
    jupyter.post(f"runs/{run}/cancel")
    jupyter.ended(run)
    seen, times = patient(jupyter, run)
    assert seen == [event["seq"] for event in jupyter.events(run)]
    assert memory(jupyter) - before < 150 << 20
    log = jupyter.home / "server.log"
    # Not before that is it read: a client that reads is not dropped.
    eventually(lambda: log.read_text().count("dropped a client that did not read") > times)
    assert ended(stalled), "the server keeps a connection that nobody reads"
    stalled.close()


def patient(jupyter: Jupyter, run: str) -> tuple[list[int], int]:
    """What a client sees that goes on where it was whenever it is dropped as well, and how often that happened: a busy
    machine may keep it from reading for a moment."""
    seen: list[int] = []
    times = 0
    while True:
        try:
            for _, event in messages(jupyter, f"run={run}:{len(seen)}"):
                seen += [event["seq"]] if event["seq"] else []
            return seen, times
        except (httpx2.ReadError, httpx2.RemoteProtocolError):
            times += 1
            assert times < 50, "it is not let read at all"


def ended(connection: socket.socket) -> bool:
    """Whether the other side has ended it, once what is on the way has been read."""
    connection.settimeout(PATIENCE)
    deadline = time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            if not connection.recv(1 << 20):
                return True
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return False


def memory(jupyter: Jupyter) -> int:
    """Resident bytes of the server."""
    with open(f"/proc/{jupyter.process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return int(line.split()[1]) << 10


def test_a_quiet_stream_shows_signs_of_life(
    jupyter: Jupyter, shared_api: ScriptedMessages, tmp_path: Any
) -> None:
    from tests.server.conftest import jupyter_server

    with jupyter_server(
        tmp_path / "home", tmp_path / "work", shared_api, "--AgentKernelExtension.heartbeat=0.3"
    ) as other:
        shared_api.add([Stall(), Text("Never.")])
        run = other.run("Wait")
        with stream(other, f"run={run}") as response:
            beats = (line for line in response.iter_lines() if line == ": alive")
            assert [next(beats), next(beats)] == [": alive"] * 2
        other.post(f"runs/{run}/cancel")


def test_new_runs_announce_themselves_and_say_what_they_used(
    jupyter: Jupyter, shared_api: ScriptedMessages
) -> None:
    shared_api.add([Text("Heard")])
    with stream(jupyter, "announce=1") as response:
        kind, seen, run = "", [], ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                kind = line[7:]
            elif line.startswith("data: ") and kind == "ready":
                run = jupyter.run("Announce me")
            elif line.startswith("data: "):
                seen.append(json.loads(line[6:]))
                assert seen[-1]["id"] == run
                if seen[-1]["status"] in FINAL:
                    break
    assert seen[-1]["status"] == "completed"
    assert seen[-1]["used"]["turns"] == 1
    shown = jupyter.get(f"runs/{run}").json()
    assert shown["used"] == seen[-1]["used"]
    assert run in [row["id"] for row in jupyter.get("runs").json()["runs"] if row["used"] == shown["used"]]


def test_a_stream_of_nothing_is_refused(jupyter: Jupyter) -> None:
    with stream(jupyter, "announce=no") as response:
        assert response.status_code == 400
        response.read()
        assert "No run is named" in response.json()["error"]["message"]
