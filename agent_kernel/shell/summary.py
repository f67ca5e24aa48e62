"""What a model needs to know of a Python value: its kind, size and shape, and a little of it; never all."""

from __future__ import annotations

import sys
from typing import Any

LONGEST_INLINE = 200
LONGEST_TEXT = 4_000
HEAD_ROWS = 5
MOST_COLUMNS = 60
MOST_ITEMS = 20
ARRAYS = frozenset(
    {"numpy", "pandas", "polars", "torch", "jax", "jaxlib", "tensorflow", "scipy", "cupy", "xarray"}
)
"""Packages whose values have `shape` and `dtype`."""
_OWN = frozenset({"In", "Out"})
"""Collections that IPython itself has put there."""


def is_frame(value: Any) -> bool:
    """A DataFrame of pandas or polars; by name, so that neither needs to be imported."""
    return any(
        cls.__name__ == "DataFrame" and cls.__module__.partition(".")[0] in ("pandas", "polars")
        for cls in type(value).__mro__
    )


def can_be_named(name: str, value: Any) -> bool:
    """Whether `@name` stands for the variable: tables, arrays and collections. What is short is said, as `{name}`."""
    if name.startswith("_") or name in _OWN or isinstance(value, type):
        return False
    if isinstance(value, list | tuple | dict | set | frozenset):
        return True
    try:
        return type(value).__module__.partition(".")[0] in ARRAYS and value.shape != ()
    except Exception:  # no array, or one in a state in which it cannot say
        return False


def inline(value: Any) -> str | None:
    """A short value as it reads in a sentence, else None."""
    if value is None or isinstance(value, bool | int | float | complex):
        text = repr(value)
    elif isinstance(value, str):
        text = value
    elif type(value).__module__.startswith("numpy") and getattr(value, "shape", None) == ():
        text = str(value)
    elif isinstance(value, list | tuple) and len(value) <= MOST_ITEMS and all(map(_is_plain, value)):
        text = repr(value)
    else:
        return None
    return text if len(text) <= LONGEST_INLINE and "\n" not in text else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | None) and len(str(value)) <= LONGEST_INLINE


def summary(name: str, value: Any) -> str:
    """A few lines about `value`, whatever its class does when asked."""
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    try:
        return capped(f"{name}: {kind}{_body(value)}")
    except Exception as error:  # a foreign class may raise from anywhere, even from repr
        return f"{name}: {kind} (its summary failed: {type(error).__name__}: {str(error)[:200]})"


