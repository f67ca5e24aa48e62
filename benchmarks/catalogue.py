"""All figures there are, by part. What is measured must be listed here, and docs/performance.md lists the same."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Part:
    """A module of `benchmarks/` and its figures. `long` ones have figures that only `LONG=1` measures."""

    name: str
    title: str
    figures: tuple[str, ...]
    long: tuple[str, ...] = ()


PARTS = (
    Part("loop", "The agent loop", ("agent loop, 20 tool calls",)),
    Part(
        "rivals",
        "The same 20 tool calls elsewhere",
        ("agent loop beside pydantic-ai", "agent loop beside openhands-sdk", "agent loop beside claude-agent-sdk"),
    ),
    Part("cache", "Prompt caching", ("input repeated byte for byte, 20 calls",)),
    Part(
        "memory",
        "Memory",
        ("memory of a run, 1 at once", "memory of a run, 50 at once", "memory of a run, 200 at once"),
    ),
    Part(
        "many",
        "Many runs at once",
        (
            "100 runs at once: completed, in order", "100 runs at once: delay of the loop, p95",
            "1,000 runs at once: completed, in order", "1,000 runs at once: delay of the loop, p95",
        ),
    ),
    Part(
        "log",
        "The event log",
        (
            "appends per second", "appends per second, PostgreSQL", "appends per second, PostgreSQL and Redis",
            "published per second, Redis", "append → follower, SQLite, p95", "append → follower, PostgreSQL, p95",
            "append → follower, PostgreSQL and Redis, p95",
        ),
    ),
    Part(
        "followers",
        "Live followers over HTTP",
        (
            "200 followers of one run: events per second", "200 followers of one run: log → client, p95",
            "200 followers, 20 slow and 20 stalled: log → client of the others, p95",
            "1 follower of 200 runs: log → client, p95",
        ),
    ),
    Part(
        "sandbox",
        "The sandbox",
        ("sandbox start + first exec", "exec true", "exec python", "write of 1 MB", "read of 1 MB"),
    ),
    Part(
        "sync",
        "A workspace at Daytona",
        (
            "first sync of 10,000 files", "sync of one changed file among 10,000, up",
            "sync of one changed file among 10,000, down", "sync of one changed file among 10,000",
        ),
    ),
    Part("session", "Many skills and MCP servers", ("session start, 200 skills, 20 servers",)),
    Part("load", "In the notebook", ("%load_ext agent_kernel",)),
    Part("kernel", "The kernel", ("start of the agent kernel",)),
    Part("server", "The server", ("JupyterLab's start", "JupyterLab's memory", "start of a run")),
    Part("preview", "Live preview", ("first byte of a preview",)),
    Part(
        "dom",
        "The cell's view",
        ("token → DOM, p95, 0 messages before", "token → DOM, p95, 1,000 messages before"),
    ),
    Part(
        "stream",
        "100 deltas a second",
        ("stream of 100 deltas/s: frames dropped", "stream of 100 deltas/s: growth of memory"),
        (
            "stream of 100 deltas/s for 10 minutes: frames dropped",
            "stream of 100 deltas/s for 10 minutes: growth of memory",
        ),
    ),
    Part(
        "panel",
        "The side panel",
        (
            "panel: command → list, worst", "panel: open a run of 2,000 events, p95",
            "panel: back to a run of 2,000 events, p95", "panel: key → frame, p95",
            "panel: two browsers apart, p95", "panel: memory gained",
        ),
    ),
    Part(
        "opening",
        "Opening long runs in the panel",
        ("open a run of 1,000 events", "open a run of 10,000 events"),
        ("open a run of 100,000 events",),
    ),
    Part(
        "size",
        "What an installation weighs",
        (),
        (
            "distributions beside jupyter-ai", "distributions beside notebook-intelligence",
            "megabytes beside jupyter-ai", "megabytes beside notebook-intelligence",
        ),
    ),
)  # fmt: skip


def names() -> list[str]:
    """Every figure, in the order of the document."""
    return [name for part in PARTS for name in (*part.figures, *part.long)]
