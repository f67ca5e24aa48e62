"""Live previews over HTTP: what the agent starts is found, and reached through an address that dies with it."""

from __future__ import annotations

import hashlib
import json
import select
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from jupyter_ext.preview import MOST_CONNECTIONS
from tests.server.conftest import PATIENCE, Jupyter, eventually, jupyter_server, waits_for

APP = Path(__file__).with_name("previewed.py")
BASE = "/some/base%20path/"


class Preview:
    """An app that runs in a session's sandbox, and the ways to it."""

    def __init__(self, jupyter: Jupyter, api: ScriptedMessages, port: int = 8123) -> None:
        shutil.copy(APP, jupyter.folder / "app.py")
        self.jupyter, self.port = jupyter, port
        serve = {"command": f"echo http://localhost:{port}/; exec python3 app.py {port}", "background": True}
        api.add([ToolUse("bash", serve)], [ToolUse("bash", waits_for(f"told-{port}"))], [Text("Served.")])
        self.session = jupyter.session(f"preview-{port}")
        self.run = jupyter.run("Serve it", self.session)
        jupyter.until(self.run, lambda event: event["type"] == "browser_update")
        (
            jupyter.folder / f"told-{port}"
        ).touch()  # until then the run has gone on, and looked at what listens
        assert jupyter.ended(self.run)["status"] == "completed"

    def address(self) -> dict[str, str]:
        response = self.jupyter.post(f"runs/{self.run}/previews/{self.port}")
        assert response.status_code == 201, response.text
        found: dict[str, str] = response.json()
        return found

    @property
    def path(self) -> str:
        return self.address()["url"]

    def ask(self, method: str, path: str = "", **rest: object) -> httpx2.Response:
        """Below the path, and (the same again) below the host name, on whichever machine this is."""
        parts = urlsplit(self.jupyter.url)
        address = f"{parts.scheme}://{parts.netloc}{self.path}{path}"
        return httpx2.request(method, address, timeout=PATIENCE, trust_env=False, **rest)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def jupyter(shared_api: ScriptedMessages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    folder = tmp_path_factory.mktemp("jupyter")
    with jupyter_server(folder / "home", folder / "work", shared_api, base_url=BASE) as server:
        yield server


@pytest.fixture(scope="module")
def preview(jupyter: Jupyter, shared_api: ScriptedMessages) -> Preview:
    return Preview(jupyter, shared_api)


def test_what_listens_is_told_once_with_its_title(preview: Preview) -> None:
    (told,) = [event for event in preview.jupyter.events(preview.run) if event["type"] == "browser_update"]
    assert told["url"] == "http://localhost:8123/"
    assert (told["port"], told["title"], told["live"]) == (8123, "The app", True)


def test_pages_are_served_below_a_path_that_nobody_can_guess(preview: Preview) -> None:
    assert "<h1 id=h>Hello</h1>" in preview.ask("GET").text
    assert preview.path.startswith("/some/base%20path/agent-kernel/preview/")
    assert len(preview.path.rstrip("/").rpartition("/")[2]) == 32
    assert preview.path == preview.path, "the same address for the same server"
    wrong = preview.path[:-33] + "0" * 32 + "/"
    parts = urlsplit(preview.jupyter.url)
    answer = httpx2.get(f"http://{parts.netloc}{wrong}", trust_env=False, timeout=PATIENCE)
    assert (answer.status_code, answer.text) == (404, "This preview has ended.\n")
    assert "sandbox allow-scripts" in answer.headers["content-security-policy"]


def test_an_app_has_the_root_of_a_host_where_the_page_comes_from_this_machine(preview: Preview) -> None:
    host_url = preview.address()["host_url"]
    host, netloc = urlsplit(host_url).hostname, urlsplit(preview.jupyter.url).netloc
    assert host is not None and host.startswith("preview-") and host.endswith(".localhost")
    there = {"Host": host_url.split("/")[2]}
    for path, said in (
        ("/", "Hello"),
        ("/style.css", "color"),
        ("/api/status", "no /api/status"),
        ("/lab", "no /lab"),
    ):
        assert (
            said
            in httpx2.get(f"http://{netloc}{path}", headers=there, trust_env=False, timeout=PATIENCE).text
        )
    policy = httpx2.get(f"http://{netloc}/", headers=there, trust_env=False, timeout=PATIENCE).headers[
        "content-security-policy"
    ]
    assert policy.endswith(f"frame-ancestors http://{netloc}")
    found = httpx2.get(
        f"http://{netloc}/.well-known/agent-kernel-preview", headers=there, trust_env=False, timeout=PATIENCE
    )
    assert (found.status_code, found.headers["access-control-allow-origin"]) == (204, "*")
    away = preview.jupyter.post(
        f"runs/{preview.run}/previews/{preview.port}",
        headers={"X-Forwarded-Host": "x", "Host": "lab.example.org"},
    )
    assert away.status_code in (201, 403)
    assert away.status_code == 403 or away.json()["host_url"] == ""
    stranger = {"Host": there["Host"].replace("preview-", "preview-0")}
    assert (
        "Hello"
        not in httpx2.get(f"http://{netloc}/", headers=stranger, trust_env=False, timeout=PATIENCE).text
    )


def test_nothing_of_the_person_reaches_the_app(preview: Preview) -> None:
    sent = {
        "Cookie": "_xsrf=1; username-x=secret", "Authorization": "token secret", "X-XSRFToken": "secret",
        "Referer": "http://x/?token=secret", "Origin": "null", "Sec-Fetch-Site": "cross-site", "X-Mine": "kept",
        "X-Forwarded-For": "1.2.3.4", "X-Agent-Kernel": "secret",
    }  # fmt: skip
    seen = preview.ask("GET", "headers", headers=sent).json()
    assert "secret" not in json.dumps(seen)
    assert seen["host"] == "localhost:8123"
    assert seen["origin"] == "http://localhost:8123"
    assert seen["x-mine"] == "kept"
    assert not {"cookie", "referer", "sec-fetch-site", "x-forwarded-for"} & seen.keys()


def test_what_the_app_says_of_itself_gives_it_no_power(preview: Preview) -> None:
    headers = preview.ask("GET", "hostile", headers={"Origin": "null"}).headers
    policies = headers.get_list("content-security-policy")
    assert any(p.startswith("sandbox allow-scripts") and "allow-same-origin" not in p for p in policies)
    assert not any("'none'" in p for p in policies) and any("img-src 'self'" in p for p in policies)
    for name in ("clear-site-data", "strict-transport-security", "x-frame-options", "service-worker-allowed"):
        assert name not in headers
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers.get_list("access-control-allow-origin") == ["null"]


def test_the_apps_own_cookies_stay_between_it_and_the_relay(preview: Preview) -> None:
    answer = preview.ask("GET", "login")
    assert answer.status_code == 303
    assert "set-cookie" not in answer.headers
    assert answer.headers["location"] == f"{preview.path}headers"
    assert preview.ask("GET", "headers").json()["cookie"] == "user=ann"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_bodies_of_any_size_go_through(preview: Preview, method: str) -> None:
    body = b"0123456789abcdef" * (1 << 16)
    seen = preview.ask(method, "echo", content=body).json()
    assert seen == {"method": method, "size": len(body), "sha": hashlib.sha256(body).hexdigest()}


def test_a_body_without_a_length_goes_through(preview: Preview) -> None:
    pieces = (b"x" * 1000 for _ in range(100))
    assert preview.ask("POST", "echo", content=pieces).json()["size"] == 100_000


def test_other_methods_and_statuses_are_kept(preview: Preview) -> None:
    head = preview.ask("HEAD")
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) > 20
    missing = preview.ask("GET", "nowhere?a=%2F&b")
    assert (missing.status_code, missing.text) == (404, "no /nowhere?a=%2F&b")
    asked = {
        "Origin": "null",
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-a",
    }
    allowed = preview.ask("OPTIONS", "echo", headers=asked)
    assert allowed.status_code == 204
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    assert allowed.headers["access-control-allow-headers"] == "x-a"


