"""What a run may spend: money, tokens and time of its own, money of its session and of its owner's day."""

from __future__ import annotations

from dataclasses import dataclass

from agent_kernel.events import Error
from agent_kernel.folds import RunState

WARN_AT = 0.8


@dataclass(frozen=True, slots=True)
class Budget:
    """Zero means no bound. `session_spent` and `day_spent` are what other runs had spent when this one began."""

    usd: float = 0.0
    tokens: int = 0
    seconds: int = 0
    session_usd: float = 0.0
    day_usd: float = 0.0
    session_spent: float = 0.0
    day_spent: float = 0.0

    def nearest(self, state: RunState) -> tuple[float, str]:
        """The share used of the bound that is nearest to its end, and what that bound is, in words."""
        own = state.cost or 0.0
        bounds = [
            (own, self.usd, f"the run's budget of ${self.usd:g}"),
            (state.tokens, self.tokens, f"the run's {self.tokens:,} tokens"),
            (state.worked_ms / 1e3, self.seconds, f"the run's {self.seconds:,} seconds of work"),
            (self.session_spent + own, self.session_usd, f"the session's budget of ${self.session_usd:g}"),
            (self.day_spent + own, self.day_usd, f"today's budget of ${self.day_usd:g}"),
        ]
        return max(((used / most, words) for used, most, words in bounds if most), default=(0.0, ""))

    @property
    def in_money(self) -> bool:
        return bool(self.usd or self.session_usd or self.day_usd)


def used_up(words: str) -> Error:
    """Why the run pauses."""
    return Error(
        kind="budget",
        message=f"Paused: {words} is used up.",
        hint="Resume it with more: %agent --budget USD /resume, or raise the setting.",
    )


def warning(share: float, words: str) -> Error:
    return Error(kind="budget_warning", message=f"{share:.0%} of {words} is used.")


def unknown_price(model: str) -> Error:
    return Error(
        kind="budget_warning",
        message=f"The price of {model} is not known: a budget in money cannot be kept.",
        hint="Set budget_tokens instead.",
    )
