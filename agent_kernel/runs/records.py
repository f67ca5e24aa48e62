"""Sessions and runs as plain values; what the store gives out."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation of one owner in one folder. Times in milliseconds since 1970."""

    id: str
    owner: str
    name: str
    workspace: str
    notebook: str | None = None
    host: str | None = None
    sandbox_id: str | None = None
    title: str = ""
    created_ms: int = 0
    updated_ms: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One prompt being worked on. `head` is the seq of its last event, `fence` its fencing number."""

    id: str
    session_id: str
    owner: str
    prompt: str
    model: str
    parent_id: str | None = None
    agent: str | None = None
    agent_version: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    status: str = "queued"
    reason: str = ""
    created_ms: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    head: int = 0
    worker: str | None = None
    fence: int = 0
    heartbeat_ms: int | None = None


UNFINISHED = ("queued", "running", "waiting", "paused")
"""The statuses of runs that may go on."""


@dataclass(frozen=True, slots=True)
class Used:
    """What turns used. `cost_usd` is None when the price of none of their models is known."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class UsedOn:
    """What an owner's runs used on one day (`YYYY-MM-DD`, UTC) of one model."""

    day: str
    model: str
    runs: int
    used: Used


@dataclass(frozen=True, slots=True)
class Worked:
    """An owner's runs that were started on one day (`YYYY-MM-DD`, UTC), of one model and agent and with one status.
    `seconds` is from start to end, of those that ended."""

    day: str
    model: str
    agent: str
    status: str
    runs: int
    seconds: float
    used: Used


@dataclass(frozen=True, slots=True)
class Schedule:
    """A prompt that starts by the clock. `options` is for whoever submits its runs; `next_ms` is None while
    it is paused; `last_result` says what came of the last time it was due."""

    id: str
    owner: str
    name: str
    cron: str
    timezone: str
    prompt: str
    options: Mapping[str, Any] = field(default_factory=dict)
    overlap: str = "skip"
    missed: str = "skip"
    paused: bool = False
    created_ms: int = 0
    next_ms: int | None = None
    last_ms: int | None = None
    last_run_id: str | None = None
    last_result: str = ""


@dataclass(frozen=True, slots=True)
class Planned:
    """A schedule, its next times in its own time zone (none while paused), and what came of the last one:
    the status of its run where there is one."""

    schedule: Schedule
    next: tuple[datetime, ...]
    last: str


def new_id(kind: str) -> str:
    """`r-0mxb2k1f-9d3a6c20`: sorts by time, and can be told apart by its beginning."""
    return f"{kind}-{_base36(time.time_ns() // 1_000_000):0>9}-{secrets.token_hex(4)}"


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[rest] + digits
    return digits
