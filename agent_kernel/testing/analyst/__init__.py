"""The programs the offline demo runs in the sandbox: ordinary modules here, sent as source text.

They import nothing but the standard library, and pandas or matplotlib where those are installed.
`program` joins modules to one text: their imports of each other and of `__future__` fall away.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

_DROPPED = ("from agent_kernel.", "from __future__ ")


def program(title: str, *modules: str, call: str) -> str:
    """Source text of `modules` with a first comment `title` and `call` at the end."""
    return "\n\n".join([f"# {title}\n" + "\n\n\n".join(_source(name) for name in modules), call])


@cache
def _source(module: str) -> str:
    text = files(__package__).joinpath(f"{module}.py").read_text(encoding="utf-8")
    _, _, body = text.partition('"""\n\n')  # the docstring is for readers of the package
    lines = [line for line in body.splitlines() if not line.startswith(_DROPPED)]
    return "\n".join(lines).strip()