def capped(text: str, limit: int = LONGEST_TEXT) -> str:
    """Head and tail of a long text, with a note of what is left out between them."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail]}\n… {len(text) - limit:,} characters left out …\n{text[-tail:]}"


def size(count: int) -> str:
    """Bytes for people."""
    number = float(count)
    for unit in ("bytes", "KB", "MB", "GB"):
        if number < 1024 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    raise AssertionError("unreachable")


def _body(value: Any) -> str:
    if _is(value, "DataFrame"):
        return _frame(value)
    if type(value).__module__.startswith("polars.") and type(value).__name__ == "DataFrame":
        return _polars(value)
    if _is(value, "Series"):
        return f", {len(value):,} values of {value.dtype}\n{value.head(HEAD_ROWS)}"
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return _array(value)
    if isinstance(value, str):
        return f" of {len(value):,} characters, {value.count(chr(10)) + 1:,} lines\n{value}"
    if isinstance(value, bytes | bytearray):
        return f" of {size(len(value))}, begins with {bytes(value[:40])!r}"
    if isinstance(value, dict):
        items = [
            f"{_short(key)}: {_short(item)}"
            for key, item, _ in zip(value, value.values(), range(MOST_ITEMS), strict=False)
        ]
        return _listed(items, len(value), "entries")
    if isinstance(value, list | tuple | set | frozenset):
        return _listed(
            [_short(item) for item, _ in zip(value, range(MOST_ITEMS), strict=False)], len(value), "items"
        )
    if callable(value):
        return _callable(value)
    return f"\n{value!r}"


def _is(value: Any, name: str) -> bool:
    """By name, so that no data library needs to be imported."""
    return any(cls.__name__ == name and cls.__module__.startswith("pandas") for cls in type(value).__mro__)


def _frame(frame: Any) -> str:
    rows, columns = frame.shape
    memory = size(int(frame.memory_usage(index=True, deep=False).sum()))
    missing = frame.iloc[:, :MOST_COLUMNS].isna().sum()
    lines = [f", {rows:,} rows × {columns:,} columns, {memory} in memory", "columns:"]
    for position, column in enumerate(frame.columns[:MOST_COLUMNS]):
        empty = int(missing.iloc[position])
        lines.append(
            f"  {_name(column)}: {frame.dtypes.iloc[position]}" + (f", {empty:,} missing" if empty else "")
        )
    if columns > MOST_COLUMNS:
        lines.append(f"  … and {columns - MOST_COLUMNS:,} more")
    head = frame.iloc[:HEAD_ROWS, :MOST_COLUMNS].to_csv(index=False)
    return "\n".join([*lines, f"first {min(rows, HEAD_ROWS)} rows:", capped(head, 1_500)])


def _polars(frame: Any) -> str:
    rows, columns = frame.shape
    lines = [
        f", {rows:,} rows × {columns:,} columns, {size(int(frame.estimated_size()))} in memory",
        "columns:",
    ]
    missing = frame[:, :MOST_COLUMNS].null_count().row(0) if columns else ()
    for column, dtype, empty in zip(frame.columns, frame.dtypes, missing, strict=False):
        lines.append(f"  {_name(column)}: {dtype}" + (f", {empty:,} missing" if empty else ""))
    if columns > MOST_COLUMNS:
        lines.append(f"  … and {columns - MOST_COLUMNS:,} more")
    try:
        head = frame[:HEAD_ROWS, :MOST_COLUMNS].write_csv()
    except Exception:  # nested columns have no CSV
        head = str(frame[:HEAD_ROWS, :MOST_COLUMNS])
    return "\n".join([*lines, f"first {min(rows, HEAD_ROWS)} rows:", capped(head, 1_500)])


def _name(column: Any) -> str:
    return " ".join(column.split())[:LONGEST_INLINE] if isinstance(column, str) else _short(column)


def _array(array: Any) -> str:
    text = f", shape {tuple(array.shape)}, dtype {array.dtype}"
    count = getattr(array, "nbytes", None)
    if isinstance(count, int):
        text += f", {size(count)}"
    if str(array.dtype)[:3] in ("int", "flo", "uin") and getattr(array, "size", None):
        text += f", min {array.min()}, max {array.max()}, mean {array.mean()}"
    return f"{text}\n{array!r}"  # arrays and tensors shorten their own repr


def _listed(items: list[str], count: int, what: str) -> str:
    more = [f"  … and {count - len(items):,} more"] if count > len(items) else []
    return "\n".join([f" of {count:,} {what}", *(f"  {item}" for item in items), *more])


def _callable(value: Any) -> str:
    import inspect

    try:
        source = inspect.getsource(value)
    except (OSError, TypeError):
        source = inspect.getdoc(value) or repr(value)
    return f"\n{source}"


def _short(value: Any) -> str:
    if isinstance(value, list | tuple | dict | set | frozenset) and len(value) > MOST_ITEMS:
        return f"{type(value).__name__} of {len(value):,}"
    if isinstance(value, str | bytes) and len(value) > LONGEST_INLINE:
        return f"{value[:LONGEST_INLINE]!r}… ({len(value):,} long)"
    if _memory(value) > 1 << 20 and not hasattr(value, "shape"):
        return f"{type(value).__name__}, {size(_memory(value))}"
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST_INLINE else text[:LONGEST_INLINE] + "…"


def _memory(value: Any) -> int:
    try:
        return sys.getsizeof(value)
    except Exception:  # a foreign __sizeof__
        return 0
