"""One run of 20 tool calls: our loop, every event stored, against the bare SDK doing the same."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_kernel.client import Agent
from agent_kernel.events import ToolResult
from agent_kernel.settings import Settings
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from benchmarks.figure import Figure, ratio

if TYPE_CHECKING:
    from agent_kernel.app import App

CALLS = 20
ADD: dict[str, Any] = {
    "name": "add",
    "description": "Add two numbers.",
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    },
}


async def add(args: dict[str, Any], context: ToolContext) -> ToolOutput:
    return ToolOutput.text(str(args["a"] + args["b"]))


@contextmanager
def scripted_api(*options: str) -> Iterator[str]:
    """The scripted Messages API in a process of its own, so that its work is nobody's cost."""
    command = [sys.executable, "-m", "agent_kernel.testing.messages_api", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = server.stdout.readline().split()[-1]
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()


async def bare(client: Any) -> float:
    """The least code that does the job: stream, run the tools, send the results, until done."""
    since, done = time.perf_counter(), 0
    messages: list[Any] = [{"role": "user", "content": "go"}]
    while True:
        async with client.messages.stream(
            model="scripted", max_tokens=1024, tools=[ADD], system="You add.", messages=messages
        ) as stream:
            async for _ in stream:
                pass
            message = await stream.get_final_message()
        messages.append({"role": "assistant", "content": [block_param(block) for block in message.content]})
        calls = [block for block in message.content if block.type == "tool_use"]
        if not calls:
            assert done == CALLS, f"{done} calls"
            return time.perf_counter() - since
        done += len(calls)
        messages.append(
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": call.id,
                        "content": str(call.input["a"] + call.input["b"]),
                    }
                    for call in calls
                ],
            }
        )


def block_param(block: Any) -> dict[str, Any]:
    if block.type == "tool_use":
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}
    return dict(block.model_dump(exclude_none=True))


@asynccontextmanager
async def adding_app(settings: Settings) -> AsyncIterator[App]:
    """An App whose only tool is `add`: the same work as the bare loop's."""
    from agent_kernel.app import App, open_app

    class Adding(App):
        def tools(self, *, kernel: bool = False, skills: Any = None, pages: bool = False) -> list[Tool]:
            return [
                Tool(
                    name="add",
                    description=ADD["description"],
                    input_schema=ADD["input_schema"],
                    access="read",
                    run=add,
                    describe=str,
                )
            ]

    opened = await open_app(settings)
    async with Adding(settings, opened.store, opened.log.bus, opened.blobs) as app:
        yield app


async def figures() -> list[Figure]:
    import anthropic

    from agent_kernel.account import Account

    with scripted_api() as base_url, tempfile.TemporaryDirectory() as folder:
        settings = Settings(
            model="scripted", base_url=base_url, data_dir=f"{folder}/data", browser="off", desktop="off"
        )
        Path(folder, "work").mkdir()
        client = anthropic.AsyncAnthropic(base_url=base_url, api_key="none", max_retries=0)
        async with adding_app(settings) as app:
            agent = Agent(workspace=f"{folder}/work", settings=settings, host=Account(app))

            async def ours() -> float:
                await agent.new_session()
                since = time.perf_counter()
                run = await agent.run("go")
                took = time.perf_counter() - since
                assert run.status == "completed", run.events[-2:]
                results = [event for event in run.events if isinstance(event, ToolResult)]
                assert len(results) == CALLS
                assert not any(result.is_error for result in results)
                return took

            async def theirs() -> float:
                return await bare(client)

            figure = await ratio(
                f"agent loop, {CALLS} tool calls",
                ours,
                theirs,
                reference="bare anthropic streaming loop",
                goal="≤ 1.3",
                rounds=201,
            )
            await agent.close()
            return [figure]
