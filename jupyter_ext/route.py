"""One route: where it is, what handles it, and what requests may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from jupyter_ext.door import Handler

ROOT = r"/api/agent"


@dataclass(frozen=True, slots=True)
class Route:
    """`path` with `{names}` (`{path}` holds slashes too); `bodies` names the schema of a request's body by method."""

    path: str
    handler: type[Handler]
    bodies: dict[str, str] = field(default_factory=dict)
    query: tuple[str, ...] = ()

    @property
    def pattern(self) -> str:
        found = self.path.replace("{path}", "(.+)")
        return f"{ROOT}/{re.sub(r'{[a-z]+}', '([^/]+)', found)}"
