"""The clean notebook: the prompt, the imports, the Python that led to the result with its outputs, and the answer.

No cards, no thoughts, no attempts that failed. Run from the top in a fresh kernel it gives the result again.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from agent_kernel.mentions import typed
from agent_kernel.transcript import markdown, notebook
from agent_kernel.transcript.code import bound
from agent_kernel.transcript.safe import capped, inline_code, line, markdown_line, visible
from agent_kernel.transcript.steps import Step, kept, missing, steps
from agent_kernel.transcript.story import Card, Said, Story

MOST_PROMPT = 2_000
SETUP = re.compile(r"\benviron\b|\bsys\.path\b|\bset_option\b|\bchdir\b")
"""Statements that can decide what a later import does."""


def build(stories: Sequence[Story]) -> Any:
    """Of the last story. The earlier ones are those of its session: what it builds on comes from them."""
    from nbformat import v4, validate

    found = kept(steps(stories))
    story = stories[-1]
    imports, sources = gathered(found)
    own = {id(step.card): (step, source) for step, source in zip(found, sources, strict=True) if step.own}
    cells: list[Any] = [v4.new_markdown_cell(_head(story, found))]
    cells += [v4.new_code_cell("\n".join(imports))] if imports else []
    for step, source in zip(found, sources, strict=True):
        if not step.own and source:
            cells.append(v4.new_code_cell(source))
    cells += list(_body(story, own))
    if (answer := _answer(story)) or story.files:
        cells.append(v4.new_markdown_cell("\n\n".join(filter(None, ["## Result", answer, _files(story)]))))
    made = v4.new_notebook(metadata=notebook.metadata(story.run_id))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"
    made.cells = cells
    validate(made)
    return made


def _body(story: Story, own: dict[int, tuple[Step, str]]) -> Iterator[Any]:
    """Its steps, and what the person said in between."""
    from nbformat import v4

    first = True
    for item in story.items:
        match item:
            case Said(role="user"):
                if not first:
                    yield v4.new_markdown_cell(markdown.said(item))
                first = False
            case Card() if id(item) in own:
                step, source = own[id(item)]
                if source:
                    outputs = (
                        notebook.outputs(item) if step.whole and item.call.tool != "notebook_import" else []
                    )
                    yield v4.new_code_cell(source, outputs=outputs)
            case _:
                pass


def _head(story: Story, found: Sequence[Step]) -> str:
    prompt = capped(typed(story.prompt), MOST_PROMPT)
    title = markdown_line(line(prompt.strip().split("\n")[0], 80)) or "Analysis"
    about = "*Made by agent-kernel from what the agent ran. Run it from the top, in the folder it worked in.*"
    parts = [f"# {title}"]
    parts += (
        [markdown.said(Said("user", prompt))] if len(prompt.strip()) > 80 or "\n" in prompt.strip() else []
    )
    return "\n\n".join([*parts, about, *_notes(story, found)])


def _notes(story: Story, found: Sequence[Step]) -> Iterator[str]:
    """What a reader has to know before it runs elsewhere."""
    cards = [item for item in story.items if isinstance(item, Card)]
    if lacking := missing(found):
        names = ", ".join(map(inline_code, lacking))
        yield f"**Needs from elsewhere:** {names}, which nothing in this notebook defines."
    for card in cards:
        if card.call.tool == "notebook_export" and card.state == "done":
            name = inline_code(str(card.call.args.get("name", "")))
            yield f"The DataFrame {name} of the notebook was handed over as a file in `agent-data/`."
    shell = [card.code for card in cards if card.call.tool == "bash" and card.state == "done"]
    installed = [text for text in shell if re.search(r"\b(?:pip|conda|uv)3?\b.*\binstall\b", text)]
    if installed:
        yield f"It installed packages: {', '.join(inline_code(line(text, 100)) for text in installed)}"
    if any("/session/" in step.source for step in found):
        yield "It uses files below `/session`, which only the agent's sandbox has."
    made = {
        change.path
        for card in cards
        if card.call.tool not in ("python", "notebook_python")
        for change in card.changes
    }
    used = sorted(path for path in made if any(path.rpartition("/")[2] in step.source for step in found))
    if used:
        yield f"It reads files the agent made otherwise: {', '.join(map(inline_code, used))}"


def _answer(story: Story) -> str:
    """What was said after the last call."""
    said: list[str] = []
    for item in story.items:
        if isinstance(item, Card):
            said.clear()
        elif isinstance(item, Said) and item.role == "assistant":
            said.append(markdown.said(item))
    return "\n\n".join(said)


def _files(story: Story) -> str:
    shown = [inline_code(file.path) for file in story.files if file.action != "delete"]
    return f"Files: {', '.join(shown)}" if shown else ""


# -- imports and repetitions -------------------------------------------------------------------------------


def gathered(found: Sequence[Step]) -> tuple[list[str], list[str]]:
    """Imports for the top, and each step's source without them and without what an earlier one defined the same."""
    fixed = _rebound(found)
    imports: dict[str, None] = {}
    defined: dict[str, str] = {}
    sources, barred = [], False
    for step in found:
        gone: list[ast.stmt] = []
        alone = _alone(step.tree) if step.tree is not None else []
        for node in step.tree.body if step.tree is not None else ():
            if isinstance(node, ast.Import | ast.ImportFrom):
                if not barred and node in alone and not any(bound(alias) in fixed for alias in node.names):
                    imports |= dict.fromkeys(_lines(node))
                    gone.append(node)
            elif _repeats(node, defined):
                gone += [node] if node in alone else []
            elif SETUP.search(ast.unparse(node)) and not isinstance(node, ast.FunctionDef | ast.ClassDef):
                barred = True
        barred = barred or step.tree is None
        sources.append(_without(step.source, gone))
    return _merged(imports), sources


