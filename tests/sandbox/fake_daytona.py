"""A wire-level Daytona on loopback: its API, its toolbox, and a container of bubblewrap for each sandbox.

The real SDK talks to it. Each sandbox has a root file system of its own below `root`, a PID namespace that ends with
it, and a disk that survives being stopped. Sessions behave as the open daemon's do: one shell line after another,
output written line by line into a log, each line with the mark of its stream. Faults are asked for by tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from aiohttp import ClientError, ClientSession, WSMsgType, web
from multidict import CIMultiDict

from tests.sandbox import fake_desktop, fake_snapshots

KEY = "key-of-the-fake"
MARKS = {"stdout": b"\x01\x01\x01", "stderr": b"\x02\x02\x02"}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Container:
    """One sandbox: what the API says of it, its disk, and its processes while it is started."""

    def __init__(self, body: dict[str, Any], root: Path, toolbox: str) -> None:
        self.id = str(uuid4())
        self.body = body
        self.disk = root / self.id
        self.state = "stopped"
        self.touched = 0
        self.sessions: dict[str, Session] = {}
        self.followers: set[asyncio.Task[None]] = set()
        self._starting = threading.Lock()
        self._init: subprocess.Popen[bytes] | None = None
        self._child = 0
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        self.fields: dict[str, Any] = {
            "organizationId": "org", "name": body.get("name") or self.id, "user": "daytona", "env": {},
            "labels": body.get("labels") or {}, "public": False, "kvm": False, "target": body.get("target") or "us",
            "networkBlockAll": bool(body.get("networkBlockAll")), "domainAllowList": body.get("domainAllowList"),
            "cpu": 1, "gpu": 0, "memory": 1, "disk": 3, "snapshot": body.get("snapshot") or "default",
            "autoStopInterval": body.get("autoStopInterval", 15), "volumes": [], "createdAt": now, "updatedAt": now,
            "autoArchiveInterval": body.get("autoArchiveInterval", 10080), "toolboxProxyUrl": toolbox,
        }  # fmt: skip

    def dto(self) -> dict[str, Any]:
        found = {"id": self.id, **self.fields, "state": self.state, "desiredState": self.state}
        return {name: value for name, value in found.items() if value is not None}

    def start(self) -> None:
        with self._starting:
            if self.state != "started":
                self._start()

    def _start(self) -> None:
        (self.disk / "home" / "daytona").mkdir(parents=True, exist_ok=True)
        (self.disk / "tmp").mkdir(exist_ok=True)
        (self.disk / "tmp").chmod(0o1777)
        read, write = os.pipe()
        system: list[str] = []
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            if os.path.islink(f"/{name}"):
                system += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
            elif os.path.isdir(f"/{name}"):
                system += ["--ro-bind", f"/{name}", f"/{name}"]
        trees = {p for p in (sys.prefix, sys.base_prefix) if not p.startswith("/usr")}
        for tree in sorted(trees):
            system += ["--ro-bind", tree, tree]
        # a link that was made before cannot be made again on a disk that is kept
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            if (self.disk / name).is_symlink():
                (self.disk / name).unlink()
        self._init = subprocess.Popen(
            ["bwrap", "--unshare-user", "--unshare-pid", "--uid", "0", "--gid", "0", "--die-with-parent",
             "--bind", str(self.disk), "/", "--ro-bind", "/usr", "/usr", *system, "--ro-bind", "/etc", "/etc",
             "--proc", "/proc", "--dev", "/dev", "--info-fd", str(write), "--clearenv",
             "--setenv", "PATH", f"{sys.prefix}/bin:/usr/bin:/bin", "sleep", "infinity"],
            pass_fds=[write], start_new_session=True, cwd="/",
        )  # fmt: skip
        os.close(write)
        with open(read, "rb") as info:
            self._child = int(json.load(info)["child-pid"])
        deadline = time.monotonic() + 20
        while "ready" not in self._run(["echo", "ready"]) and time.monotonic() < deadline:
            time.sleep(0.01)
        self.state = "started"

    def _run(self, argv: list[str]) -> str:
        return subprocess.run([*self.entering(), *argv], capture_output=True, text=True, check=False).stdout

    def entering(self) -> list[str]:
        return [
            "nsenter", "-t", str(self._child), "-U", "-m", "-p", "--preserve-credentials", "--",
            "env", "-i", "-C", "/home/daytona", f"PATH={sys.prefix}/bin:/usr/bin:/bin",
            "HOME=/home/daytona", "LANG=C.UTF-8",
        ]  # fmt: skip

    def stop(self, state: str = "stopped") -> None:
        for session in self.sessions.values():
            session.close()
        self.sessions.clear()
        for follower in list(self.followers):
            follower.cancel()
        if self._init is not None:
            os.kill(self._child, signal.SIGKILL)  # PID 1 there: all others go with it
            self._init.kill()
            self._init.wait()
            self._init = None
        self.state = state

    def processes(self) -> list[str]:
        """Command lines inside, without what the container itself runs."""
        found = self._run(["sh", "-c", "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done"])
        own = ("bwrap ", "sleep infinity", "sh -c for p in", "tr ")
        return [line for line in found.splitlines() if line.strip() and not line.startswith(own)]

    def path(self, path: str) -> Path:
        """A place on the disk, as a process inside would find it."""
        return self.disk / path.lstrip("/")


class Session:
    """A shell that runs one line after another. The log of each goes on growing while it is followed."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.commands: dict[str, dict[str, Any]] = {}
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._process: asyncio.subprocess.Process | None = None

    def run(self, line: str) -> str:
        number = str(uuid4())
        self.commands[number] = {"id": number, "command": line, "exit": None, "log": bytearray()}
        task = asyncio.create_task(self._run(self.commands[number]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return number

    async def _run(self, command: dict[str, Any]) -> None:
        async with self._turn:
            process = self._process = await asyncio.create_subprocess_exec(
                *self.container.entering(), "bash", "-c", command["command"], start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, limit=1 << 26,
            )  # fmt: skip
            assert process.stdout is not None and process.stderr is not None
            await asyncio.gather(
                self._log(process.stdout, MARKS["stdout"], command),
                self._log(process.stderr, MARKS["stderr"], command),
            )
            command["exit"] = await process.wait()

    @staticmethod
    async def _log(stream: asyncio.StreamReader, mark: bytes, command: dict[str, Any]) -> None:
        async for line in stream:
            command["log"] += mark + line.rstrip(b"\n").replace(b"\0", b"") + b"\n"

    def close(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)
        for task in self._tasks:
            task.cancel()


class FakeDaytona:
    """`with FakeDaytona(folder) as daytona:` serves at `daytona.url` from a thread of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.containers: dict[str, Container] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.log: list[tuple[str, str]] = []
        self.bytes_in = 0
        self.bytes_out = 0
        self.faults: list[tuple[str, str, int, dict[str, str]]] = []
        self.lost_answers: list[tuple[str, str]] = []
        self.signed: dict[str, tuple[Container, int, float]] = {}
        self.previewed: list[str] = []
        self.volumes: dict[str, dict[str, Any]] = {}
        self._stalled = threading.Event()
        self._sockets: set[web.WebSocketResponse] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-daytona", daemon=True)

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True, exist_ok=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(20)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        shutil.rmtree(self.root, ignore_errors=True)

    # -- what tests ask for ------------------------------------------------------------------------------

    @property
    def only(self) -> Container:
        (found,) = self.containers.values()
        return found

    def fail(self, method: str, part: str, status: int, times: int = 1, **headers: str) -> None:
        """The next requests whose path holds `part` get this answer and are not carried out."""
        self.faults += [(method, part, status, headers)] * times

    def lose_answer(self, method: str, part: str) -> None:
        """The next such request is carried out, and its answer is lost on the way."""
        self.lost_answers.append((method, part))

    def stall(self) -> None:
        """From now on nothing is answered and open streams say nothing."""
        self._stalled.set()

    def go_on(self) -> None:
        self._stalled.clear()

    def cut(self) -> None:
        """End all open streams, as a proxy that restarts does."""

        async def cut() -> None:
            for socket in list(self._sockets):
                await socket.close(code=1011, message=b"proxy restarts")

        asyncio.run_coroutine_threadsafe(cut(), self._loop).result(20)

    def stop(self, state: str = "stopped") -> None:
        """Stop all, as the service does when nobody uses them."""

        def stop() -> None:
            for container in self.containers.values():
                container.stop(state)

        self._in_loop(stop)

    def vanish(self) -> None:
        """Delete all, as a person does at the service's site."""

        def vanish() -> None:
            for container in self.containers.values():
                container.stop("destroyed")
                shutil.rmtree(container.disk, ignore_errors=True)
            self.containers.clear()

        self._in_loop(vanish)

    def _in_loop(self, do: Callable[[], object]) -> None:
        async def run() -> None:
            do()

        asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    # -- serving -----------------------------------------------------------------------------------------

    async def _open(self) -> None:
        self._http = ClientSession(auto_decompress=False)

        @web.middleware
        async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._around(request, handler)

        app = web.Application(client_max_size=1 << 30, middlewares=[around])
        api, box = "/api/sandbox", "/toolbox/{id}"
        app.add_routes(
            [
                web.post(api, self._create),
                web.get(api, self._list),
                web.get(api + "/{id}", self._get),
                web.delete(api + "/{id}", self._delete),
                web.post(api + "/{id}/start", self._start),
                web.post(api + "/{id}/stop", self._stop),
                web.post(api + "/{id}/archive", self._archive),
                web.post(api + "/{id}/last-activity", self._touch),
                web.post(api + "/{id}/network-settings", self._network),
                web.get(api + "/{id}/ports/{port}/signed-preview-url", self._signed),
                web.route("*", "/preview/{port}/{token}/{path:.*}", self._preview),
                web.get("/api/volumes/by-name/{name}", self._volume_named),
                web.post("/api/volumes", self._volume_made),
                web.post(box + "/process/execute", self._execute),
                web.post(box + "/process/session", self._session_create),
                web.get(box + "/process/session/{s}", self._session_get),
                web.delete(box + "/process/session/{s}", self._session_delete),
                web.post(box + "/process/session/{s}/exec", self._session_exec),
                web.get(box + "/process/session/{s}/command/{c}/logs", self._session_logs),
                web.post(box + "/files/bulk-upload", self._upload),
                web.post(box + "/files/bulk-download", self._download),
                *fake_desktop.routes(self._of, box),
                *fake_snapshots.routes(self.snapshots, lambda: self.base),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.base = f"http://{host}:{port}"
        self.url = f"{self.base}/api"

    async def _close(self) -> None:
        self._stalled.clear()
        await self._http.close()
        await self._runner.cleanup()
        for container in self.containers.values():
            container.stop()

    async def _around(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.log.append((request.method, request.path))
        self.bytes_in += request.content_length or 0
        await self._flowing()
        ours = not request.path.startswith("/preview")
        if ours and request.headers.get("Authorization") != f"Bearer {KEY}":
            return _error(401, "Unauthorized")
        for fault in self.faults:
            method, part, status, headers = fault
            if method == request.method and part in request.path:
                self.faults.remove(fault)
                return _error(status, "a fault the test asked for", headers)
        if request.path.startswith("/toolbox/") and self._of(request).state != "started":
            return _error(502, "the sandbox is not running")
        try:
            response = await handler(request)
        except KeyError as error:
            return _error(404, f"not found: {error}")
        await self._flowing()
        for lost in self.lost_answers:
            if lost[0] == request.method and lost[1] in request.path:
                self.lost_answers.remove(lost)
                assert request.transport is not None
                request.transport.abort()
        if isinstance(response, web.Response) and isinstance(response.body, bytes):
            self.bytes_out += len(response.body)
        return response

    async def _flowing(self) -> None:
        while self._stalled.is_set():  # noqa: ASYNC110 - it is set by another thread
            await asyncio.sleep(0.02)

    def _of(self, request: web.Request) -> Container:
        name = request.match_info["id"]
        for container in self.containers.values():
            if name in (container.id, container.fields["name"]):
                return container
        raise web.HTTPNotFound(
            text=json.dumps({"statusCode": 404, "message": f"Sandbox {name} not found", "code": "NOT_FOUND"}),
            content_type="application/json",
        )

    # -- the API -----------------------------------------------------------------------------------------

    async def _create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if any(c.fields["name"] == body.get("name") for c in self.containers.values()):
            return _error(409, f"Sandbox with name {body['name']} already exists")
        container = Container(body, self.root, f"{self.base}/toolbox")
        self.containers[container.id] = container
        await asyncio.to_thread(container.start)
        return web.json_response(container.dto())

    async def _list(self, request: web.Request) -> web.Response:
        wanted = json.loads(request.query.get("labels", "{}")).items()
        found = [c.dto() for c in self.containers.values() if wanted <= c.fields["labels"].items()]
        return web.json_response({"items": found, "nextCursor": None})

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._of(request).dto())

    async def _delete(self, request: web.Request) -> web.Response:
        container = self._of(request)
        container.stop("destroyed")
        del self.containers[container.id]
        shutil.rmtree(container.disk, ignore_errors=True)
        return web.json_response(container.dto())

    async def _start(self, request: web.Request) -> web.Response:
        container = self._of(request)
        await asyncio.to_thread(container.start)
        return web.json_response(container.dto())

    async def _stop(self, request: web.Request) -> web.Response:
        container = self._of(request)
        container.stop()
        return web.json_response(container.dto())

    async def _volume_named(self, request: web.Request) -> web.Response:
        found = self.volumes[request.match_info["name"]]
        if found["state"] == "creating":
            self.volumes[found["name"]] = {**found, "state": "ready"}
        return web.json_response(found)

    async def _volume_made(self, request: web.Request) -> web.Response:
        name, now = (await request.json())["name"], time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        made = {"id": str(uuid4()), "name": name, "organizationId": "org", "state": "creating", "createdAt": now,
                "updatedAt": now, "lastUsedAt": now, "errorReason": None}  # fmt: skip
        self.volumes[name] = made
        return web.json_response(made)

    async def _archive(self, request: web.Request) -> web.Response:
        container = self._of(request)
        if container.state == "started":
            return _error(400, "sandbox is not stopped")
        container.state = "archived"
        return web.json_response(container.dto())

    async def _touch(self, request: web.Request) -> web.Response:
        self._of(request).touched += 1
        return web.Response(status=201)

    async def _network(self, request: web.Request) -> web.Response:
        container = self._of(request)
        container.fields.update(await request.json())
        return web.json_response(container.dto())

    async def _signed(self, request: web.Request) -> web.Response:
        port, token = int(request.match_info["port"]), uuid4().hex[:12]
        seconds = int(request.query.get("expiresInSeconds", 60))
        self.signed[token] = (self._of(request), port, time.monotonic() + seconds)
        url = f"{self.base}/preview/{port}/{token}/?seconds={seconds}"
        return web.json_response(
            {"sandboxId": self._of(request).id, "port": port, "token": token, "url": url}
        )

    async def _preview(self, request: web.Request) -> web.StreamResponse:
        """As the service's proxy: by token and for its time only, and to browsers first with a page of its own."""
        port = int(request.match_info["port"])
        container, signed, until = self.signed.get(request.match_info["token"], (None, 0, 0.0))
        if signed != port or time.monotonic() > until:
            return _error(401, "unauthorized: token is invalid or expired")
        if container is None or container.state != "started":
            return _error(502, "the sandbox is not running")
        self.previewed.append(request.match_info["token"])
        place = f"http://127.0.0.1:{port}/{request.match_info['path']}"
        query = {name: value for name, value in request.query.items() if name != "seconds"}
        left_out = ("host", "connection", "upgrade", "content-length", "transfer-encoding", "accept-encoding")
        headers = {k: v for k, v in request.headers.items() if k.lower() not in left_out}
        if headers.pop("X-Daytona-Skip-Preview-Warning", None) != "true" and "Upgrade" not in request.headers:
            return web.Response(text="<title>Preview URL Warning</title>", content_type="text/html")
        try:
            if "Upgrade" in request.headers:
                return await self._upgraded(request, place, headers)
            body = request.content if request.body_exists else None
            async with self._http.request(
                request.method, place, params=query, headers=headers, data=body, allow_redirects=False
            ) as answer:
                kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in left_out]
                response = web.StreamResponse(status=answer.status, headers=CIMultiDict(kept))
                await response.prepare(request)
                async for piece in answer.content.iter_any():
                    await response.write(piece)
                await response.write_eof()
                return response
        except ClientError as error:
            return _error(502, f"bad gateway: {error}")

    async def _upgraded(
        self, request: web.Request, place: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        kept = {k: v for k, v in headers.items() if not k.lower().startswith("sec-websocket")}
        asked = [p.strip() for p in request.headers.get("Sec-WebSocket-Protocol", "").split(",") if p.strip()]
        async with self._http.ws_connect(place, headers=kept, protocols=asked) as there:
            here = web.WebSocketResponse(protocols=[there.protocol] if there.protocol else [])
            await here.prepare(request)

            async def pump(source: Any, target: Any) -> None:
                async for message in source:
                    send = target.send_str if message.type == WSMsgType.TEXT else target.send_bytes
                    await send(message.data)
                await target.close()

            await asyncio.gather(pump(here, there), pump(there, here))
            return here

    # -- the toolbox -------------------------------------------------------------------------------------

    async def _execute(self, request: web.Request) -> web.Response:
        body, container = await request.json(), self._of(request)
        process = await asyncio.create_subprocess_exec(
            *container.entering(), "bash", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            async with asyncio.timeout(body.get("timeout")):
                said, _ = await process.communicate(body["command"].encode())
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            return _error(408, "command execution timeout")
        return web.json_response({"exitCode": process.returncode, "result": said.decode("utf-8", "replace")})

    async def _session_create(self, request: web.Request) -> web.Response:
        container, name = self._of(request), (await request.json())["sessionId"]
        if name in container.sessions:
            return _error(409, "session already exists")
        container.sessions[name] = Session(container)
        return web.Response(status=201)

    async def _session_get(self, request: web.Request) -> web.Response:
        name = request.match_info["s"]
        session = self._of(request).sessions[name]
        commands = [_known(command) for command in session.commands.values()]
        return web.json_response({"sessionId": name, "commands": commands})

    async def _session_delete(self, request: web.Request) -> web.Response:
        self._of(request).sessions.pop(request.match_info["s"]).close()
        return web.Response(status=204)

    async def _session_exec(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["runAsync"], "only what we use is here"
        number = self._of(request).sessions[request.match_info["s"]].run(body["command"])
        return web.json_response({"cmdId": number}, status=202)

    async def _session_logs(self, request: web.Request) -> web.StreamResponse:
        command = self._of(request).sessions[request.match_info["s"]].commands[request.match_info["c"]]
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        follower = asyncio.create_task(self._send_log(socket, command))
        followers = self._of(request).followers
        followers.add(follower)
        try:
            await asyncio.wait({follower})
            code = 1011 if follower.cancelled() else 1000  # the sandbox went away below it
            await socket.close(code=code)
        finally:
            follower.cancel()
            followers.discard(follower)
            self._sockets.discard(socket)
        return socket

    async def _send_log(self, socket: web.WebSocketResponse, command: dict[str, Any]) -> None:
        at = 0
        try:
            while not socket.closed:
                await self._flowing()
                over, piece = command["exit"] is not None, bytes(command["log"][at : at + 4096])
                if piece:
                    at += len(piece)
                    self.bytes_out += len(piece)
                    await socket.send_bytes(piece)
                elif over:
                    break
                else:
                    await asyncio.sleep(0.005)
        except ConnectionError:
            pass

    async def _upload(self, request: web.Request) -> web.Response:
        container, place = self._of(request), ""
        reader: Any = await request.multipart()
        while (part := await reader.next()) is not None:
            if part.name.endswith(".path"):
                place = (await part.text()).strip()
                continue
            file = container.path(place)
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("wb") as target:
                while piece := await part.read_chunk(1 << 20):
                    target.write(piece)
                    self.bytes_in += len(piece)
        return web.json_response({})

    async def _download(self, request: web.Request) -> web.Response:
        container, edge, body = self._of(request), b"DAYTONA-FILE-BOUNDARY", bytearray()
        for path in (await request.json())["paths"]:
            try:
                kind, mime, data = b"file", b"application/octet-stream", container.path(path).read_bytes()
            except OSError:
                said = {"message": "file not found", "statusCode": 404, "code": "FILE_NOT_FOUND"}
                kind, mime, data = b"error", b"application/json", json.dumps(said).encode()
            body += b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n' % (
                edge,
                kind,
                path.encode(),
            )
            body += b"Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s\r\n" % (mime, len(data), data)
        body += b"--%s--\r\n" % edge
        return web.Response(
            body=bytes(body), headers={"Content-Type": f"multipart/form-data; boundary={edge.decode()}"}
        )


def _known(command: dict[str, Any]) -> dict[str, Any]:
    found = {"id": command["id"], "command": command["command"], "exitCode": command["exit"]}
    return {name: value for name, value in found.items() if value is not None}


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    said = {"statusCode": status, "message": message, "source": "DAYTONA_API", "code": f"E{status}"}
    return web.json_response(said, status=status, headers=headers)
