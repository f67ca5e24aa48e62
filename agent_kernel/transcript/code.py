"""What a piece of Python needs, binds and may change: enough to tell which of a run's cells a result rests on.

Nothing is executed. Where it cannot be known, it is taken to matter: a cell too many is clutter, one too few is wrong.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KNOWN = frozenset({*dir(builtins), "display", "get_ipython", "__name__", "__file__", "In", "Out", "_"})
HARMLESS = _words(
    """print display len sorted sum min max str repr int float bool list dict set tuple type isinstance range zip
    enumerate round abs any all map filter format help dir vars id hash iter reversed"""
)
MODULES = _words("pd pl np plt sns px go json math re os sys csv statistics itertools datetime Path stats")
PURE = _words(
    """head tail describe info copy mean median sum std var min max count nunique unique value_counts groupby agg
    isna isnull notna dropna fillna merge join plot hist boxplot bar line scatter to_csv to_parquet to_json to_excel
    to_string to_markdown to_dict to_numpy to_frame astype rename query filter select items keys values get split
    strip lower upper replace format sort_values sort_index reset_index set_index pivot pivot_table melt corr cov
    sample nlargest nsmallest quantile round rolling resample apply assign show savefig write_text"""
)
"""Methods that leave their object as it is (unless told `inplace=True`)."""
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass(slots=True)
class Names:
    """Of one cell: names it `needs` from before, those its functions need `later`, those it `binds`, those of them it
    binds for certain (`kills`), those whose values it may change (`touches`), and those that its imports alone bind. Of
    modules it `sets`, such as `np.random.seed(1)`, it is known that a call's value was not what it was for."""

    needs: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)
    kills: set[str] = field(default_factory=set)
    touches: set[str] = field(default_factory=set)
    imports: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)


def parsed(source: str) -> ast.Module | None:
    """None where it is not plain Python: magics, or broken."""
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def names(tree: ast.Module) -> Names:
    found = Names()
    for statement in tree.body:
        _Reader(found).visit(statement)
        found.kills |= set(_surely_bound(statement))
    found.touches = set(_touched(tree)) - KNOWN
    imports = {
        bound(alias)
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    found.imports = imports - stored
    calls = [
        node.value for node in tree.body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    ]
    found.sets = {
        name for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr not in PURE
        for name in _base(call.func)
    }  # fmt: skip
    return found


class _Reader(ast.NodeVisitor):
    """Goes through a statement in the order in which it is evaluated."""

    def __init__(self, found: Names) -> None:
        self.found = found

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._load(node.id)
        else:
            self.found.binds.add(node.id)

    def _load(self, name: str) -> None:
        if name not in self.found.binds:
            self.found.needs.add(name)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._all([node.value, *node.targets])

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._all([part for part in (node.value, node.annotation) if part is not None])
        if node.value is not None:
            self.visit(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._load(node.target.id)
        self._all([node.value, node.target])

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._all([node.value, node.target])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self._all([node.iter, node.target, *node.body, *node.orelse])

    def visit_AsyncFor(self, node: ast.AsyncFor) -> None:
        self.visit_For(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.found.binds |= {bound(alias) for alias in node.names}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self.found.binds |= {bound(alias) for alias in node.names}

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self.found.binds.add(node.name)
        self.generic_visit(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._all([*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)])
        for statement in node.body:
            self.found.later |= _free(statement)
        self.found.binds.add(node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._all([*node.decorator_list, *_defaults(node.args)])
        self.found.later |= _free(node)
        self.found.binds |= {node.name, *_globals(node)}

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self.visit_FunctionDef(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._all(_defaults(node.args))
        self.found.later |= _free(node)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, _COMPREHENSIONS):
            for name in _free(node):
                self._load(name)
        else:
            super().generic_visit(node)

    def _all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)


def bound(alias: ast.alias) -> str:
    """The name an import binds."""
    return alias.asname or alias.name.partition(".")[0]


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]


def _globals(node: ast.AST) -> set[str]:
    return {name for inner in ast.walk(node) if isinstance(inner, ast.Global) for name in inner.names}


def _free(node: ast.AST) -> set[str]:
    """Names that a function, a comprehension or a class's statement takes from around it."""
    stored = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    stored |= {argument.arg for argument in ast.walk(node) if isinstance(argument, ast.arg)}
    stored |= {
        n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    stored |= {n.name for n in ast.walk(node) if isinstance(n, ast.ExceptHandler) and n.name}
    stored |= {
        bound(a) for n in ast.walk(node) if isinstance(n, ast.Import | ast.ImportFrom) for a in n.names
    }
    loaded = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    return loaded - (stored - _globals(node))


def _surely_bound(statement: ast.stmt) -> Iterator[str]:
    """By a statement that is no loop and no branch."""
    match statement:
        case ast.Assign():
            for target in statement.targets:
                yield from (
                    n.id for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                )
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
            yield name
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            yield from map(bound, statement.names)
        case ast.With():
            for inner in statement.body:
                yield from _surely_bound(inner)


def _touched(tree: ast.AST) -> Iterator[str]:
    """Names whose values may be changed: written into, called on, or given away."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute() | ast.Subscript() if not isinstance(node.ctx, ast.Load):
                yield from _base(node)
            case ast.AugAssign(target=ast.Name(id=name)):
                yield name
            case ast.Call(func=ast.Attribute() as method):
                base = set(_base(method))
                inplace = any(keyword.arg == "inplace" for keyword in node.keywords)
                if method.attr not in PURE or inplace:
                    yield from base
                if not base & MODULES and method.attr not in PURE:
                    yield from _given(node)
            case ast.Call(func=ast.Name(id=name)) if name not in HARMLESS and name not in MODULES:
                yield from _given(node)
            case _:
                pass


def _base(node: ast.expr) -> Iterator[str]:
    """`df` of `df["a"].b`; of a call in between, nothing: its value is a new one."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id


def _given(call: ast.Call) -> Iterator[str]:
    for argument in (*call.args, *(keyword.value for keyword in call.keywords)):
        yield from _base(argument.value if isinstance(argument, ast.Starred) else argument)