def _merged(imports: Iterable[str]) -> list[str]:
    """In the usual order, with what comes from one module in one line."""
    plain, taken = set[str](), dict[str, set[str]]()
    for text in imports:
        module, _, name = text.removeprefix("from ").partition(" import ")
        if text.startswith("from "):
            taken.setdefault(module, set()).add(name)
        else:
            plain.add(text)
    lines = [f"from {module} import {', '.join(sorted(found))}" for module, found in taken.items()]
    return sorted(
        [*plain, *lines], key=lambda text: ("__future__" not in text, text.startswith("from "), text)
    )


def _rebound(found: Sequence[Step]) -> set[str]:
    """Names that an import binds and something else too, or two imports to different things: those stay put."""
    origins: dict[str, set[str]] = {"*": {"*", "everything"}}
    for step in found:
        if step.tree is None:
            continue
        imported = [n for n in step.tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        for node in imported:
            for text, alias in zip(_lines(node), node.names, strict=True):
                origins.setdefault(bound(alias), set()).add(
                    text if alias.asname or "." not in text else alias.name
                )
        rest = ast.Module([n for n in step.tree.body if n not in imported], [])
        for inner in ast.walk(rest):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                origins.setdefault(inner.id, set()).add("")
    return {name for name, all_ in origins.items() if "" in all_ or name == "*"} | {
        name for name, all_ in origins.items() if len({_root(text) for text in all_}) > 1
    }


def _root(text: str) -> str:
    """`import a.b` and `import a` bind the same `a`."""
    return (
        re.sub(r"^import (\w+)[\w.]*$", r"\1", text).partition(".")[0] if text.startswith("import ") else text
    )


def _lines(node: ast.Import | ast.ImportFrom) -> list[str]:
    """One line an import."""
    return [
        ast.unparse(
            ast.Import([alias])
            if isinstance(node, ast.Import)
            else ast.ImportFrom(node.module, [alias], node.level)
        )
        for alias in node.names
    ]


def _repeats(node: ast.stmt, defined: dict[str, str]) -> bool:
    """A function, class or constant that is defined already, in the same words."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            pass
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper() and not any(
            isinstance(inner, ast.Call) for inner in ast.walk(value)
        ):
            pass
        case _:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    defined.pop(inner.id, None)
            return False
    words = ast.unparse(node)
    same, defined[name] = defined.get(name) == words, words
    return same


def _alone(tree: ast.Module) -> list[ast.stmt]:
    """Statements that share no line with another."""
    taken: dict[int, int] = {}
    for node in tree.body:
        for number in range(_first(node), (node.end_lineno or node.lineno) + 1):
            taken[number] = taken.get(number, 0) + 1
    return [
        node for node in tree.body
        if all(taken[number] == 1 for number in range(_first(node), (node.end_lineno or node.lineno) + 1))
    ]  # fmt: skip


def _first(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _without(source: str, gone: Sequence[ast.stmt]) -> str:
    lines = source.splitlines()
    left_out = {n for node in gone for n in range(_first(node), (node.end_lineno or node.lineno) + 1)}
    rest = "\n".join(text for number, text in enumerate(lines, 1) if number not in left_out)
    code = visible(re.sub(r"\n{3,}", "\n\n\n", rest)).strip("\n")
    return code if any(row.strip() and not row.lstrip().startswith("#") for row in code.splitlines()) else ""
