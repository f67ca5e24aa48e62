"""How hard to look: a little with every test run, for minutes with `make fuzz` (AGENT_KERNEL_FUZZ=50)."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

FACTOR = int(os.environ.get("AGENT_KERNEL_FUZZ", "1"))


def examples(count: int) -> Any:
    """Settings with `count` examples, times what was asked for; slow machines are no failure."""
    return settings(
        max_examples=count * FACTOR, deadline=None, derandomize=FACTOR == 1, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
