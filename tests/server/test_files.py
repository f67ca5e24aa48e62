"""Files of a workspace and workspaces as a whole, over HTTP."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from jupyter_ext.file_routes import FileHandler
from jupyter_ext.preview import AppHandler
from tests.server.conftest import PATIENCE, Jupyter

ODD = ["plain.txt", "ü ñ 漢字.txt", "a'b\"c.txt", "per%20cent & #.txt", "-rf"]


@pytest.fixture(scope="module")
def session(jupyter: Jupyter) -> str:
    return jupyter.session("files")


def url(session: str, path: str = "") -> str:
    from urllib.parse import quote

    return f"sessions/{session}/files/{quote(path)}"


def put(
    jupyter: Jupyter, session: str, path: str, data: bytes, query: str = "", **headers: str
) -> httpx2.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return jupyter.request("PUT", url(session, path) + query, content=data, headers=named)


def test_files_of_any_name_go_in_are_listed_come_out_and_are_removed(jupyter: Jupyter, session: str) -> None:
    for name in ODD:
        answer = put(jupyter, session, f"in/{name}", name.encode())
        assert answer.status_code == 201, answer.text
        assert (jupyter.folder / "in" / name).read_text() == name
    listed = jupyter.get(url(session, "in")).json()
    assert sorted(entry["name"] for entry in listed["entries"]) == sorted(ODD)
    (jupyter.folder / "in" / "new\nline").write_text("of the agent's")
    for name in [*ODD, "new\nline"]:
        answer = jupyter.get(url(session, f"in/{name}"))
        assert answer.status_code == 200
        assert answer.text == (name if name in ODD else "of the agent's")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
        assert answer.headers["content-security-policy"].startswith("sandbox")
    top = jupyter.get(f"sessions/{session}/files").json()["entries"]
    assert ("in", "dir") in [(entry["name"], entry["kind"]) for entry in top]
    assert jupyter.request("DELETE", url(session, "in")).status_code == 200
    assert not (jupyter.folder / "in").exists()
    assert jupyter.get(url(session, "in/plain.txt")).status_code == 404


def test_a_download_goes_on_where_it_broke_off(jupyter: Jupyter, session: str) -> None:
    data = os.urandom(9 << 20)
    (jupyter.folder / "big.bin").write_bytes(data)
    whole = jupyter.get(url(session, "big.bin"))
    assert whole.content == data
    mark = whole.headers["etag"]
    for asked, first, last in (("bytes=100-199", 100, 199), ("bytes=-50", len(data) - 50, len(data) - 1),
                               (f"bytes={5 << 20}-", 5 << 20, len(data) - 1)):  # fmt: skip
        part = jupyter.get(url(session, "big.bin"), headers={"Range": asked, "If-Range": mark})
        assert (part.status_code, part.content == data[first : last + 1]) == (206, True)
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(data)}"
    assert jupyter.get(url(session, "big.bin"), headers={"Range": "bytes=999999999-"}).status_code == 416
    assert jupyter.get(url(session, "big.bin"), headers={"If-None-Match": mark}).status_code == 304
    head = jupyter.request("HEAD", url(session, "big.bin"))
    assert (head.headers["content-length"], head.content) == (str(len(data)), b"")
    (jupyter.folder / "big.bin").write_bytes(b"another")
    changed = jupyter.get(url(session, "big.bin"), headers={"Range": "bytes=1-2", "If-Range": mark})
    assert (changed.status_code, changed.content) == (200, b"another"), (
        "no part of one file is put to another's"
    )


def test_an_upload_in_pieces_goes_on_where_it_broke_off(jupyter: Jupyter, session: str) -> None:
    data, half = os.urandom(300_000), 200_000
    total, query = len(data), "?upload=mine"

    def piece(first: int, last: int) -> httpx2.Response:
        said = f"bytes {first}-{last - 1}/{total}"
        return put(jupyter, session, "up.bin", data[first:last], query, Content_Range=said)

    assert piece(0, half).json() == {"received": half, "total": total}
    assert not (jupyter.folder / "up.bin").exists(), "nothing half arrived lies in the workspace"
    wrong = piece(half + 1, total)
    assert (wrong.status_code, f"byte {half}" in wrong.text) == (403, True)
    asked = put(jupyter, session, "up.bin", b"", query, Content_Range=f"bytes */{total}")
    assert asked.json()["received"] == half
    assert piece(half, total).status_code == 201
    assert (jupyter.folder / "up.bin").read_bytes() == data
    other = put(jupyter, session, "up.bin", b"", "?upload=another", Content_Range=f"bytes */{total}")
    assert other.json()["received"] == 0
    assert put(jupyter, session, "empty", b"").status_code == 201
    assert (jupyter.folder / "empty").read_bytes() == b""


@pytest.mark.parametrize("kind", [FileHandler, AppHandler])
async def test_nothing_waits_for_a_body_that_broke_off(kind: type[RequestHandler]) -> None:
    class Receiving(kind):  # type: ignore[misc]
        async def prepare(self) -> None:
            """Who may send what is asked elsewhere."""

    def waiting() -> list[asyncio.Task[object]]:
        return [task for task in asyncio.all_tasks() if "_execute" in repr(task.get_coro())]

    listening, port = bind_unused_port()
    server = HTTPServer(Application([("/()()", Receiving)]))
    server.add_socket(listening)
    gc.disable()  # it would find them, at some time
    try:
        _, half = await asyncio.open_connection("127.0.0.1", port)
        half.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf a body")
        await reached(lambda: len(waiting()) == 1)
        half.close()
        await reached(lambda: not waiting())
    finally:
        gc.enable()
        server.stop()


async def reached(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - a task ends
            await asyncio.sleep(0.01)


def test_what_must_not_come_in_does_not(jupyter: Jupyter, session: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    link, inner = jupyter.folder / "out", jupyter.folder / "inner"
    link.symlink_to(tmp_path)
    inner.symlink_to("big.bin")
    (jupyter.folder / "big.bin").write_bytes(b"inside")
    for path in ("../x", "a/../../x", "a//b", "new\nline", "x" * 300, "nul\0", "out/made"):
        answer = put(jupyter, session, path, b"x")
        assert answer.status_code in (400, 403, 404), (path, answer.status_code, answer.text)
    assert list(tmp_path.iterdir()) == [tmp_path / "secret"]
    for path in ("out/secret", "out", "../agent-kernel/runs.db"):
        answer = jupyter.get(url(session, path))
        assert answer.status_code in (403, 404) and "of the host" not in answer.text, (path, answer.text)
    assert jupyter.request("DELETE", url(session, "out/secret")).status_code in (403, 404)
    assert (tmp_path / "secret").exists()
    assert jupyter.get(url(session, "inner")).content == b"inside", "a link that stays inside is followed"
    large = put(jupyter, session, "large", b"x", Content_Range=f"bytes 0-0/{2 << 30}")
    assert (large.status_code, "most that may be uploaded" in large.text) == (413, True)
    assert put(jupyter, session, "x", b"", Content_Range="bytes 9-1/x").status_code == 400
    for method in ("GET", "PUT", "DELETE"):
        assert jupyter.request(method, url(session, "big.bin"), token="").status_code == 403
        assert jupyter.request(method, url("s-of-another", "big.bin")).status_code == 404
    link.unlink()
    inner.unlink()


def test_a_workspace_is_made_shown_stopped_exported_archived_and_deleted(jupyter: Jupyter) -> None:
    names = [template["name"] for template in jupyter.get("templates").json()["templates"]]
    assert names == ["blank", "analysis", "website"]
    assert jupyter.post("workspaces", {"folder": "../out", "template": "blank"}).status_code == 400
    assert jupyter.post("workspaces", {"folder": "new", "template": "none"}).status_code == 400
    made = jupyter.post("workspaces", {"folder": "new/site", "template": "website"})
    assert made.status_code == 201, made.text
    session, folder = made.json()["id"], jupyter.folder / "new" / "site"
    assert (folder / "index.html").is_file()
    assert jupyter.post("workspaces", {"folder": "new/site", "template": "website"}).status_code == 400
    first = jupyter.get("workspaces").json()["workspaces"][0]
    assert (first["id"], first["provider"], first["state"], first["here"]) == (session, "local", "gone", True)
    assert jupyter.post(f"workspaces/{session}/start").json()["state"] == "running"
    (jupyter.home / "agent-kernel" / "sandboxes" / session / "session" / "python" / "pkg").mkdir()
    shown = jupyter.get(f"workspaces/{session}").json()
    assert shown["folder_bytes"] == sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
    packed = jupyter.get(f"workspaces/{session}/export")
    with tarfile.open(fileobj=io.BytesIO(packed.content)) as tar:
        assert "./index.html" in tar.getnames()
    assert jupyter.post(f"workspaces/{session}/stop").json()["state"] == "stopped"
    assert jupyter.post(f"workspaces/{session}/archive").json()["state"] == "stopped"
    assert not (jupyter.home / "agent-kernel" / "sandboxes" / session / "session" / "python").exists()
    assert jupyter.post(f"workspaces/{session}/explode").status_code == 400
    assert jupyter.request("DELETE", f"workspaces/{session}").status_code == 200
    gone = jupyter.get(f"workspaces/{session}")
    assert gone.json()["state"] == "gone", gone.text
    assert (folder / "index.html").is_file(), "the folder stays"
