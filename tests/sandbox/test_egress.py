"""The way out: who may be reached, who is asked, and who never is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_kernel.sandbox import open_sandbox, probe
from agent_kernel.sandbox.base import NetworkPolicy, NetworkRequest, Sandbox, Stdout
from agent_kernel.sandbox.egress import MOST_CLIENTS, is_public, matches, parse

pytestmark = pytest.mark.skipif(
    not any(report.tier == "bubblewrap" and report.available for report in probe()),
    reason="only bubblewrap's tier has a way out",
)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    (tmp_path / "work").mkdir()
    opened = await open_sandbox(workspace=tmp_path / "work", data_dir=tmp_path / "data", tier="bubblewrap")
    async with opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[tuple[int, list[str]]]:
    """A web server on loopback: its port, and the `Host` of each request."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        seen.extend(line[6:] for line in head.split("\r\n") if line.startswith("Host: "))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nREACHED")
        await writer.drain()
        writer.close()

    made = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield made.sockets[0].getsockname()[1], seen
    made.close()


async def get(sandbox: Sandbox, url: str, *headers: str) -> str:
    """The body, or the first line of what went wrong; asked for with urllib through the proxy of the environment."""
    code = (
        "import sys, urllib.request as u, urllib.error\n"
        "u.install_opener(u.build_opener(u.ProxyHandler({'http': 'http://127.0.0.1:3128'})))\n"
        "request = u.Request(sys.argv[1], headers=dict(h.split('=') for h in sys.argv[2:]))\n"
        "try: print(u.urlopen(request, timeout=30).read().decode())\n"
        "except urllib.error.HTTPError as error: print(error.code, error.read().decode())\n"
    )
    result = await sandbox.exec(
        ["python3", "-c", code, url, *headers], env={"no_proxy": "", "NO_PROXY": ""}, timeout=60
    )
    return result.stdout + result.stderr


async def test_nothing_can_be_reached_by_default_and_the_answer_says_which_host(sandbox: Sandbox) -> None:
    said = await get(sandbox, "http://data.example.org/x.csv")
    assert said.startswith("403 ")
    assert "data.example.org may not be reached" in said


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254",
     "10.0.0.1", "[fe80::1]", "[64:ff9b::7f00:1]", "0.0.0.0"],
)  # fmt: skip
async def test_private_addresses_are_refused_however_they_are_written_and_nobody_is_asked(
    sandbox: Sandbox, server: tuple[int, list[str]], host: str
) -> None:
    asked: list[str] = []

    async def ask(request: NetworkRequest) -> bool:
        asked.append(request.host)
        return True

    for policy in (NetworkPolicy(allow=("*",)), NetworkPolicy(ask=ask)):
        await sandbox.set_network(policy)
        said = await get(sandbox, f"http://{host}:{server[0]}/")
        assert said.startswith(("403 ", "502 "))  # 502: the resolver does not know this way of writing
    assert (asked, server[1]) == ([], [])


async def test_a_pair_made_for_it_can_be_reached_and_is_told_the_host_that_was_checked(
    sandbox: Sandbox, server: tuple[int, list[str]]
) -> None:
    port, seen = server
    await sandbox.set_network(NetworkPolicy(allow_private=frozenset({("127.0.0.1", port)})))
    assert await get(sandbox, f"http://127.0.0.1:{port}/a?b", "Host=internal.example.org") == "REACHED\n"
    assert seen == [f"127.0.0.1:{port}"]
    assert (await get(sandbox, f"http://127.0.0.1:{port + 1}/")).startswith("403 ")


async def test_one_question_serves_all_who_wait_for_its_answer(sandbox: Sandbox) -> None:
    asked: list[NetworkRequest] = []
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def ask(request: NetworkRequest) -> bool:
        asked.append(request)
        return await answer

    await sandbox.set_network(NetworkPolicy(ask=ask))
    code = (
        "import socket\n"
        "made = [socket.create_connection(('127.0.0.1', 3128)) for _ in range(3)]\n"
        "for s in made: s.send(b'CONNECT data.example.org:443 HTTP/1.1\\r\\n\\r\\n')\n"
        "print('sent', flush=True)\n"
        "print(sum(b'did not allow' in s.recv(999) for s in made))\n"
    )
    said = b""
    async for item in sandbox.stream(["python3", "-c", code], timeout=60):
        if isinstance(item, Stdout):
            said += item.data
            if said == b"sent\n":
                assert "private" in await get(
                    sandbox, "http://127.0.0.1:9/"
                )  # the proxy has heard all before it
                answer.set_result(False)
    assert said == b"sent\n3\n"
    assert asked == [NetworkRequest("data.example.org", 443)]


async def test_a_question_that_fails_is_a_refusal(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    async def ask(request: NetworkRequest) -> bool:
        raise RuntimeError("no screen")

    await sandbox.set_network(NetworkPolicy(ask=ask))
    assert "did not allow" in await get(sandbox, "http://data.example.org/")


async def test_a_host_on_the_list_of_refused_ones_is_not_asked_about(sandbox: Sandbox) -> None:
    async def ask(request: NetworkRequest) -> bool:
        raise AssertionError(request)

    await sandbox.set_network(NetworkPolicy(deny=("*.example.org",), ask=ask))
    assert "are not allowed" in await get(sandbox, "http://data.example.org/")


async def test_many_connections_do_not_use_up_the_host(sandbox: Sandbox) -> None:
    code = (
        "import socket; made = [socket.create_connection(('127.0.0.1', 3128)) for _ in range(400)]\n"
        "print(sum(b'503' in s.recv(100) for s in made[300:]))"
    )
    assert (await sandbox.exec(["python3", "-c", code], timeout=60)).stdout == "100\n"
    assert MOST_CLIENTS < 300


async def test_what_is_not_http_is_answered(sandbox: Sandbox) -> None:
    connect = "import socket; s = socket.create_connection(('127.0.0.1', 3128))"
    code = connect + "; s.send(b'x\\r\\n\\r\\n'); print(s.recv(40))"
    assert "400 Bad Request" in (await sandbox.exec(["python3", "-c", code], timeout=60)).stdout


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    ["100.64.0.1", "168.63.129.16", "192.168.1.1", "224.0.0.1", "::", "fc00::1", "fe80::1%eth0", "::ffff:10.0.0.1",
     "2002:7f00:1::", "::127.0.0.1", "64:ff9b::a9fe:a9fe"],
)  # fmt: skip
def test_addresses_of_no_internet_are_not(address: str) -> None:
    assert not is_public(address)


def test_a_star_covers_the_name_and_what_is_below_it() -> None:
    assert matches("example.org", ("*.example.org",))
    assert matches("a.example.org", ("*.example.org",))
    assert not matches("badexample.org", ("*.example.org",))
    assert not matches("example.org.evil", ("*.example.org",))


def test_hosts_and_ports_are_read_as_written() -> None:
    assert parse(b"CONNECT Example.ORG.:443 HTTP/1.1\r\n\r\n") == ("example.org", 443, None)
    assert parse(b"CONNECT [::1]:443 HTTP/1.1\r\n\r\n")[0] == "::1"
    host, port, forward = parse(b"GET http://user@example.org/a%20b HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n")
    assert (host, port) == ("example.org", 80)
    assert forward == b"GET /a%20b HTTP/1.1\r\nHost: example.org\r\nA: b\r\nConnection: close\r\n\r\n"
