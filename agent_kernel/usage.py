"""Tokens and money: what a model costs and how large its window is.

Prices come from `genai-prices` (offline, tiered); models it does not know have no price, and their cost
is None rather than a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache

DEFAULT_WINDOW = 200_000
SEARCH_USD = 0.01
WINDOWS = {
    "claude-fable-5": 1_000_000,
    "claude-opus-5": 1_000_000,
    "claude-sonnet-5": 1_000_000,
    "claude-haiku-5": 1_000_000,
}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or many requests. `input_tokens` leaves out what was read from or written to cache;
    `searches` were made by the provider."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    searches: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    @property
    def context_tokens(self) -> int:
        """All tokens the request put before the model, and what it answered."""
        return self.prompt_tokens + self.output_tokens

    @property
    def prompt_tokens(self) -> int:
        return self.input_tokens + self.cache_read_tokens + self.cache_write_tokens

    @property
    def cache_share(self) -> float:
        """Part of the prompt read from cache, 0 to 1."""
        return self.cache_read_tokens / self.prompt_tokens if self.prompt_tokens else 0.0


def context_window(model: str) -> int:
    """Tokens the model's window holds; a careful guess for models not known here."""
    for prefix, size in WINDOWS.items():
        if model.startswith(prefix):
            return size
    return DEFAULT_WINDOW


def cost_usd(model: str, usage: Usage) -> float | None:
    """What `usage` costs in USD, or None when the model's price is not known."""
    if model.startswith("demo"):
        return 0.0
    if not _has_price(model):
        return None
    from genai_prices import Usage as PricedUsage
    from genai_prices import calc_price

    priced = PricedUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens or None,
        cache_write_tokens=usage.cache_write_tokens or None,
    )
    tokens = float(calc_price(priced, model, provider_id="anthropic").total_price)
    return tokens + usage.searches * SEARCH_USD


@cache
def _has_price(model: str) -> bool:
    """Looked up once: searching all prices for a model that has none would cost more than a turn's events."""
    from genai_prices.data_snapshot import get_snapshot

    try:
        get_snapshot().find_provider_model(model, None, "anthropic", None)
    except LookupError:
        return False
    return True
