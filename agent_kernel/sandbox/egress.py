"""The way out: an allow-list HTTP proxy on the host, listening on a socket made inside the sandbox.

The sandbox needs no network of its own for it. A name is resolved once, here, and the connection goes to the
address that was checked, so that a second answer of the name server cannot lead elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import fnmatch
import ipaddress
import logging
import socket
from urllib.parse import urlsplit

from agent_kernel.sandbox.base import NetworkDecision, NetworkPolicy, NetworkRequest

PROXY_PORT = 3128
HEAD_TIMEOUT, CONNECT_TIMEOUT, ASK_TIMEOUT = 20.0, 15.0, 600.0
MOST_HEAD = 64 << 10
MOST_CLIENTS = 128
"""At once; each takes two descriptors of this process, which is the person's kernel."""
_NEVER = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
        "192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
        "::/128", "::1/128", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
]  # fmt: skip
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")


class Refused(Exception):
    """Why a connection is not made; the text is the answer's body."""


def is_public(address: str) -> bool:
    """False for private, link-local, metadata and every other address that is not of the internet, also when
    it hides in an IPv6 one."""
    found = ipaddress.ip_address(address.split("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        hidden = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if hidden is None and (found in _TRANSLATED or int(found) >> 32 == 0):
            hidden = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if hidden is not None:
            return is_public(str(hidden))
    refused = any(found.version == network.version and found in network for network in _NEVER)
    return found.is_global and not refused


def matches(host: str, patterns: tuple[str, ...]) -> bool:
    """`*.example.org` covers `example.org` and what is below it."""
    return any(fnmatch.fnmatch(host, p) or (p.startswith("*.") and host == p[2:]) for p in patterns)


def is_broad(pattern: str) -> bool:
    """True for a pattern like `*` or `*.com`, which names nobody in particular."""
    return "*" in pattern and "." not in pattern.strip("*?.")


class Gate:
    """Decides who may be reached, and at which address: for the sandbox's proxy, and for tools that read the web on
    this side of it. `policy` may change at any time."""

    def __init__(self, policy: NetworkPolicy) -> None:
        self.policy = policy
        self._asking: dict[NetworkRequest, asyncio.Task[bool]] = {}

    async def address(self, request: NetworkRequest) -> str:
        """The address to connect to. Raises Refused, or OSError where the name is not known."""
        policy, host, port = self.policy, request.host, request.port
        if matches(host, policy.deny):
            raise Refused(f"Connections to {host} are not allowed.")
        if not matches(host, policy.allow) and (host, port) not in policy.allow_private:
            _refuse_private_literal(host)
            if policy.ask is None:
                raise Refused(
                    f"{host} may not be reached: it is not on the list of allowed hosts. A person can add it."
                )
            if not await self._ask(request):
                raise Refused(f"The person did not allow a connection to {host}.")
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        for *_, address in found:
            if is_public(str(address[0])) or (host, port) in policy.allow_private:
                return str(address[0])
        raise Refused(f"{host} is a private address; those are never reachable from the sandbox.")

    async def _ask(self, request: NetworkRequest) -> bool:
        """Ask once for all connections that wait for the same answer; again where a new policy came instead of one."""
        while (policy := self.policy).ask is not None:
            task = self._asking.get(request)
            if task is None:
                task = self._asking[request] = asyncio.create_task(_asked(request, policy.ask))
                task.add_done_callback(lambda _: self._asking.pop(request, None))
            await asyncio.wait({task})
            if not task.cancelled():
                return task.result()
            if self.policy is policy:
                break
        return False

    def stop_asking(self) -> list[asyncio.Task[bool]]:
        """The questions that were still open."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        return tasks


class EgressProxy(Gate):
    """HTTP forward and CONNECT. `reached`: it has led somewhere."""

    def __init__(self, policy: NetworkPolicy) -> None:
        super().__init__(policy)
        self.reached = False
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def serve(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        self._server = await asyncio.start_server(self._client, sock=listener, limit=MOST_HEAD)

    async def change(self, policy: NetworkPolicy) -> None:
        """From now on. Nobody waits any more for what the policy before it was asked."""
        self.policy = policy
        await asyncio.gather(*self.stop_asking(), return_exceptions=True)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, *self.stop_asking(), return_exceptions=True)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._clients) >= MOST_CLIENTS:
            writer.write(answer("503 Service Unavailable", "Too many connections at once."))
            writer.close()
            return
        self._clients.add(task)
        try:
            await self._serve_one(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            pass  # the client went away, or never spoke HTTP
        except asyncio.CancelledError:
            pass  # by `stop` alone; whoever made this task reports a cancelled one as an error
        finally:
            self._clients.discard(task)
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_TIMEOUT):
            head = await reader.readuntil(b"\r\n\r\n")
        try:
            host, port, forward = parse(head)
        except ValueError:
            writer.write(answer("400 Bad Request", "This is a proxy for HTTP, and for CONNECT."))
            await writer.drain()
            return
        try:
            request = NetworkRequest(host, port)
            address = await self.address(request)
            async with asyncio.timeout(CONNECT_TIMEOUT):
                upstream = await asyncio.open_connection(address, port)
        except Refused as error:
            writer.write(answer("403 Forbidden", str(error)))
            await writer.drain()
            return
        except (OSError, TimeoutError) as error:
            writer.write(
                answer("502 Bad Gateway", f"{host}:{port} cannot be reached: {error or 'timed out'}.")
            )
            await writer.drain()
            return
        self.reached = True
        if self.policy.heard is not None:
            self.policy.heard(request)
        if forward is None:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            upstream[1].write(forward)
        try:
            await asyncio.gather(_copy(reader, upstream[1]), _copy(upstream[0], writer))
        finally:
            upstream[1].close()


async def _asked(request: NetworkRequest, ask: NetworkDecision) -> bool:
    try:
        async with asyncio.timeout(ASK_TIMEOUT):
            return await ask(request)
    except Exception:
        logging.getLogger(__name__).exception("asking about %s failed; it is refused", request.host)
        return False


def _refuse_private_literal(host: str) -> None:
    """A person is not bothered about an address that could never be reached, however it is written: the system's
    resolver also takes decimal, octal and shortened IPv4 addresses."""
    written = host
    with contextlib.suppress(OSError, UnicodeError):
        written = socket.inet_ntoa(socket.inet_aton(host))
    private = host == "localhost" or host.endswith(".localhost")
    with contextlib.suppress(ValueError):
        private = private or not is_public(written)
    if private:
        raise Refused(f"{host} is a private address; those are never reachable from the sandbox.")


def parse(head: bytes) -> tuple[str, int, bytes | None]:
    """Host, port, and the request to forward (None for CONNECT). Raises ValueError.

    The `Host` that is forwarded is the one that was checked: what answers at an allowed address may serve others.
    """
    line, _, rest = head.partition(b"\r\n")
    method, target, _ = line.decode("latin-1").split(" ", 2)
    if method == "CONNECT":
        host, _, port = target.rpartition(":")
        return host.strip("[]").lower().rstrip("."), int(port), None
    url = urlsplit(target)
    if url.scheme != "http" or not url.hostname:
        raise ValueError(target)
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    kept = [
        header
        for header in rest.rstrip(b"\r\n").split(b"\r\n")
        if not header.lower().startswith((b"proxy-", b"connection:", b"host:"))
    ]
    name = url.netloc.rpartition("@")[2]
    first = f"{method} {path} HTTP/1.1\r\nHost: {name}".encode("latin-1")
    lines = [first, *kept, b"Connection: close", b"", b""]
    return url.hostname.lower().rstrip("."), url.port or 80, b"\r\n".join(lines)


def answer(status: str, text: str) -> bytes:
    body = f"agent-kernel: {text}\n".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError, NotImplementedError):
        writer.write_eof()
