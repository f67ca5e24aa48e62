"""How much of a run's input repeats the request before it byte for byte: what a prompt cache can serve."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from agent_kernel.client import Agent
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from benchmarks.figure import Figure

CALLS = 20


def prompt(body: Any) -> bytes:
    """In the order a provider caches it: tools, system, then the messages."""
    return json.dumps([body.get("tools"), body.get("system"), *body["messages"]], ensure_ascii=False).encode()


def repeated(bodies: list[Any]) -> float:
    """Share of all prompts' bytes that stood at the same place of the request before."""
    prompts = [prompt(body) for body in bodies]
    return sum(starts_alike(*pair) for pair in pairwise(prompts)) / sum(map(len, prompts))


def starts_alike(before: bytes, after: bytes) -> int:
    """How many bytes both begin with."""
    for place, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            return place
    return min(len(before), len(after))


async def figures() -> list[Figure]:
    script = [[ToolUse("bash", {"command": f"echo step {n}; seq {n * 10}"})] for n in range(CALLS)]
    with ScriptedMessages([*script, [Text("Done.")]]) as api, tempfile.TemporaryDirectory() as folder:
        settings = Settings(model="scripted", base_url=api.url, data_dir=f"{folder}/data")
        Path(folder, "work").mkdir()
        agent = Agent(workspace=f"{folder}/work", settings=settings)
        run = await agent.run("Count, step by step.")
        await agent.close()
        assert run.status == "completed"
        assert len(api.bodies) == CALLS + 1
        share = repeated(api.bodies)
    reference = "all bytes of the prompts, the first request's included"
    return [Figure("input repeated byte for byte, 20 calls", 100 * share, "%", reference, "≥ 90", "exact")]
