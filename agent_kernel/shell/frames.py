"""DataFrames of the person's namespace: which values are some, out to a file of the workspace, and back.

The agent can write to the workspace too: no link is followed, and what is read is only ever data, never pickles.
"""

from __future__ import annotations

import importlib.util
import keyword
import posixpath
import re
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import IO, Any

from agent_kernel.errors import AgentKernelError, ToolError
from agent_kernel.sandbox import folder
from agent_kernel.shell.summary import is_frame, size
from agent_kernel.tools.base import ToolOutput
from agent_kernel.tools.output import line_of

MOST_BYTES = 2 << 30
"""Of a table that comes back, unpacked: more would fill the person's kernel."""
ENDINGS = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
NO_PYARROW = (
    "pyarrow is not installed in the notebook's environment, so this is CSV: dates and categories come as text "
    "(`pip install pyarrow` there for Parquet)."
)
_WORKDIR = re.compile(r"^/workspace/+")


def export(namespace: MutableMapping[str, Any], name: str, stem: str, workspace: Path) -> ToolOutput:
    """Write the frame `name` whole to `stem` with the ending of its format. Raises ToolError."""
    if name not in namespace:
        raise ToolError(
            f"The person's kernel has no variable {name!r}.", hint="notebook_variables lists them."
        )
    frame = namespace[name]
    if not is_frame(frame):
        raise ToolError(f"{name} is a {type(frame).__name__}, not a DataFrame.", hint="Use notebook_python.")
    path, write, how, note = _writer(frame, stem)
    try:
        with folder.new_file(workspace, path) as file:
            write(file)
            count = file.tell()
    except OSError as error:
        raise ToolError(f"{path} cannot be written: {error.strerror or error}.") from error
    except Exception as error:  # columns of mixed objects, names that are no text: the libraries' own words
        raise ToolError(
            f"{name} cannot be written as {path.rpartition('.')[2]}: {_words(error)}",
            hint="Make it plainer with notebook_python, such as df.astype(str) for columns of mixed values.",
        ) from error
    rows, columns = frame.shape
    said = f"Written: {path} ({rows:,} rows × {columns:,} columns, {size(count)}). Read it in `python` with {how}."
    return ToolOutput.text(f"{said} {note}".strip())


def _writer(frame: Any, stem: str) -> tuple[str, Callable[[IO[bytes]], Any], str, str]:
    """Its path, what writes it, how it is read in the sandbox, and what to say about it."""
    polars = type(frame).__module__.startswith("polars")
    module = "pl" if polars else "pd"
    if polars or importlib.util.find_spec("pyarrow") is not None:
        path = f"{stem}.parquet"
        write = frame.write_parquet if polars else lambda file: frame.to_parquet(file, engine="pyarrow")
        return path, write, f'{module}.read_parquet("{path}")', ""
    path = f"{stem}.csv"
    index = frame.index.nlevels > 1 or frame.index.name is not None
    return path, lambda file: frame.to_csv(file, index=index), f'pd.read_csv("{path}")', NO_PYARROW


def import_table(
    namespace: MutableMapping[str, Any],
    path: str,
    name: str,
    workspace: Path,
    *,
    replace: bool,
    hidden: Any = (),
) -> ToolOutput:
    """Read a table of the workspace into the variable `name`. Raises ToolError."""
    if keyword.iskeyword(name) or name.startswith("_") or name in hidden:
        raise ToolError(f"{name!r} cannot be the name of a variable here.", hint="Take another.")
    if name in namespace and not replace:
        kind = type(namespace[name]).__name__
        raise ToolError(
            f"The person has a variable {name!r} already ({kind}).",
            hint="Take another name, or say replace if it is to be overwritten.",
        )
    inside = posixpath.normpath(_WORKDIR.sub("", path))
    ending = posixpath.splitext(inside)[1].lower()
    if ending not in ENDINGS:
        raise ToolError(
            f"{path} is no table that can be read back.", hint=f"Write one of {', '.join(ENDINGS)}."
        )
    try:
        with folder.open_file(workspace, folder.clean(inside)) as file:
            frame = _read(file, ending, path)
    except OSError as error:
        raise ToolError(
            f"{path} cannot be read: {error.strerror or error}.", hint="Write it into the notebook's folder."
        ) from error
    except AgentKernelError:
        raise
    except Exception as error:
        raise ToolError(f"{path} cannot be read: {_words(error)}") from error
    namespace[name] = frame
    rows, columns = frame.shape
    return ToolOutput.text(
        f"{name} is a DataFrame in the person's kernel: {rows:,} rows × {columns:,} columns."
    )


def _read(file: IO[bytes], ending: str, path: str) -> Any:
    import os

    if ending == ".parquet":
        return _parquet(file, path)
    if (count := os.fstat(file.fileno()).st_size) > MOST_BYTES:
        raise _too_large(path, count)
    if _only_polars():
        import polars

        separator = "\t" if ending == ".tsv" else ","
        return (
            polars.read_csv(file, separator=separator)
            if ending in (".csv", ".tsv")
            else polars.read_ndjson(file)
        )
    import pandas

    if ending in (".csv", ".tsv"):
        return pandas.read_csv(file, sep="\t" if ending == ".tsv" else ",")
    return pandas.read_json(file, lines=True)


def _parquet(file: IO[bytes], path: str) -> Any:
    if importlib.util.find_spec("pyarrow") is None:
        if _only_polars():
            import polars

            return polars.read_parquet(file)
        raise ToolError(
            "pyarrow is not installed in the notebook's environment, which Parquet needs.",
            hint="Write the result as CSV, or tell the person to pip install pyarrow there.",
        )
    from pyarrow import parquet

    table = parquet.ParquetFile(file)
    groups = [table.metadata.row_group(number) for number in range(table.metadata.num_row_groups)]
    if (count := sum(group.total_byte_size for group in groups)) > MOST_BYTES:
        raise _too_large(path, count)
    read = table.read()
    if _only_polars():
        import polars

        return polars.from_arrow(read)
    return read.to_pandas()


def _words(error: Exception) -> str:
    return line_of(f"{type(error).__name__}: {error}")[:300]


def _only_polars() -> bool:
    """The person works with polars, and has no pandas open."""
    return "polars" in sys.modules and "pandas" not in sys.modules


def _too_large(path: str, count: int) -> ToolError:
    return ToolError(
        f"{path} holds {size(count)}, more than the {size(MOST_BYTES)} that go into the person's kernel.",
        hint="Bring back aggregates or a part of it.",
    )
