"""What a page asks of the kernel of the notebook it has open: which variables `@` can name, a prompt with those it
names described, and the calls that a run of the panel makes there.

The page evaluates `answer(…)` in a silent request of its own (`jupyter_ext/src/notebook/kernel.ts`), in the main thread
and between two cells. The person's history, `_` and `Out` stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.events import Json
from agent_kernel.shell import frames
from agent_kernel.shell.bridge import Interrupted
from agent_kernel.shell.complete import variables_of
from agent_kernel.shell.frontend import workspace
from agent_kernel.shell.namespace import run_code
from agent_kernel.shell.prompt import expand
from agent_kernel.shell.variables import about, listing
from agent_kernel.tools.base import ToolOutput
from agent_kernel.tools.output import line_of

MOST_OFFERED = 200
MOST_ABOUT = 100
MOST_CHARACTERS = 1_500_000


class Answer:
    """JSON for the page, as a value that IPython shows."""

    def __init__(self, said: Json) -> None:
        self.said = said

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Json:
        return {"application/json": self.said}


def answer(asked: str) -> Answer:
    """What is `asked`, as JSON: an object whose `do` says what, with what that takes."""
    from IPython.core.getipython import get_ipython

    ip, said = get_ipython(), json.loads(asked)
    if said["do"] == "offer":
        return Answer({"variables": _offered(ip.user_ns)})
    if said["do"] == "describe":
        return Answer(_described(ip, said["prompt"]))
    try:
        output = _carried_out(ip, said)
    except Interrupted as interrupt:
        output = interrupt.result
    except AgentKernelError as error:
        output = ToolOutput.text(str(error), is_error=True)
    outputs = [shown.model_dump(mode="json") for shown in output.outputs]
    told: Json = {"is_error": output.is_error, "truncated_bytes": output.truncated_bytes}
    return Answer(_fitting({**told, "content": output.content, "outputs": outputs}))


def _fitting(said: Json) -> Json:
    """As much as a page can pass on: pictures go where they are too many."""
    if len(json.dumps(said)) <= MOST_CHARACTERS:
        return said
    text = [block for block in said["content"] if block.get("type") == "text"]
    note = {"type": "text", "text": "Pictures are left out: they are too large. Draw smaller ones."}
    return {**said, "content": text if text == said["content"] else [*text, note], "outputs": []}


def _offered(namespace: Json) -> list[Json]:
    """Names that are identifiers, each with what it is."""
    names = [name for name in variables_of(namespace) if name.isidentifier()]
    return [{"name": name, "about": _brief(namespace[name])} for name in names[:MOST_OFFERED]]


def _brief(value: Any) -> str:
    return about(value).partition("; columns")[0][:MOST_ABOUT]


def _described(ip: Any, prompt: str) -> Json:
    try:
        return {"prompt": expand(prompt, ip.user_ns, workspace(ip), only_names=True)}
    except AgentKernelError as error:
        return {"problem": error.message, "hint": error.hint}


def _carried_out(ip: Any, said: Json) -> ToolOutput:
    """A call of the run's, within the folder it works in. Raises AgentKernelError."""
    folder = Path(said["workspace"])
    if said["do"] == "variables":
        return listing(ip.user_ns, ip.user_ns_hidden, said["names"])
    if said["do"] == "run":
        quiet: Callable[[str], None] = lambda text: None  # noqa: E731 - a page hears of it when it has ended
        return run_code(ip, said["code"], quiet)
    if not folder.is_dir():
        raise AgentKernelError(
            f"The notebook's kernel does not see the folder {line_of(str(folder))}.",
            hint="It runs elsewhere: hand data over with notebook_python.",
        )
    if said["do"] == "export":
        return frames.export(ip.user_ns, said["name"], said["stem"], folder)
    return frames.import_table(
        ip.user_ns, said["path"], said["name"], folder, replace=said["replace"], hidden=ip.user_ns_hidden
    )
