"""`notebook_python` hands code to the person's kernel; `todo` shows the plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from agent_kernel.events import CodeGeneration, Todo
from agent_kernel.shell import frames
from agent_kernel.shell.variables import listing
from agent_kernel.tools.base import ToolOutput
from tests.tools.conftest import Desk


class Namespace:
    """The shortest kernel there can be: a namespace in this process."""

    def __init__(self, **variables: object) -> None:
        self.namespace = variables

    async def run(self, code: str, emit: Callable[[str], None]) -> ToolOutput:
        emit("running\n")
        return ToolOutput.text(repr(eval(code, dict(self.namespace))))

    async def variables(self, names: Sequence[str]) -> ToolOutput:
        return listing(self.namespace, {}, names)

    async def export(self, name: str, stem: str) -> ToolOutput:
        return frames.export(self.namespace, name, stem, Path.cwd())

    async def import_table(self, path: str, name: str, *, replace: bool = False) -> ToolOutput:
        return frames.import_table(self.namespace, path, name, Path.cwd(), replace=replace)


async def test_code_runs_among_the_persons_variables(desk: Desk) -> None:
    desk.kernel = Namespace(df=[1, 2, 3])
    output = await desk.call("notebook_python", code="sum(df)")
    assert output.content == [{"type": "text", "text": "6"}]
    assert desk.live == ["running\n"]
    (event,) = output.events
    assert isinstance(event, CodeGeneration) and event.code == "sum(df)"


async def test_a_failing_kernel_is_a_result(desk: Desk) -> None:
    desk.kernel = Namespace()
    assert "NameError" in await desk.error("notebook_python", code="df")


async def test_without_a_kernel_the_sandbox_is_named(desk: Desk) -> None:
    assert await desk.error("notebook_python", code="df") == (
        "There is no notebook kernel here. Use python, which runs in the sandbox."
    )


async def test_the_plan_becomes_an_event(desk: Desk) -> None:
    items = [
        {"text": "load", "status": "completed"},
        {"text": "plot", "status": "in_progress"},
        {"text": "report"},
    ]
    output = await desk.call("todo", items=items)
    (event,) = output.events
    assert isinstance(event, Todo)
    assert [item.status for item in event.items] == ["completed", "in_progress", "pending"]
    assert output.content[0]["text"] == "The plan has 3 steps, 1 done."


async def test_a_plan_can_be_emptied_and_not_be_endless(desk: Desk) -> None:
    assert await desk.text("todo", items=[]) == "The plan has 0 steps, 0 done."
    assert "items" in await desk.error("todo", items=[{"text": "x"}] * 51)
    assert "items.0.text" in await desk.error("todo", items=[{"text": ""}])
