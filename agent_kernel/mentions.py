"""DataFrames of the person's kernel that a prompt names with `@`: how the prompt says so, and who has said so.

Naming one in a prompt is a yes to handing it to the sandbox. What a person attaches (files, values) stands in fences
that it cannot leave, so nothing within them counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent_kernel.events import LOOP, Event, Message

_HEADING = re.compile(r"^DataFrame `(\w+)` of the person's kernel:$", re.MULTILINE)
_FENCED = re.compile(r"^(`{3,})[^`\n]*\n.*?^\1`*[ \t]*$", re.MULTILINE | re.DOTALL)

_ATTACHED = re.compile(r"\n\n(?:File|Value of|DataFrame) `[^\n]*`[^\n]*:\n")


def frame_heading(name: str) -> str:
    """What stands over the summary of a DataFrame in a prompt."""
    return f"DataFrame `{name}` of the person's kernel"


def value_heading(source: str) -> str:
    """What stands over the summary of any other value."""
    return f"Value of `{source}` in the person's kernel"


def typed(prompt: str) -> str:
    """A prompt without what stands below it because it was named."""
    return _ATTACHED.split(prompt, maxsplit=1)[0].strip()


def named(events: Iterable[Event]) -> set[str]:
    """The DataFrames that a person has named."""
    prompts = (e.text for e in events if isinstance(e, Message) and e.role == "user" and e.by != LOOP)
    return {name for text in prompts for name in _HEADING.findall(_FENCED.sub("", text))}