def test_answers_are_passed_on_as_they_come(preview: Preview) -> None:
    parts = urlsplit(preview.jupyter.url)
    address = f"http://{parts.netloc}{preview.path}stream"
    with httpx2.stream("GET", address, timeout=PATIENCE, trust_env=False) as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"data: 1\n\n", "the app writes the second when it is asked to go on"
        assert preview.ask("GET", "go").status_code == 200
        assert b"".join(pieces) == b"data: 2\n\n"


def test_an_answer_cut_off_does_not_look_whole(preview: Preview) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        preview.ask("GET", "short")
    assert preview.ask("GET").status_code == 200


async def test_websockets_go_both_ways(preview: Preview) -> None:
    netloc = urlsplit(preview.jupyter.url).netloc
    request = HTTPRequest(f"ws://{netloc}{preview.path}ws", headers={"Origin": "null"})
    connection = await websocket_connect(request)
    assert await connection.read_message() == "http://localhost:8123"
    await connection.write_message("there and back")
    assert await connection.read_message() == "there and back"
    connection.close()


def test_uploads_that_break_off_give_their_places_back(preview: Preview) -> None:
    parts = urlsplit(preview.jupyter.url)
    head = f"POST {preview.path}echo HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 1000\r\n\r\n"
    for _ in range(MOST_CONNECTIONS + 1):
        with socket.create_connection((str(parts.hostname), parts.port or 80)) as half:
            half.sendall(head.encode() + b"half a body")
    assert preview.ask("GET").status_code == 200


