"""Traces reach a real OTLP receiver, say what the log says, and say nothing of content unless asked."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from agent_kernel.client import Agent
from agent_kernel.errors import SettingsError
from agent_kernel.settings import Settings
from agent_kernel.telemetry.tracing import parse_headers, receivers
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import HttpError, Text, ToolUse
from tests.telemetry.receivers import PATIENCE, Receiver

SECRET = "a word that only the prompt has"


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a slow receiver has taken is not sent once more."""
    monkeypatch.setattr("agent_kernel.telemetry.tracing.PATIENCE", PATIENCE)


async def traced(agent: Agent, api: ScriptedMessages, receiver: Receiver) -> list[dict[str, Any]]:
    api.add(
        HttpError(529, "overloaded_error"),
        [ToolUse("bash", {"command": f"echo {SECRET}"}), ToolUse("read_file", {"path": "not-there"})],
        [Text("Done.")],
    )
    run = await agent.run(SECRET)
    assert run.status == "completed", run.events[-3:]
    await agent.close()
    receiver.until(lambda: len(receiver.spans()) == 5)
    return receiver.spans()


@pytest.mark.usefixtures("patient")
async def test_a_run_is_one_trace_by_the_genai_conventions(
    new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages
) -> None:
    with Receiver() as receiver:
        watched = replace(settings, otlp_url=receiver.url, otlp_headers="x-team=blue")
        agent = new_agent(settings=watched)
        spans = await traced(agent, api, receiver)
        headers = receiver.got[0][1]
        sent = b"".join(body for _, _, body in receiver.got)
    root, first, *tools, last = spans
    assert [span["name"] for span in spans] == [
        "invoke_agent agent-kernel", "chat scripted", *(f"execute_tool {tool['gen_ai.tool.name']}" for tool in tools),
        "chat scripted",
    ]  # fmt: skip
    assert {span["trace"] for span in spans} == {root["trace"]}
    assert root["parent"] == "" and {span["parent"] for span in spans[1:]} == {root["id"]}
    assert all(root["start"] <= span["start"] <= span["end"] <= root["end"] for span in spans)
    assert (first["gen_ai.operation.name"], first["kind"], first["agent_kernel.chat.retries"]) == (
        "chat",
        3,
        1,
    )
    assert last["agent_kernel.chat.retries"] == 0
    chats = (first, last)
    for part in ("input_tokens", "output_tokens", "cache_read.input_tokens", "cache_creation.input_tokens"):
        name = f"gen_ai.usage.{part}"
        assert root[name] == sum(chat[name] for chat in chats), name
    assert root["gen_ai.usage.input_tokens"] > 0 and root["gen_ai.conversation.id"].startswith("s-")
    assert (root["agent_kernel.run.status"], root["agent_kernel.run.retries"]) == ("complete", 1)
    assert {tool["gen_ai.tool.name"]: tool["failed"] for tool in tools} == {"bash": False, "read_file": True}
    assert headers["x-team"] == "blue" and "protobuf" in headers["content-type"]
    assert SECRET.encode() not in sent and b"not-there" not in sent and b"Done." not in sent


@pytest.mark.usefixtures("patient")
async def test_content_comes_only_when_it_is_asked_for(
    new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages
) -> None:
    with Receiver() as receiver:
        agent = new_agent(settings=replace(settings, otlp_url=receiver.url, trace_content=True))
        root, *_, last = await traced(agent, api, receiver)
    bash = next(span for span in receiver.spans() if span.get("gen_ai.tool.name") == "bash")
    assert SECRET in root["gen_ai.input.messages"] and "Done." in root["gen_ai.output.messages"]
    assert "Done." in last["gen_ai.output.messages"]
    assert SECRET in bash["gen_ai.tool.call.arguments"] and SECRET in bash["gen_ai.tool.call.result"]


async def test_a_receiver_that_is_away_costs_the_run_nothing(
    new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages
) -> None:
    api.add([Text("Done.")])
    agent = new_agent(settings=replace(settings, otlp_url="http://127.0.0.1:9"))
    assert (await agent.run("Go")).status == "completed"


def test_langfuse_is_a_receiver_with_its_own_address_and_key() -> None:
    settings = Settings(
        langfuse_url="https://fuse.example", langfuse_public_key="pk", langfuse_secret_key="sk"
    )
    (found,) = receivers(settings)
    basic = f"Basic {base64.b64encode(b'pk:sk').decode()}"
    assert found == ("https://fuse.example/api/public/otel/v1/traces", {"Authorization": basic})
    assert "sk" in settings.secrets()
    with pytest.raises(SettingsError, match="langfuse_public_key"):
        receivers(Settings(langfuse_secret_key="sk"))


def test_headers_are_written_as_opentelemetry_writes_them() -> None:
    assert parse_headers(" Authorization=Bearer a=b , x=1,") == {"authorization": "Bearer a=b", "x": "1"}
    with pytest.raises(SettingsError, match="otlp_headers"):
        parse_headers("Authorization: Bearer x")


async def test_nobody_is_told_when_it_is_off(agent: Agent, api: ScriptedMessages) -> None:
    api.add([Text("Done.")])
    await agent.run("Go")
    host: Any = agent._host
    assert not host.app.observers and host.app.log.stored is None


def test_nothing_is_imported_when_it_is_off() -> None:
    code = (
        "import sys, agent_kernel.app; print('opentelemetry.sdk' in sys.modules, 'sentry_sdk' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
