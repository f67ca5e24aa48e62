"""What is wrong with a skill, and how much it matters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["error", "warning", "advice"]
"""`error`: it cannot be used. `warning`: against the format, used all the same. `advice`: could be better."""


@dataclass(frozen=True, slots=True)
class Problem:
    level: Level
    text: str


def error(text: str) -> Problem:
    return Problem("error", text)


def warning(text: str) -> Problem:
    return Problem("warning", text)


def advice(text: str) -> Problem:
    return Problem("advice", text)
