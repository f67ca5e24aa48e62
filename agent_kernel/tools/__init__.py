"""The tools a model may call. `builtin_tools()` are ours; `run_tool` runs one and never raises."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent_kernel.skills.library import Library
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput
from agent_kernel.tools.calls import invalid, run_tool

__all__ = ["Tool", "ToolContext", "ToolOutput", "builtin_tools", "invalid", "run_tool", "tools_by_name"]


def builtin_tools(*, kernel: bool = False, skills: Library | None = None, pages: bool = False) -> list[Tool]:
    """All built-in tools, always in the same order. `kernel`: a person's own kernel can be reached; `skills`:
    those that `skill` gives, where there are any; `pages`: people may have notebooks open here."""
    from agent_kernel.tools import bash, editing, notebook_python, python, reading, searching, todo, web
    from agent_kernel.tools.notebook import edit, frames, read, running, variables

    tools = [bash.BASH, python.PYTHON, reading.READ_FILE, editing.WRITE_FILE, editing.EDIT_FILE,
             searching.LIST_FILES, searching.SEARCH_FILES, web.WEB_FETCH, todo.TODO,
             read.NOTEBOOK_READ, edit.NOTEBOOK_EDIT]  # fmt: skip
    if pages:
        tools.append(running.NOTEBOOK_RUN)
    if skills is not None and skills.on:
        from agent_kernel.tools import skill

        tools.append(skill.skill_tool(skills))
    own = [notebook_python.NOTEBOOK_PYTHON, variables.NOTEBOOK_VARIABLES,
           frames.NOTEBOOK_EXPORT, frames.NOTEBOOK_IMPORT]  # fmt: skip
    return [*tools, *own] if kernel else tools


def tools_by_name(tools: Iterable[Tool]) -> Mapping[str, Tool]:
    return {tool.name: tool for tool in tools}
