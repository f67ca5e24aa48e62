"""The Daytona sandbox when things go wrong: the service, the network, the other side."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent_kernel import previews
from agent_kernel.errors import SandboxDenied, SandboxNotFound, SandboxUnavailable, SettingsError
from agent_kernel.previews import Answer, answer_of
from agent_kernel.sandbox import daytona as daytona_module
from agent_kernel.sandbox.base import Exit, NetworkPolicy, Sandbox, Stdout
from agent_kernel.sandbox.daytona_api import Access, mounted
from tests.ports import free_port
from tests.sandbox.conftest import QUICK, eventually
from tests.sandbox.fake_daytona import KEY, FakeDaytona

OpenRemote = Callable[..., Awaitable[Sandbox]]
SOON_SILENT = replace(QUICK, silence=1, tick=0.2)


def asked(daytona: FakeDaytona, method: str, part: str) -> int:
    return sum(m == method and part in path for m, path in daytona.log)


def listens(port: int) -> bool:
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0


# -- the service -----------------------------------------------------------------------------------------


async def test_what_may_pass_is_tried_again(daytona: FakeDaytona, open_remote: OpenRemote) -> None:
    for method, part, status in [
        ("GET", "/api/sandbox/", 429),
        ("POST", "/api/sandbox", 503),
        ("POST", "/process/execute", 502),
        ("POST", "/process/session", 500),
        ("POST", "/exec", 429),
        ("POST", "/bulk-upload", 504),
    ]:
        daytona.fail(method, part, status, times=2)
    sandbox = await open_remote()
    assert (await sandbox.exec("echo fine")).stdout == "fine\n"
    assert not daytona.faults


async def test_the_service_is_given_the_time_it_asks_for(
    daytona: FakeDaytona, open_remote: OpenRemote
) -> None:
    sandbox = await open_remote()
    daytona.fail("POST", "/process/execute", 429, 1, **{"Retry-After": "0.5"})
    loop = asyncio.get_running_loop()
    since = loop.time()
    await sandbox.list_dir(".")
    assert loop.time() - since >= 0.5


async def test_what_does_not_pass_ends_in_a_sentence(daytona: FakeDaytona, open_remote: OpenRemote) -> None:
    sandbox = await open_remote()
    daytona.fail("POST", "/process/execute", 502, times=QUICK.attempts)
    with pytest.raises(SandboxUnavailable, match=r"^Daytona did not answer: .* Is the network there\?$"):
        await sandbox.list_dir(".")
    assert await sandbox.list_dir(".") == [], "afterwards it is as before"


async def test_a_wrong_key_is_said(open_remote: OpenRemote, daytona: FakeDaytona) -> None:
    with pytest.raises(SandboxDenied, match="refuses the key"):
        await open_remote(access=Access("wrong", daytona.url, "us"))


async def test_a_command_whose_start_was_answered_into_nothing_runs_once(
    daytona: FakeDaytona, open_remote: OpenRemote, workspace: Path
) -> None:
    sandbox = await open_remote()
    await sandbox.exec("true")
    daytona.lose_answer("POST", "/exec")
    result = await sandbox.exec("echo x >> effects; sleep 0.5; echo done")
    assert (result.stdout, result.error) == ("done\n", "")
    await sandbox.snapshot()
    assert (workspace / "effects").read_text() == "x\n"


async def test_a_word_that_was_answered_into_nothing_is_heard_once(
    daytona: FakeDaytona, open_remote: OpenRemote
) -> None:
    sandbox = await open_remote()
    seen = b""
    async for item in sandbox.stream("echo ready; read a; read -t 1 b; echo $a$b", job="j", keep_stdin=True):
        if isinstance(item, Stdout):
            seen += item.data
            if seen == b"ready\n":
                daytona.lose_answer("POST", "/process/execute")
                await sandbox.send("j", b"word\n")
    assert seen == b"ready\nword\n"


async def test_two_that_open_it_at_once_have_the_same(daytona: FakeDaytona, open_remote: OpenRemote) -> None:
    first, second = await asyncio.gather(open_remote(), open_remote())
    await first.exec("echo mine > /session/x")
    assert (await second.exec("cat /session/x")).stdout == "mine\n"
    assert len(daytona.containers) == 1


async def test_a_sandbox_of_somebody_else_by_that_name_is_not_touched(
    daytona: FakeDaytona, open_remote: OpenRemote
) -> None:
    await open_remote()
    daytona.only.fields["labels"] = {"agent-kernel.session": "another"}
    with pytest.raises(SandboxDenied, match="not of this session"):
        await open_remote()


async def test_volumes_are_mounted_and_made_where_there_are_none(
    daytona: FakeDaytona, open_remote: OpenRemote, access: Access
) -> None:
    await open_remote(access=replace(access, volumes=("sales:/data/sales",)))
    (mount,) = daytona.only.body["volumes"]
    assert (mount["volumeId"], mount["mountPath"]) == (daytona.volumes["sales"]["id"], "/data/sales")
    for wrong in ("sales", "sales:data", "sales:/workspace/x", "a b:/data", "sales:/data/../etc"):
        with pytest.raises(SettingsError, match="daytona_volumes"):
            mounted(wrong)


async def test_it_is_created_as_was_said(daytona: FakeDaytona, open_remote: OpenRemote) -> None:
    sandbox = await open_remote()
    body = daytona.only.body
    assert body["name"] == "agent-kernel-s-1"
    assert body["labels"].items() >= {"agent-kernel.session": "s-1", "app": "agent-kernel"}.items()
    assert (body["autoStopInterval"], body["autoArchiveInterval"]) == (15, 10_080)
    assert (body["networkBlockAll"], body["target"]) == (True, "us")
    await sandbox.set_network(NetworkPolicy(allow=("example.org", "*.example.com")))
    assert daytona.only.fields["domainAllowList"] == "example.org,*.example.com"
    assert daytona.only.fields["networkBlockAll"] is False
    assert KEY not in (await sandbox.exec("env; cat /proc/*/environ | tr '\\0' '\\n'")).stdout


# -- the network -----------------------------------------------------------------------------------------


async def test_streams_that_are_cut_go_on_without_a_gap_or_a_double(
    daytona: FakeDaytona, open_remote: OpenRemote
) -> None:
    sandbox = await open_remote()
    seen, words = b"", 0
    lines = "for i in $(seq 200); do echo line $i; sleep 0.01; [ $((i % 50)) != 0 ] || read word; done"
    async for item in sandbox.stream(lines, job="j", keep_stdin=True):
        if isinstance(item, Stdout):
            seen += item.data
            if seen.count(b"\n") == 50 * (words + 1):  # it waits for a word, and goes on while it is cut
                words += 1
                await sandbox.send("j", b"go on\n")
                await asyncio.to_thread(daytona.cut)
    assert words == 4
    assert seen.decode() == "".join(f"line {i}\n" for i in range(1, 201))


async def test_a_network_that_stalls_and_comes_back_loses_nothing(
    daytona: FakeDaytona, open_remote: OpenRemote, workspace: Path
) -> None:
    sandbox = await open_remote(patience=SOON_SILENT)
    seen, stalled = b"", False
    async for item in sandbox.stream("echo first; sleep 1; echo second; exit 7"):
        if isinstance(item, Stdout):
            seen += item.data
            if not stalled:
                stalled = True
                daytona.stall()
                asyncio.get_running_loop().call_later(2.5, daytona.go_on)
        elif isinstance(item, Exit):
            assert item.exit_code == 7, item
    assert seen == b"first\nsecond\n"


async def test_a_network_that_stays_away_ends_in_a_sentence(
    daytona: FakeDaytona, open_remote: OpenRemote
) -> None:
    sandbox: Any = await open_remote(patience=SOON_SILENT)
    last = None
    async for item in sandbox.stream("echo begun; sleep 60"):
        if isinstance(item, Stdout):
            daytona.stall()
            sandbox._service.patience = replace(SOON_SILENT, request=1, attempts=2)
        last = item
        if isinstance(item, Exit):
            sandbox._service.patience = SOON_SILENT
            daytona.go_on()
    assert isinstance(last, Exit) and last.exit_code == -9
    assert "connection to the sandbox was lost" in last.error, last


async def test_a_flood_of_output_is_cut_over_there(daytona: FakeDaytona, open_remote: OpenRemote) -> None:
    sandbox = await open_remote()
    before = daytona.bytes_out
    result = await sandbox.exec(
        "head -c 50000000 /dev/zero | tr '\\0' x; echo end", max_output=3_000_000, timeout=60
    )
    assert result.stdout.endswith("end\n") and not result.error
    assert result.truncated > 45_000_000
    assert daytona.bytes_out - before < 5_000_000, "what is not shown does not travel"


# -- its life ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["stopped", "archived"])
async def test_one_that_the_service_stopped_is_started_again(
    daytona: FakeDaytona, open_remote: OpenRemote, state: str
) -> None:
    sandbox = await open_remote()
    await sandbox.write("/session/kept", b"kept")
    container = daytona.only
    await asyncio.to_thread(daytona.stop, state)
    assert await sandbox.read("/session/kept") == b"kept"
    assert daytona.only is container


async def test_one_that_vanished_is_made_anew_with_the_persons_files(
    daytona: FakeDaytona, open_remote: OpenRemote, workspace: Path
) -> None:
    (workspace / "a.txt").write_text("kept")
    sandbox = await open_remote()
    await asyncio.to_thread(daytona.vanish)
    assert (await sandbox.exec("cat a.txt")).stdout == "kept"
    assert (workspace / "a.txt").read_text() == "kept", "an empty sandbox has deleted nothing"


async def test_a_workspace_removed_over_there_is_brought_back_and_not_deleted_here(
    open_remote: OpenRemote, workspace: Path
) -> None:
    (workspace / "a.txt").write_text("kept")
    sandbox = await open_remote()
    await sandbox.exec("rm -rf /workspace", cwd="/")
    await sandbox.snapshot()
    assert (workspace / "a.txt").read_text() == "kept"
    assert (await sandbox.exec("cat a.txt")).stdout == "kept"


async def test_jobs_of_a_host_that_is_not_heard_of_end_by_themselves(
    daytona: FakeDaytona, open_remote: OpenRemote
) -> None:
    sandbox = await open_remote(patience=replace(SOON_SILENT, beat=3600))
    stream = sandbox.stream("echo begun; sleep 4321")
    assert await anext(aiter(stream)) == Stdout(b"begun\n")
    for heard in daytona.only.path("/session/.agent-kernel/owners").iterdir():
        os.utime(heard, (0, 0))  # for longer than the lease
    items = [item async for item in stream]
    assert isinstance(items[-1], Exit) and "host was not heard of" in items[-1].error
    assert not any("4321" in line for line in daytona.only.processes())


async def test_it_is_kept_awake_while_something_runs_or_is_looked_at(
    daytona: FakeDaytona, open_remote: OpenRemote
) -> None:
    await open_remote()
    await eventually(lambda: daytona.only.touched >= 2)


async def test_servers_are_listed_and_their_addresses_renewed_while_somebody_looks(
    daytona: FakeDaytona, open_remote: OpenRemote, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox = await open_remote(patience=replace(QUICK, preview=600, beat=0.2))
    port = free_port()  # the fake's containers share this machine's network
    assert await sandbox.ports() == []
    page = "<title>Far &amp; away</title>"
    await sandbox.write("index.html", page.encode())
    serve = f"(setsid python3 -m http.server {port} --bind 127.0.0.1 >/dev/null 2>&1 &) ; sleep 0.1"
    await sandbox.exec(serve, background=True)
    await eventually(lambda: listens(port))
    assert await sandbox.ports() == [port], "also what has left its parent; nothing of the service's own"
    monkeypatch.setattr(previews, "PATIENCE", 60.0)
    assert await answer_of(sandbox, port) == Answer(http=True, title="Far & away")
    first = await sandbox.open_port(port)
    assert "seconds=600" in first.url
    assert (await sandbox.open_port(port)).url == first.url
    assert asked(daytona, "GET", "signed-preview-url") == 1
    touched = daytona.only.touched
    monkeypatch.setattr(daytona_module, "RENEW", 1.0)
    await eventually(lambda: asked(daytona, "GET", "signed-preview-url") > 1)
    monkeypatch.setattr(daytona_module, "RENEW", 0.4)
    await eventually(lambda: daytona.only.touched > touched)  # it is kept awake
    assert (await sandbox.open_port(port)).url != first.url
    await sandbox.kill()
    assert not any("http.server" in line for line in daytona.only.processes())
    assert await sandbox.ports() == []
    with pytest.raises(SandboxNotFound, match=str(port)):
        await sandbox.open_port(port)


async def test_deleting_leaves_nothing_there_and_the_workspace_here(
    daytona: FakeDaytona, open_remote: OpenRemote, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "a.txt").write_text("kept")
    sandbox = await open_remote()
    await sandbox.delete()
    assert not daytona.containers
    assert not (tmp_path / "data" / "s-1").exists()
    assert (workspace / "a.txt").exists()


async def test_an_image_without_what_is_needed_says_so(daytona: FakeDaytona, open_remote: OpenRemote) -> None:
    sandbox = await open_remote()
    await sandbox.stop()
    container = daytona.only
    shutil.rmtree(container.disk / "session" / ".agent-kernel")
    shutil.rmtree(container.disk / "workspace")
    (container.disk / "workspace").write_text("in the way")
    (container.disk / "workspace").chmod(0)
    with pytest.raises(SandboxUnavailable, match=re.escape("image lacks /workspace, or does not let")):
        await open_remote()
