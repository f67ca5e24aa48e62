"""The protocol's own conformance suite, against our client and our server.

It is an npm package; where npm cannot fetch it, these tests are skipped. docs/mcp.md says which of its scenarios
pass and which do not apply. Here are those that test a part of their own: the rest of `auth/` walks the same paths.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.npm import BIN, fetched, node
from tests.ports import free_port

VERSION = "0.1.16"
CLIENT = [
    "initialize",
    "tools_call",
    "elicitation-sep1034-client-defaults",
    "sse-retry",
    "auth/metadata-default",
    "auth/basic-cimd",
    "auth/pre-registration",
    "auth/resource-mismatch",
    "auth/scope-step-up",
    "auth/2025-03-26-oauth-metadata-backcompat",
    "auth/client-credentials-jwt",
    "auth/client-credentials-basic",
    "auth/cross-app-access-complete-flow",
]
ELSEWHERE = re.compile(
    r"auth/(metadata-var\d|scope-(from-.*|omitted-.*|retry-limit)|token-endpoint-.*|offline-access-.*|.*-endpoint-fallback)"
)
"""Those that pass and walk the same paths as CLIENT's: run by hand when the suite's version changes."""
SERVER = ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"]
SUITES_OWN = re.compile(
    r"(tools-call|resources|prompts|elicitation|json-schema|server-sse|logging|completion)-.*"
)
"""Scenarios that call tools, resources and prompts of the suite's own test server, or what ours does not say it has."""


@pytest.fixture(scope="session")
def suite() -> list[str]:
    """The command of the suite, kept between runs."""
    place = fetched("@modelcontextprotocol/conformance", VERSION, "conformance")
    return [node(), str(place / "dist" / "index.js")]


def failures(folder: Path) -> list[str]:
    """What the suite found wrong in its checks."""
    checks = [check for path in folder.rglob("checks.json") for check in json.loads(path.read_text())]
    assert checks, "the suite checked nothing"
    return [f"{check['id']}: {check.get('errorMessage')}" for check in checks if check["status"] == "FAILURE"]


def test_our_client_conforms(suite: list[str], tmp_path: Path) -> None:
    command = f"{sys.executable} {Path(__file__).with_name('conformance_client.py')}"

    def check(scenario: str) -> tuple[str, int, list[str], str]:
        home = tmp_path / scenario
        home.mkdir(parents=True)
        done = subprocess.run(
            [*suite, "client", "--command", command, "--scenario", scenario, "-o", "out", "--timeout", "60000"],
            capture_output=True, text=True, timeout=90, cwd=home,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "CONFORMANCE_HOME": str(home)},
        )  # fmt: skip
        return scenario, done.returncode, failures(home), done.stdout[-1_500:] + done.stderr[-1_500:]

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(check, CLIENT))
    assert [(scenario, wrong, said) for scenario, code, wrong, said in found if code or wrong] == []


def test_every_scenario_is_accounted_for(suite: list[str]) -> None:
    listed = subprocess.run([*suite, "list"], capture_output=True, text=True, timeout=60, check=True).stdout
    of_servers, of_clients = (
        re.findall(r"^  - (\S+)", part, re.MULTILINE) for part in listed.split("Client scenarios")
    )
    assert len(of_clients) > 20 and len(of_servers) > 20
    assert [name for name in of_servers if name not in SERVER and not SUITES_OWN.fullmatch(name)] == []
    assert [name for name in of_clients if name not in CLIENT and not ELSEWHERE.fullmatch(name)] == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `agent-kernel mcp serve --http`."""
    folder = tmp_path_factory.mktemp("served")
    process = subprocess.Popen(
        [str(BIN / "agent-kernel"), "mcp", "serve", "--model", "demo", "--http", str(free_port())],
        stderr=subprocess.PIPE, text=True, cwd=folder,
        env={**os.environ, "AGENT_KERNEL_DATA_DIR": str(folder / "data")},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        address = process.stderr.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/mcp", address), address
        yield address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_our_server_conforms(suite: list[str], served: str, tmp_path: Path) -> None:
    for scenario in SERVER:
        done = subprocess.run(
            [*suite, "server", "--url", served, "--scenario", scenario, "-o", scenario],
            capture_output=True, text=True, timeout=90, cwd=tmp_path,
        )  # fmt: skip
        assert failures(tmp_path / scenario) == [], done.stdout[-3_000:] + done.stderr[-3_000:]
        assert done.returncode == 0, done.stdout[-3_000:]
