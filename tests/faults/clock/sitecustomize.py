"""Turns the time of day of this process by as many seconds as the file FAULTY_CLOCK says, looked at twice a second."""

import os
import time

_FILE = os.environ.get("FAULTY_CLOCK", "")
_time, _time_ns, _monotonic = time.time, time.time_ns, time.monotonic
_state = [0.0, 0]


def _offset():
    now = _monotonic()
    if now - _state[0] > 0.5:
        _state[0] = now
        try:
            with open(_FILE) as file:
                _state[1] = int(file.read() or 0)
        except (OSError, ValueError):
            pass
    return _state[1]


if _FILE:
    time.time = lambda: _time() + _offset()
    time.time_ns = lambda: _time_ns() + _offset() * 1_000_000_000
