"""Routes for the files of a session's workspace: listed, read in ranges, written in pieces, removed."""

from __future__ import annotations

import re
import secrets
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING
from urllib.parse import quote

from jupyter_server.auth.decorator import allow_unauthenticated
from tornado.iostream import StreamClosedError
from tornado.web import HTTPError, stream_request_body

from jupyter_ext.door import BadRequest, Handler
from jupyter_ext.route import Route

if TYPE_CHECKING:
    from agent_kernel.files import Upload
    from agent_kernel.sandbox.base import FileInfo
    from agent_kernel.workspaces import Workspaces

open_door = allow_unauthenticated
_RANGE = re.compile(r"bytes=(\d{1,15})?-(\d{1,15})?")
_PIECE = re.compile(r"bytes (?:(\d{1,15})-(\d{1,15})|(\*))/(\d{1,15})")
UNKNOWN = -1
_arriving: set[str] = set()
"""Uploads of which a piece is on its way: one at a time."""


class WorkspaceHandler(Handler):
    async def workspaces(self) -> Workspaces:
        account = await self.account()
        from agent_kernel.workspaces import Workspaces

        return Workspaces(account)

    def download(self, name: str) -> None:
        """Headers of a file that a browser keeps, and never shows on this server's own address."""
        plain = re.sub(r'[^\w. ()+-]|["\\]', "_", name, flags=re.ASCII)
        self.set_header("Content-Type", "application/octet-stream")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
        self.set_header("Cache-Control", "private, no-cache")
        named = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
        self.set_header("Content-Disposition", named)


@stream_request_body
class FileHandler(WorkspaceHandler):
    """`path` is below the workspace; empty, it is the workspace."""

    SUPPORTED_METHODS = ("GET", "HEAD", "PUT", "DELETE")
    _upload: Upload | None = None
    _resumes = False

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.method == "PUT" and not self._finished:
            await self._expect(*self.path_args)

    # -- in --------------------------------------------------------------------------------------------

    async def _expect(self, session_id: str, path: str) -> None:
        """Before the body: where it goes, whether it may, and where it begins."""
        most = self.extension.most_upload_bytes
        self.request.connection.set_max_body_size(most)
        length = self.request.headers.get("Content-Length", "")
        said = self.request.headers.get("Content-Range")
        offset, token, total = 0, secrets.token_hex(8), int(length) if length.isdigit() else UNKNOWN
        if said is not None:
            found = _PIECE.fullmatch(said.strip())
            if found is None:
                raise BadRequest(
                    f"Content-Range: {said[:80]!r} is not understood.", hint="Say bytes FIRST-LAST/TOTAL."
                )
            total, token = int(found[4]), self.get_query_argument("upload", "")[:200]
            self._resumes, offset = True, UNKNOWN if found[3] else int(found[1])
            if offset != UNKNOWN and length != str(int(found[2]) - offset + 1):
                raise BadRequest("Content-Range and Content-Length do not agree.")
        workspaces = await self.workspaces()
        upload = await workspaces.upload(session_id, path, total, f"{self.owner}/{token}", most=most)
        if str(upload.place) in _arriving:
            raise HTTPError(409, "Another piece of this upload is on its way.")
        if offset != UNKNOWN or not total:
            upload.begin(max(0, offset))
        self._upload = upload
        _arriving.add(str(upload.place))

    async def data_received(self, chunk: bytes) -> None:
        if self._upload is not None:
            self._upload.write(chunk)

    @open_door  # type: ignore[untyped-decorator]
    async def put(self, session_id: str, path: str) -> None:
        """Write a file: all of it, or a piece (`Content-Range: bytes 0-99/250`, the `upload` named in the query)."""
        upload = self._upload
        assert upload is not None
        if self._resumes and not upload.whole:
            self.reply({"received": upload.received, "total": upload.total}, 202)
            return
        found = await (await (await self.workspaces()).files(session_id)).put(path, upload)
        upload.discard()
        self.reply(asdict(found), 201)

    # -- out -------------------------------------------------------------------------------------------

    @open_door  # type: ignore[untyped-decorator]
    async def get(self, session_id: str, path: str) -> None:
        """A folder's entries, or a file's bytes (one `Range` at a time)."""
        files = await (await self.workspaces()).files(session_id)
        found = await files.stat(path)
        if found.kind == "dir":
            listing = await files.list(path)
            entries = [asdict(entry) for entry in listing.entries]
            self.reply({"path": path, "entries": entries, "more": listing.more})
            return
        if found.kind != "file":
            raise BadRequest(f"{path} is neither a file nor a folder.")
        offset, size = self._part(found)
        self.download(path.rpartition("/")[2])
        if self.request.method == "HEAD" or self._status_code == 304:
            await self.finish()
            return
        sent = 0
        async with aclosing(files.read(path, offset, size)) as pieces:  # type: ignore[type-var]
            async for piece in pieces:
                self.write(piece)
                await self.flush()
                sent += len(piece)
        if (
            size >= 0 and sent < size
        ):  # it has become shorter meanwhile: half a file must not look like a whole one
            self.request.connection.stream.close()
            raise StreamClosedError
        await self.finish()

    head = get

    def _part(self, found: FileInfo) -> tuple[int, int]:
        """(offset, bytes) of what is asked for, and the headers that say so."""
        if found.size < 0:
            return 0, UNKNOWN
        mark = f'"{found.size:x}-{found.modified_ms:x}"'
        self.set_header("ETag", mark)
        self.set_header("Accept-Ranges", "bytes")
        first, last = 0, found.size - 1
        asked = _RANGE.fullmatch(self.request.headers.get("Range", "").strip())
        same = self.request.headers.get("If-Range", mark) == mark
        if self.request.headers.get("If-None-Match") == mark:
            self.set_status(304)
        elif asked and same and (asked[1] or asked[2]):
            first = int(asked[1]) if asked[1] else max(0, found.size - int(asked[2]))
            last = min(last, int(asked[2])) if asked[1] and asked[2] else last
            if first > last:
                self.set_header("Content-Range", f"bytes */{found.size}")
                raise HTTPError(416, f"The file has {found.size} bytes.")
            self.set_status(206)
            self.set_header("Content-Range", f"bytes {first}-{last}/{found.size}")
        if self._status_code != 304:
            self.set_header("Content-Length", str(last - first + 1))
        return first, last - first + 1

    @open_door  # type: ignore[untyped-decorator]
    async def delete(self, session_id: str, path: str) -> None:
        """Remove a file, or a folder with all that is in it."""
        await (await (await self.workspaces()).files(session_id)).remove(path)
        self.reply({})

    def compute_etag(self) -> None:
        """We say what a file's is."""

    def on_finish(self) -> None:
        super().on_finish()
        self._let_go()

    def on_connection_close(self) -> None:
        super().on_connection_close()  # wakes what waits for the body
        self._let_go()

    def _let_go(self) -> None:
        """What came in one piece and broke off cannot go on; named uploads can."""
        upload, self._upload = self._upload, None
        if upload is not None:
            _arriving.discard(str(upload.place))
            if not self._resumes:
                upload.discard()


class TopHandler(WorkspaceHandler):
    @open_door  # type: ignore[untyped-decorator]
    async def get(self, session_id: str) -> None:
        """The entries of the workspace itself."""
        listing = await (await (await self.workspaces()).files(session_id)).list("")
        entries = [asdict(entry) for entry in listing.entries]
        self.reply({"path": "", "entries": entries, "more": listing.more})


FILE_ROUTES = (
    Route("sessions/{session}/files", TopHandler),
    Route("sessions/{session}/files/{path}", FileHandler, query=("upload",)),
)
