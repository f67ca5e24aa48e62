"""The calls of a run that a clean notebook keeps: those its results rest on, without what failed or was done anew."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from agent_kernel.transcript.code import KNOWN, Names, names, parsed
from agent_kernel.transcript.notebook import portable
from agent_kernel.transcript.safe import visible
from agent_kernel.transcript.story import Card, Story

IMPORT, PYTHON = "notebook_import", ("python", "notebook_python")
LOOKS = frozenset({"help", "dir", "vars", "type", "listdir", "getcwd", "glob", "iterdir", "walk"})
READERS = {
    "parquet": 'pd.read_parquet("{path}")',
    "csv": 'pd.read_csv("{path}")',
    "tsv": 'pd.read_csv("{path}", sep="\\t")',
}
_AT = re.compile(r'File "<python-\d+>", line (\d+), in <module>')
_DRAWS_NOWHERE = re.compile(
    r"^\s*(?:matplotlib|mpl|plt)\.(?:use|switch_backend)\(.*\)\s*(?:#.*)?\n?", re.MULTILINE
)


@dataclass(slots=True)
class Step:
    """Python of one call: what is to be kept of it, and what that does."""

    card: Card
    own: bool
    source: str
    whole: bool = True
    names: Names = field(default_factory=Names)
    tree: ast.Module | None = None

    @property
    def files(self) -> set[str]:
        return {change.path for change in self.card.changes if change.action != "delete"}

    @property
    def shows(self) -> bool:
        """Something of it is to be seen, or to be had."""
        return self.whole and bool(self.card.call.tool == IMPORT or self.card.pictures or any(
            piece.text.strip() not in ("", "(no output)") for piece in self.card.pieces))  # fmt: skip


def steps(stories: Sequence[Story]) -> list[Step]:
    """All Python that ran, in order; of calls that failed, the statements before the one that did."""
    found = []
    for story in stories:
        for item in story.items:
            if isinstance(item, Card) and (step := _step(item, own=story is stories[-1])) is not None:
                found.append(step)
    return found


def _step(card: Card, *, own: bool) -> Step | None:
    if card.result is None or card.state == "denied":
        return None
    whole = not card.result.is_error
    if card.call.tool == IMPORT:
        source = _reading(card) if whole else ""
    elif card.call.tool in PYTHON:
        source = _DRAWS_NOWHERE.sub("", portable(visible(card.code)))
        source = source if whole else _before_the_error(card, portable(visible(card.code)))
    else:
        return None
    if not source.strip():
        return None
    tree = parsed(source)
    return Step(card, own, source, whole, names(tree) if tree is not None else Names(), tree)


def _reading(card: Card) -> str:
    """What `notebook_import` did, as a line of Python."""
    path, name = str(card.call.args.get("path", "")), str(card.call.args.get("name", ""))
    path = path.removeprefix("/workspace/")
    reader = READERS.get(path.rpartition(".")[2].lower(), 'pd.read_json("{path}", lines=True)')
    if not name.isidentifier() or re.search(r'["\\\n]', path):
        return ""
    return f"import pandas as pd\n\n{name} = {reader.format(path=path)}"


def _before_the_error(card: Card, source: str) -> str:
    """The statements that had run when one of them failed."""
    told = next((_AT.search(piece.text) for piece in card.pieces if piece.kind == "error"), None)
    tree = parsed(source)
    if told is None or tree is None:
        return ""
    done = [node for node in tree.body if (node.end_lineno or 0) < int(told[1])]
    return "\n".join(source.splitlines()[: done[-1].end_lineno]) if done else ""


# -- what matters ----------------------------------------------------------------------------------------


def kept(found: Sequence[Step]) -> list[Step]:
    """Without attempts that came to nothing, looks around, and what a later step did anew; of earlier runs only what
    the last one builds on."""
    together = _aliases(found)
    modules = {name for step in found for name in step.names.imports}
    needed: set[str] = set()
    written: set[str] = set()
    seen: set[str] = set()
    result: list[Step] = []
    for step in reversed(found):
        imports = step.names.imports
        changes = {other for name in step.names.touches for other in together.get(name, {name})}
        changes = changes - modules | (step.names.sets if step.own else set())
        used = bool((step.names.binds - imports | changes) & needed)
        if not (used or (step.own and _matters(step, written, seen))):
            if not imports & needed:
                continue
            step = _only_imports(step)
        result.append(step)
        needed -= step.names.kills
        needed |= step.names.needs | (step.names.later - step.names.binds)
        written |= step.files
        seen.add(step.source.strip())
    return result[::-1]


def _matters(step: Step, written: set[str], seen: set[str]) -> bool:
    if step.tree is None:
        return step.whole
    if step.source.strip() in seen or _only_looks(step.tree):
        return False
    if step.files:
        return not step.files <= written
    return step.shows


def _only_imports(step: Step) -> Step:
    """Of a step that came to nothing else."""
    assert step.tree is not None
    wanted = [node for node in step.tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    tree = ast.parse("\n".join(map(ast.unparse, wanted)))
    return Step(step.card, step.own, ast.unparse(tree), False, names(tree), tree)


def _only_looks(tree: ast.Module) -> bool:
    """Finding one's way: `help(x)`, `os.listdir()` and the like, printed or not."""
    rest = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom)]
    return bool(rest) and all(isinstance(node, ast.Expr) and _is_look(node.value) for node in rest)


def _is_look(value: ast.expr) -> bool:
    while isinstance(value, ast.Call):
        name = value.func.attr if isinstance(value.func, ast.Attribute) else getattr(value.func, "id", "")
        if name in LOOKS:
            return True
        if name not in ("print", "sorted", "list", "display", "len") or not value.args:
            return False
        value = value.args[0].value if isinstance(value.args[0], ast.Starred) else value.args[0]
    return False


def _aliases(found: Iterable[Step]) -> dict[str, set[str]]:
    """Names that may stand for the same value, each with all of them."""
    groups: dict[str, set[str]] = {}
    for step in found:
        for node in ast.walk(step.tree) if step.tree is not None else ():
            if isinstance(node, ast.Assign) and isinstance(
                node.value, ast.Name | ast.Subscript | ast.Attribute
            ):
                inner: ast.expr = node.value
                while isinstance(inner, ast.Subscript | ast.Attribute):
                    inner = inner.value
                same = {n.id for n in (inner, *node.targets) if isinstance(n, ast.Name)}
                merged = same.union(*(groups.get(name, set()) for name in same))
                groups |= dict.fromkeys(merged, merged)
    return groups


def missing(found: Sequence[Step]) -> list[str]:
    """Names that nothing here binds: variables of the person's own notebook, or of a Python that was started anew."""
    bound_before, lacking, later = set(KNOWN), list[str](), set[str]()
    everything = KNOWN.union(*(step.names.binds for step in found))
    for step in found:
        lacking += sorted(step.names.needs - bound_before - set(lacking))
        bound_before |= step.names.binds
        later |= step.names.later
    return [*lacking, *sorted(later - everything - set(lacking))]
