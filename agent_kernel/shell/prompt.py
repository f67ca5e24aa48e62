"""`{expression}`, `@path` and `@name` (of a variable) in a prompt become summaries of what they name.

What counts as an expression is decided so that prompts with braces of their own stay as typed:

- Code (fenced or in backticks) and f-strings are never touched; neither are braces right after a letter,
  `\\`, `$`, `^`, `_` or `}`, as in LaTeX, shell and URL templates. `{{` … `}}` is a literal `{` … `}`.
- The braces must hold a valid expression that uses at least one variable of the namespace; JSON, sets of
  literals and `{unknown}` stay as typed. An unknown name that is nearly a variable is a slip of the pen,
  and an expression that uses a variable and fails is an error: then nothing is run.

`@name` is the DataFrame, array or collection of that name where there is one; `@./name` is the file or folder all
the same.
"""

from __future__ import annotations

import ast
import builtins
import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_kernel.errors import AgentKernelError
from agent_kernel.mentions import frame_heading, value_heading
from agent_kernel.shell.attach import fenced, file_reference
from agent_kernel.shell.summary import can_be_named, inline, is_frame, summary

HIDDEN = frozenset({"exit", "quit", "get_ipython"})
_CODE = re.compile(
    r"```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|`[^`\n]*`|\b[rR]?[fF][rR]?(?:\"[^\"\n]*\"|'[^'\n]*')", re.DOTALL
)
_FILE = re.compile(r"""(?<![^\s(\[{'",;:])@(?:"([^"\n]+)"|([\w.~/][^\s"'`,;()\[\]{}<>]*))""")
_NOT_BEFORE = re.compile(r"[\w\\$^}]")
_NOT_INSIDE = (ast.Lambda, ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


class PromptError(AgentKernelError):
    """An expression or a file named in the prompt cannot be inserted; nothing was run."""


@dataclass(slots=True)
class _Expansion:
    namespace: Mapping[str, Any]
    workspace: Path
    only_names: bool = False
    attached: dict[str, str] = field(default_factory=dict)

    def text(self, text: str) -> str:
        """`text` with its expressions and paths replaced, code left alone."""
        parts, start = [], 0
        for code in _CODE.finditer(text):
            parts += [self.plain(text[start : code.start()]), code[0]]
            start = code.end()
        return "".join([*parts, self.plain(text[start:])])

    def plain(self, text: str) -> str:
        named = _FILE.sub(self.file, text)
        return named if self.only_names else self.braces(named)

    def file(self, match: re.Match[str]) -> str:
        typed = match[1] or match[2]
        name = typed.rstrip(".:!?…")
        if not match[1] and name in self.namespace and can_be_named(name, self.namespace[name]):
            heading = frame_heading if is_frame(self.namespace[name]) else value_heading
            self.attached[heading(name)] = fenced(summary(name, self.namespace[name]))
            return f"`{name}`{typed[len(name) :]}"
        if self.only_names:
            if not match[1] and name.isidentifier() and not (self.workspace / name).exists():
                self.nearly_a_variable(name)
            return match[0]
        reference = file_reference(self.workspace, typed, quoted=match[1] is not None)
        if reference is None:
            self.nearly_a_variable(name)
            return match[0]
        if reference.problem:
            raise PromptError(f"@{typed}: {reference.problem}", hint=reference.hint)
        self.attached[f"File `{reference.path}`"] = reference.body
        return f"`{reference.path}`{reference.tail}"

    def nearly_a_variable(self, name: str) -> None:
        """A slip of the pen would be sent as a word that says nothing."""
        known = [other for other, value in self.namespace.items() if can_be_named(other, value)]
        if known and len(name) > 2 and (close := difflib.get_close_matches(name, known, 1, cutoff=0.8)):
            raise PromptError(
                f"@{name}: there is no such variable or file; did you mean @{close[0]}?",
                hint="Nothing was run.",
            )

    def braces(self, text: str) -> str:
        parts, at = [], 0
        while (start := text.find("{", at)) >= 0:
            parts.append(text[at:start])
            end = _closing(text, start)
            if end is None:
                return "".join([*parts, text[start:]])
            group = text[start : end + 1]
            if group.startswith("{{") and group.endswith("}}"):
                parts.append(group[1:-1])
            elif start and _NOT_BEFORE.match(text[start - 1]):
                parts.append(group)
            else:
                parts.append(self.expression(group))
            at = end + 1
        return "".join([*parts, text[at:]])

    def expression(self, group: str) -> str:
        source = group[1:-1].strip()
        tree = _parsed(source)
        if tree is None or not self.meant(tree, group):
            return group
        try:
            value = eval(compile(tree, "<prompt>", "eval"), {**self.namespace})  # noqa: S307 - the person's own code
        except Exception as error:
            raise PromptError(
                f"{group} in the prompt failed: {type(error).__name__}: {error}.",
                hint="Nothing was run. Write {{…}} for literal braces.",
            ) from error
        short = inline(value)
        if short is not None:
            return short
        self.attached[value_heading(source)] = fenced(summary(source, value))
        return f"`{source}`"

    def meant(self, tree: ast.Expression, group: str) -> bool:
        """Whether the person means a value, rather than text with braces."""
        names = _names(tree)
        if any(name in self.namespace and name not in HIDDEN for name in names):
            return True
        if isinstance(tree.body, ast.Name | ast.Attribute | ast.Subscript | ast.Call):
            known = [name for name in self.namespace if not name.startswith("_") and name not in HIDDEN]
            for name in names:
                close = difflib.get_close_matches(name, known, 1, cutoff=0.8) if len(name) > 2 else []
                if close and not hasattr(builtins, name):
                    raise PromptError(
                        f"{group} in the prompt: {name!r} is not defined; did you mean {close[0]!r}?",
                        hint="Nothing was run. Write {{…}} for literal braces.",
                    )
        return False


def expand(prompt: str, namespace: Mapping[str, Any], workspace: Path, *, only_names: bool = False) -> str:
    """The prompt as the agent gets it: references in place, what they name below it, capped. With `only_names`
    expressions and paths stay as typed.

    Raises PromptError in one sentence; then nothing should be run.
    """
    expansion = _Expansion(namespace, workspace, only_names)
    text = expansion.text(prompt)
    sections = [f"{title}:\n{body}" for title, body in expansion.attached.items() if body]
    return "\n\n".join([text.strip(), *sections])


def _closing(text: str, start: int) -> int | None:
    """Where the brace at `start` closes. Braces within quotes of an expression do not count."""
    depth, quote = 0, ""
    for at in range(start, len(text)):
        char = text[at]
        if quote:
            quote = "" if char == quote or char == "\n" else quote
        elif char in "\"'" and not (at and text[at - 1].isalnum()):
            quote = char
        elif char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return at
    return None


def _parsed(source: str) -> ast.Expression | None:
    """The expression, or None where the braces hold something else."""
    if not source or "\n" in source:
        return None
    try:
        tree = ast.parse(source, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if isinstance(tree.body, ast.Constant | ast.Tuple | ast.Set | ast.Dict | ast.Starred):
        return None
    return None if any(isinstance(node, _NOT_INSIDE) for node in ast.walk(tree)) else tree


def _names(tree: ast.Expression) -> list[str]:
    return [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
