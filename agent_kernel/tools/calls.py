"""One call: the arguments checked, the tool run, and whatever happens turned into a result with words the model
can act on."""

from __future__ import annotations

import asyncio
import importlib
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from agent_kernel import foreign
from agent_kernel.errors import AgentKernelError, SandboxError, ToolError
from agent_kernel.events import Json
from agent_kernel.tools.base import Tool, ToolContext, ToolOutput

logger = logging.getLogger(__name__)
MOST_VALUE = 120


async def run_tool(tools: Mapping[str, Tool], name: str, args: Json, context: ToolContext) -> ToolOutput:
    """Never raises, but for a cancellation."""
    tool = tools.get(name)
    if tool is None:
        return failed(f"There is no tool {name!r}. The tools are: {', '.join(tools)}.")
    try:
        # The first import takes most of a second (it builds a grammar): not on the loop, which would also wait
        # there for an import that a cancelled call has begun.
        if not hasattr(sys.modules.get("jsonschema"), "Draft202012Validator"):
            await asyncio.to_thread(importlib.import_module, "jsonschema")
        if problem := invalid(tool, args):
            return failed(problem)
        async with asyncio.timeout(context.timeout):
            output = await tool.run(args, context)
            source = output.foreign or (tool.summary or tool.name if tool.foreign else "")
            return marked(output, source) if source else output
    except TimeoutError:
        return failed(
            f"{name} took longer than {context.timeout:g} s and was stopped. Do it in smaller steps."
        )
    except ToolError as error:
        return failed(str(error))
    except SandboxError as error:
        return failed(f"The sandbox says: {error}")
    except AgentKernelError as error:
        return failed(str(error))
    except Exception as error:
        logger.exception("tool %s crashed", name)
        return failed(
            f"{name} itself failed ({type(error).__name__}). This is not your fault; try another way."
        )


def marked(output: ToolOutput, source: str) -> ToolOutput:
    """`output` as text of strangers, for the model and for the log."""
    content, shift = foreign.marked(output.content, source)
    outputs = [found.model_copy(update={"block": found.block + shift}) for found in output.outputs]
    return replace(output, content=content, outputs=outputs, foreign=foreign.named(source))


def failed(text: str) -> ToolOutput:
    return ToolOutput.text(text, is_error=True)


def invalid(tool: Tool, args: Any) -> str:
    """Empty when `args` fit the tool's schema; else what does not, with the value given."""
    problems = sorted(
        _validator(tool.name, tool).iter_errors(args), key=lambda error: [str(step) for step in error.path]
    )
    if not problems:
        return ""
    lines = [f"- {_said(problem)}" for problem in problems[:5]]
    return f"The input of {tool.name} is not valid:\n" + "\n".join(lines)


def _said(problem: Any) -> str:
    where = ".".join(map(str, problem.path)) or "the input"
    value = repr(problem.instance)
    shown = _brief(value)
    if problem.validator == "required":
        given = _brief(", ".join(problem.instance) or "nothing")
        return f"{problem.message} of {where}; given: {given}."
    if problem.validator == "additionalProperties":
        known = ", ".join(problem.schema.get("properties", {})) or "none"
        return f"{_brief(problem.message)} Known are: {known}."
    return f"{where} = {shown}: {problem.message.replace(value, 'it' if shown != value else value)}"


def _brief(text: str) -> str:
    return text if len(text) <= MOST_VALUE else text[:MOST_VALUE] + "…"


@lru_cache(maxsize=256)
def _cached(name: str, schema: str) -> Any:
    import json

    from jsonschema import Draft202012Validator

    return Draft202012Validator(json.loads(schema))


def _validator(name: str, tool: Tool) -> Any:
    import json

    return _cached(name, json.dumps(tool.input_schema, sort_keys=True))
