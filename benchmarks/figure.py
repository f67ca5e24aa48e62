"""A figure: ours against a reference, measured in turn, so that a noisy machine troubles both alike."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

Measure = Callable[[], Awaitable[float]]
COMPARE = {"≤": operator.le, "≥": operator.ge, "<": operator.lt, "=": operator.eq}


@dataclass(frozen=True, slots=True)
class Figure:
    """One row of the table. `goal` compares `value`; an empty goal is for information. A `value` of None was not
    measured; `reference` then says why."""

    name: str
    value: float | None
    unit: str
    reference: str
    goal: str
    spread: str

    @property
    def holds(self) -> bool | None:
        if not self.goal or self.value is None:
            return None
        sign, bound = self.goal.split()[:2]
        return bool(COMPARE[sign](self.value, float(bound)))

    def row(self) -> dict[str, Any]:
        return {
            "name": self.name, "value": None if self.value is None else round(self.value, 3), "unit": self.unit,
            "reference": self.reference, "goal": self.goal, "holds": self.holds, "spread": self.spread,
        }  # fmt: skip


def skipped(name: str, why: str, goal: str = "") -> Figure:
    """A figure that could not be measured here, with the reason."""
    return Figure(name, None, "", f"not measured: {why}", goal, "")


def percentile(found: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of `found` do not exceed."""
    return sorted(found)[min(len(found) - 1, int(len(found) * share))]


async def ratio(
    name: str, ours: Measure, theirs: Measure, *, reference: str, goal: str, rounds: int = 7
) -> Figure:
    """Median of ours / theirs, round by round, after one round to warm up. The order alternates."""
    await ours()
    await theirs()
    found: list[float] = []
    for number in range(rounds):
        if number % 2:
            own, other = await ours(), await theirs()
        else:
            other, own = await theirs(), await ours()
        found.append(own / other)
    spread = f"{min(found):.2f}–{max(found):.2f}"
    return Figure(name, statistics.median(found), "×", reference, goal, spread)


async def median(
    name: str, measure: Measure, *, unit: str, reference: str, goal: str = "", rounds: int = 7
) -> Figure:
    """The median of an absolute figure; its reference says what it stands beside."""
    await measure()
    found = [await measure() for _ in range(rounds)]
    spread = f"{min(found):.1f}–{max(found):.1f}"
    return Figure(name, statistics.median(found), unit, reference, goal, spread)
