"""What the person's variables are: types, shapes and dtypes, never values.

Only classes that are known are asked about themselves: those of others may run any code when they are.
"""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Any

from agent_kernel.shell.summary import ARRAYS, size
from agent_kernel.tools.base import ToolOutput
from agent_kernel.tools.output import line_of

MOST_VARIABLES = 200
MOST_COLUMNS = 60
MOST_NAME = 80
SIZED = (str, bytes, bytearray, list, tuple, dict, set, frozenset, range)
UNITS: dict[type, str] = {str: "characters", bytes: "bytes", bytearray: "bytes", dict: "entries"}
_CODE = (type, types.FunctionType, types.BuiltinFunctionType, types.MethodType)


def listing(namespace: Mapping[str, Any], hidden: Mapping[str, Any], names: Sequence[str] = ()) -> ToolOutput:
    """A line for each variable. `hidden` is what IPython itself has put there."""
    if names:
        missing = [name for name in names if name not in namespace]
        lines = [_line(name, namespace[name]) for name in names if name in namespace]
        lines += [f"{line_of(name)[:MOST_NAME]}: not defined" for name in missing]
        return ToolOutput.text("\n".join(lines), is_error=len(missing) == len(names))
    own = {name: value for name, value in list(namespace.items()) if _is_own(name, value, hidden)}
    modules = [name for name, value in own.items() if issubclass(type(value), types.ModuleType)]
    code = [name for name, value in own.items() if issubclass(type(value), _CODE)]
    data = [name for name in own if name not in {*modules, *code}]
    lines = [_line(name, own[name]) for name in data[:MOST_VARIABLES]]
    if len(data) > MOST_VARIABLES:
        lines.append(f"… and {len(data) - MOST_VARIABLES:,} more; ask for them by name")
    for kind, found in (("modules", modules), ("functions and classes", code)):
        if found:
            lines.append(f"{kind}: {_names(found)}")
    return ToolOutput.text("\n".join(lines) or "There are no variables yet.")


def _is_own(name: str, value: Any, hidden: Mapping[str, Any]) -> bool:
    return not name.startswith("_") and not (name in hidden and hidden[name] is value)


def _names(found: Sequence[str]) -> str:
    shown = ", ".join(line_of(name)[:MOST_NAME] for name in found[:MOST_VARIABLES])
    return f"{shown}, …" if len(found) > MOST_VARIABLES else shown


def _line(name: str, value: Any) -> str:
    return f"{line_of(name)[:MOST_NAME]}: {about(value)}"


def about(value: Any) -> str:
    """What it is, in one line."""
    kind, told = "object", ""
    try:
        kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
        told = _told(value)
    except Exception as error:  # even a known class may be in a state in which it cannot say
        told = f" ({type(error).__name__} when asked for its shape)"
    return f"{line_of(kind)[:MOST_NAME]}{told}"


def _told(value: Any) -> str:
    if type(value) in SIZED:
        return f", {len(value):,} {UNITS.get(type(value), 'items')}{_of(value)}"
    package = type(value).__module__.partition(".")[0]
    if package not in ARRAYS:
        return ""
    shape = getattr(value, "shape", None)
    if not isinstance(shape, tuple):
        return ""
    dims = " × ".join(f"{length:,}" if isinstance(length, int) else "?" for length in shape) or "scalar"
    if (dtype := getattr(value, "dtype", None)) is not None:
        return f", {dims}, dtype {line_of(str(dtype))[:MOST_NAME]}{_bytes(value)}"
    columns = _columns(value, package)
    return f", {dims}{_bytes(value)}" + (f"; columns {columns}" if columns else "")


def _of(value: Any) -> str:
    """The types of the first items, where they tell something."""
    if not isinstance(value, list | tuple | set | frozenset) or not value:
        return ""
    kinds = dict.fromkeys(type(item).__name__ for item, _ in zip(value, range(20), strict=False))
    return f" of {line_of(' | '.join(kinds))[:MOST_NAME]}"


def _columns(value: Any, package: str) -> str:
    """Of a table: each column with its dtype."""
    if package not in ("pandas", "polars") or not hasattr(value, "dtypes"):
        return ""
    pairs = list(zip(value.columns, value.dtypes, strict=False))
    shown = [
        f"{line_of(str(name))[:MOST_NAME]} {line_of(str(dtype))[:MOST_NAME]}"
        for name, dtype in pairs[:MOST_COLUMNS]
    ]
    more = f", … and {len(pairs) - MOST_COLUMNS:,} more" if len(pairs) > MOST_COLUMNS else ""
    return ", ".join(shown) + more


def _bytes(value: Any) -> str:
    """How much memory, where that is known without looking at every value."""
    count = getattr(value, "nbytes", None)
    if callable(getattr(value, "memory_usage", None)):
        used = value.memory_usage(deep=False)
        count = used.sum() if hasattr(used, "sum") else used
    return f", {size(int(count))}" if count is not None and not callable(count) else ""
