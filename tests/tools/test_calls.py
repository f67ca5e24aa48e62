"""Whatever happens to a call, the model gets a result it can act on."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent_kernel.errors import SandboxLimit, ToolError
from agent_kernel.tools import builtin_tools, run_tool
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput, ToolRun
from tests.tools.conftest import Desk, said


def tool(run: ToolRun, schema: dict[str, Any] | None = None) -> Tool:
    return Tool(
        name="probe", description="", input_schema=schema or {"type": "object"}, access="read", run=run,
        describe=lambda args: "",
    )  # fmt: skip


def raising(error: BaseException) -> ToolRun:
    async def run(args: dict[str, Any], context: ToolContext) -> ToolOutput:
        raise error

    return run


async def test_an_unknown_tool_is_answered_with_the_known_ones(desk: Desk) -> None:
    text = await desk.error("bassh")
    assert "'bassh'" in text
    assert "bash" in text and "read_file" in text


async def test_a_missing_argument_is_named(desk: Desk) -> None:
    assert await desk.error("bash", timeout=3) == (
        "The input of bash is not valid:\n- 'command' is a required property of the input; given: timeout."
    )


async def test_a_wrong_type_names_the_field_the_value_and_what_is_wanted(desk: Desk) -> None:
    text = await desk.error("bash", command=["ls"])
    assert "command = ['ls']" in text and "'string'" in text


async def test_a_value_out_of_range_names_the_range(desk: Desk) -> None:
    assert "timeout = 9999: 9999 is greater than the maximum of 600" in await desk.error(
        "bash", command="ls", timeout=9999
    )


async def test_an_unknown_argument_is_answered_with_the_known_ones(desk: Desk) -> None:
    text = await desk.error("bash", command="ls", cwd="/")
    assert "'cwd'" in text and "background, command, timeout" in text


async def test_a_field_inside_a_list_is_named_by_its_place(desk: Desk) -> None:
    text = await desk.error("todo", items=[{"text": "a"}, {"text": "b", "status": "done"}])
    assert "items.1.status = 'done'" in text and "in_progress" in text


async def test_a_huge_bad_value_is_not_repeated(desk: Desk) -> None:
    assert len(await desk.error("bash", command={"x": "y" * 100_000})) < 400


async def test_arguments_that_are_no_object_are_refused(desk: Desk) -> None:
    output = await run_tool(desk.tools, "bash", ["ls"], desk.context())  # type: ignore[arg-type]
    assert output.is_error and "'object'" in said(output)


async def test_a_tools_own_error_keeps_its_words(desk: Desk) -> None:
    desk.add(tool(raising(ToolError("No such table.", hint="Try `orders`."))))
    assert await desk.error("probe") == "No such table. Try `orders`."


async def test_an_error_of_the_sandbox_is_a_result(desk: Desk) -> None:
    desk.add(tool(raising(SandboxLimit("The disk is full."))))
    assert "The disk is full." in await desk.error("probe")


async def test_a_crash_is_a_result_without_our_insides(desk: Desk) -> None:
    desk.add(tool(raising(KeyError("/home/somebody/secret/path.py"))))
    text = await desk.error("probe")
    assert "KeyError" in text and "secret" not in text and "Traceback" not in text


async def test_a_tool_that_hangs_is_stopped(desk: Desk) -> None:
    async def hang(args: dict[str, Any], context: ToolContext) -> ToolOutput:
        await asyncio.Event().wait()
        raise AssertionError

    desk.add(tool(hang))
    output = await desk.call("probe", 0.2)
    assert output.is_error and "longer than 0.2 s" in said(output)


async def test_a_broken_schema_of_somebody_elses_tool_is_a_result(desk: Desk) -> None:
    desk.add(tool(raising(AssertionError()), {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}))
    assert "failed" in await desk.error("probe", a=1)
    desk.add(tool(raising(AssertionError()), {"type": "object", "additionalProperties": False}))
    assert "'a'" in await desk.error("probe", a=1)


async def test_a_cancellation_passes_through(desk: Desk) -> None:
    started = asyncio.Event()

    async def wait(args: dict[str, Any], context: ToolContext) -> ToolOutput:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    desk.add(tool(wait))
    task = asyncio.create_task(desk.call("probe"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_what_the_model_is_told_never_changes_between_calls() -> None:
    one, two = ([json.dumps(t.param()) for t in builtin_tools(kernel=True)] for _ in range(2))
    assert one == two


def test_without_a_kernel_there_is_no_tool_for_it() -> None:
    names = [t.name for t in builtin_tools()]
    own = ["notebook_python", "notebook_variables", "notebook_export", "notebook_import"]
    assert not {*own} & {*names}
    assert [t.name for t in builtin_tools(kernel=True)] == [*names, *own]


def test_only_reading_tools_run_without_a_write_lock() -> None:
    access = {t.name: t.access for t in builtin_tools(kernel=True)}
    assert access == {
        "bash": "sandbox", "python": "sandbox", "write_file": "sandbox", "edit_file": "sandbox",
        "read_file": "read", "list_files": "read", "search_files": "read", "web_fetch": "read", "todo": "read",
        "notebook_read": "read", "notebook_edit": "sandbox", "notebook_variables": "read",
        "notebook_python": "outside", "notebook_export": "outside", "notebook_import": "outside",
    }  # fmt: skip


def test_every_schema_is_valid_and_closed() -> None:
    from jsonschema import Draft202012Validator

    for each in builtin_tools(kernel=True):
        Draft202012Validator.check_schema(each.input_schema)
        assert each.input_schema["additionalProperties"] is False
        assert each.description and each.summary
