"""`todo`: the plan as a checklist the person sees."""

from __future__ import annotations

from agent_kernel.events import Json, Todo, TodoItem
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput


async def run(args: Json, context: ToolContext) -> ToolOutput:
    items = [TodoItem(text=item["text"], status=item.get("status", "pending")) for item in args["items"]]
    done = sum(item.status == "completed" for item in items)
    return ToolOutput.text(f"The plan has {len(items)} steps, {done} done.", events=[Todo(items=items)])


TODO = Tool(
    name="todo",
    description=(
        "Show the person your plan as a checklist, and keep it up to date: each call replaces the whole list. "
        "Use it for work of more than two steps; have one step in progress at a time."
    ),
    input_schema={
        "type": "object",
        "properties": {
            "items": {
                "type": "array",
                "maxItems": 50,
                "items": {
                    "type": "object",
                    "properties": {
                        "text": {"type": "string", "minLength": 1, "maxLength": 300},
                        "status": {"enum": ["pending", "in_progress", "completed"]},
                    },
                    "required": ["text"],
                    "additionalProperties": False,
                },
            }
        },
        "required": ["items"],
        "additionalProperties": False,
    },
    access="read",
    run=run,
    describe=lambda args: "Update the plan",
    summary="Keep the plan",
)