def test_who_leaves_before_the_answer_gives_back_one_place(preview: Preview) -> None:
    parts = urlsplit(preview.jupyter.url)
    netloc, path = parts.netloc, preview.path
    with ExitStack() as stack:
        ask = f"GET {path}stream HTTP/1.1\r\nHost: {netloc}\r\n\r\n".encode()
        for _ in range(3):
            with socket.create_connection((str(parts.hostname), parts.port or 80)) as leaving:
                leaving.sendall(ask)
                assert b"200" in leaving.recv(1000)
        assert (
            preview.ask("GET", "go").status_code == 200
        )  # and so the app says its last word to those who left
        eventually(lambda: preview.ask("GET", "streaming").text == "0")
        held = f"POST {path}echo HTTP/1.1\r\nHost: {netloc}\r\nContent-Length: 9\r\n\r\n".encode()
        waiting: list[socket.socket] = []

        def full() -> bool:
            """With as many as there are places, each of them waiting: one that the app refused is asked for again."""
            waiting[:] = [line for line in waiting if not select.select([line], [], [], 0)[0]]
            while len(waiting) < MOST_CONNECTIONS:
                waiting.append(socket.create_connection((str(parts.hostname), parts.port or 80)))
                stack.enter_context(waiting[-1]).sendall(held)
            return preview.ask("GET").status_code == 503

        eventually(full)
    eventually(lambda: preview.ask("GET").status_code == 200)


def test_nonsense_gets_one_sentence(preview: Preview) -> None:
    for port, status in (("0", 400), ("65536", 400), ("x", 400), ("９", 400), ("3128", 404), ("9", 404)):
        answer = preview.jupyter.post(f"runs/{preview.run}/previews/{port}")
        assert answer.status_code == status, (port, answer.text)
        assert answer.json()["error"]["message"].endswith(".")
    assert preview.jupyter.post("runs/none/previews/8123").status_code == 404
    assert preview.jupyter.post(f"runs/{preview.run}/previews/8123", token="").status_code == 403


def test_the_address_is_in_no_log(preview: Preview) -> None:
    secret = preview.path.rstrip("/").rpartition("/")[2]
    preview.ask("GET", "nowhere")
    assert secret not in (preview.jupyter.home / "server.log").read_text()
    assert secret not in json.dumps(preview.jupyter.events(preview.run))


def test_the_end_of_a_server_is_told_and_its_address_ends(
    jupyter: Jupyter, shared_api: ScriptedMessages
) -> None:
    preview = Preview(jupyter, shared_api, 8124)
    path = preview.path
    shared_api.add(
        [ToolUse("bash", {"command": "true"})],
        [ToolUse("bash", waits_for("seen", "pkill -f '[a]pp.py 8124'"))],
        [ToolUse("bash", waits_for("gone"))],
        [Text("Stopped.")],
    )
    run = jupyter.run("Stop it", preview.session)
    for live, name in ((True, "seen"), (False, "gone")):
        jupyter.until(run, lambda event, live=live: event.get("live") is live)  # type: ignore[misc]
        (jupyter.folder / name).touch()
    assert jupyter.ended(run)["status"] == "completed"
    told = [event["live"] for event in jupyter.events(run) if event["type"] == "browser_update"]
    assert told == [True, False]
    answer = httpx2.get(f"http://{urlsplit(jupyter.url).netloc}{path}", trust_env=False, timeout=PATIENCE)
    assert (answer.status_code, answer.text) == (502, "Nothing answers on port 8124 any more.\n")
    assert jupyter.post(f"runs/{run}/previews/8124").status_code == 404
    assert jupyter.request("DELETE", f"sessions/{preview.session}").status_code == 200
    answer = httpx2.get(f"http://{urlsplit(jupyter.url).netloc}{path}", trust_env=False, timeout=PATIENCE)
    assert (answer.status_code, answer.text) == (404, "This preview has ended.\n")
