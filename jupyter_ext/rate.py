"""How often somebody may ask: a bucket that fills steadily."""

from __future__ import annotations

import time

BURST_SECONDS = 4


class Bucket:
    """`take()` is True at most `rate` times a second in the long run, and BURST_SECONDS' worth at once."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._most = rate * BURST_SECONDS
        self._left = self._most
        self._at = time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
