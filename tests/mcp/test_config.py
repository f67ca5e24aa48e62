"""What may be said of servers, by whom, and what becomes of files that say something else."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.errors import SettingsError
from agent_kernel.mcp.config import MOST_BYTES, Configuration, expanded, server
from agent_kernel.mcp.templates import TEMPLATES


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    return Configuration(tmp_path / "data", "me")


def write(workspace: Path, **servers: Any) -> None:
    (workspace / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))


def test_servers_are_added_switched_and_removed(configuration: Configuration) -> None:
    configuration.add("one", {"command": "run", "args": ["-x"], "timeout": 5})
    configuration.add("two", {"url": "https://example.org/mcp", "headers": {"A": "b"}})
    configuration.switch("one", on=False)
    found = configuration.find()
    assert [(one.name, one.kind, one.timeout) for one in found.servers] == [
        ("one", "sandbox", 5.0),
        ("two", "http", 60.0),
    ]
    assert list(found.on) == ["two"]
    configuration.remove("one")
    configuration.add("one", {"command": "run"})
    assert list(configuration.find().on) == ["one", "two"], "what is added anew is not off"
    assert oct(configuration.path.stat().st_mode)[-3:] == "600"


def test_what_is_there_already_or_not_there_is_said(configuration: Configuration) -> None:
    configuration.add("one", {"command": "run"})
    with pytest.raises(SettingsError, match="There is a server 'one' already"):
        configuration.add("one", {"command": "run"})
    for change in (configuration.remove, lambda name: configuration.switch(name, on=True)):
        with pytest.raises(SettingsError, match="There is no MCP server 'two'"):
            change("two")


def test_servers_added_at_once_are_all_kept(configuration: Configuration) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: configuration.add(f"s{n}", {"command": "run"}), range(24)))
    assert len(configuration.find().servers) == 24


@pytest.mark.parametrize(
    ("name", "said", "problem"),
    [
        ("a__b", {"command": "x"}, "cannot be a server's name"),
        ("../x", {"command": "x"}, "cannot be a server's name"),
        ("", {"command": "x"}, "cannot be a server's name"),
        ("s", [], "not an object"),
        ("s", {}, "`command` or `url`"),
        ("s", {"command": "x", "url": "https://a.b"}, "`command` or `url`"),
        ("s", {"command": 3}, "command is not a text"),
        ("s", {"command": "x", "args": "y"}, "args is not a list of texts"),
        ("s", {"command": "x\n"}, "command is not a text"),
        ("s", {"command": "x", "env": {"A": 1}}, "env is not an object of texts"),
        ("s", {"url": "file:///etc/passwd"}, "not an http"),
        ("s", {"url": "https://user:pass@example.org"}, "without a password"),
        ("s", {"url": "https://example.org", "type": "sse"}, "type 'sse' does not fit"),
        ("s", {"command": "x", "timeout": -1}, "timeout is not a number of seconds"),
        ("s", {"command": "x", "timeout": True}, "timeout is not a number of seconds"),
        ("s", {"command": "x", "trusted": "yes"}, "neither sandbox nor host"),
        ("s", {"command": "x", "comand": "y"}, "unknown 'comand'"),
        ("s", {"command": "x", "env": {"T": "${TOKEN}"}}, "would enter the sandbox"),
        ("s", {"command": "x", "args": ["${TOKEN}"]}, "would enter the sandbox"),
    ],
)
def test_what_cannot_be_a_server_is_refused_with_the_reason(name: str, said: Any, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem.replace("(", r"\(")):
        server(name, said, "user")


@pytest.mark.parametrize(
    "said",
    [
        {"command": "x", "trusted": "host"},
        {"command": "x", "allow": ["*"]},
        {"command": "x", "env": {"T": "${TOKEN}"}},
        {"url": "https://example.org", "headers": {"A": "Bearer ${ANTHROPIC_API_KEY}"}},
        {"url": "https://example.org/${HOME}"},
    ],
)
def test_a_workspace_cannot_widen_what_its_servers_may(
    configuration: Configuration, workspace: Path, said: Any
) -> None:
    write(workspace, bad=said, good={"command": "x"})
    found = configuration.find(workspace)
    assert [one.name for one in found.waiting] == ["good"]
    assert "Server bad" in found.problems[0]
    configuration.trust(workspace)
    assert [one.name for one in configuration.find(workspace).servers] == ["good"]


def test_a_file_is_trusted_word_for_word(configuration: Configuration, workspace: Path) -> None:
    write(workspace, theirs={"command": "x"})
    seen = configuration.find(workspace).untrusted
    assert seen
    configuration.trust(workspace, seen)
    assert list(configuration.find(workspace).on) == ["theirs"]
    write(workspace, theirs={"command": "y"})
    assert list(configuration.find(workspace).on) == []
    with pytest.raises(SettingsError, match="has changed since you saw it"):
        configuration.trust(workspace, seen)
    configuration.trust(workspace)
    configuration.distrust(workspace)
    assert list(configuration.find(workspace).on) == []


def test_the_persons_own_server_wins_over_a_workspace_of_that_name(
    configuration: Configuration, workspace: Path
) -> None:
    configuration.add("github", {"url": "https://api.example.org/mcp"})
    write(workspace, github={"command": "evil"})
    configuration.trust(workspace)
    found = configuration.find(workspace)
    assert [one.url for one in found.servers] == ["https://api.example.org/mcp"]
    assert "of your own" in found.problems[0]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[]", "no object mcpServers"),
        (b'{"mcpServers": []}', "no object mcpServers"),
        (b" " * (MOST_BYTES + 1), "larger than"),
    ],
)
def test_a_broken_file_of_a_workspace_is_a_problem_and_no_end(
    configuration: Configuration, workspace: Path, data: bytes, problem: str
) -> None:
    configuration.add("mine", {"command": "x"})
    (workspace / ".mcp.json").write_bytes(data)
    found = configuration.find(workspace)
    assert list(found.on) == ["mine"]
    assert problem in found.problems[0]


def test_a_link_or_a_pipe_is_not_read(configuration: Configuration, workspace: Path, tmp_path: Path) -> None:
    import os

    (tmp_path / "elsewhere.json").write_text('{"mcpServers": {"a": {"command": "x"}}}')
    (workspace / ".mcp.json").symlink_to(tmp_path / "elsewhere.json")
    assert "cannot be read" in configuration.find(workspace).problems[0]
    (workspace / ".mcp.json").unlink()
    os.mkfifo(workspace / ".mcp.json")
    assert configuration.find(workspace).servers == ()


def test_a_broken_file_of_the_persons_own_is_named(configuration: Configuration) -> None:
    configuration.folder.mkdir(parents=True)
    for data in ("{", '{"off": "x"}', "[]"):
        configuration.path.write_text(data)
        with pytest.raises(SettingsError, match=r"servers\.json"):
            configuration.find()


def test_variables_are_filled_in_and_known_as_secrets() -> None:
    config = server("s", {"url": "https://e.org", "headers": {"A": "Bearer ${T}", "B": "${N:-none}"}}, "user")
    filled, secrets = expanded(config, config.headers, {"T": "secret-value"})
    assert filled == {"A": "Bearer secret-value", "B": "none"}
    assert secrets == {"secret-value"}
    with pytest.raises(SettingsError, match="no variable T in the environment"):
        expanded(config, config.headers, {})


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_are_servers(configuration: Configuration, name: str) -> None:
    added = configuration.add(name, TEMPLATES[name].said)
    assert added.kind == {"filesystem": "sandbox", "postgres": "host"}.get(name, "http")
