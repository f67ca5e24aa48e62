"""How much may run at once, how fast runs start, and how often a failing one is tried again."""

from __future__ import annotations

from dataclasses import dataclass, fields

from agent_kernel.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Limits:
    """Counts of activations; `backoff` is the time in seconds before the second attempt, and doubles."""

    per_worker: int = 5
    per_owner: int | None = None
    """Over all workers. None: all places of one worker on SQLite, where everything belongs to one person
    as a rule, and all but one on PostgreSQL, so that nobody fills a worker alone."""
    overall: int = 50
    starts_per_second: int = 10
    attempts: int = 3
    backoff: float = 1.0

    def __post_init__(self) -> None:
        for name in (f.name for f in fields(self)):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(
                    f"The limit {name} = {value!r} lets nothing run.", hint="Give it a number above 0."
                )

    def for_owner(self, *, shared: bool) -> int:
        """The limit of one owner; `shared`: the queue serves many people."""
        most = self.per_owner or (max(1, self.per_worker - 1) if shared else self.per_worker)
        return min(most, self.overall)
