"""The side panel in a real JupyterLab: how soon it and a long run stand there, whether writing stays smooth, whether
two browsers see the same, and whether memory stays flat while a run streams (`--minutes` of it)."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from agent_kernel.events import (
    Context,
    ContextUpdate,
    Event,
    FileChange,
    Message,
    Status,
    Thought,
    ToolCall,
    ToolResult,
    ToolStart,
)
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from benchmarks.figure import Figure

RUNS, EVENTS = 30, 2_000
DELTAS_PER_SECOND = 100
KEYS = 120
MARKS = 30
MINUTES = float(os.environ.get("AGENT_KERNEL_BENCH_MINUTES", "0.5"))
SAMPLES = 12
SHOW = """async ({ runs }) => {
  const begun = performance.now();
  window.jupyterapp.commands.execute('agent-kernel:open');
  while (document.querySelectorAll('.agk-run').length < runs) await new Promise(done => setTimeout(done, 1));
  await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - begun;
}"""
SEEN = """marks => {
  window.seen = [];
  const view = document.querySelector('.agk-panel');
  new MutationObserver(() => {
    const text = view.textContent;
    while (window.seen.length < marks && text.includes(`mark${window.seen.length}.`)) window.seen.push(Date.now());
  }).observe(view, { childList: true, characterData: true, subtree: true });
}"""
OPEN = """async ({ index, marker }) => {
  const begun = performance.now();
  document.querySelectorAll('.agk-run')[index].click();
  const drawn = () => document.querySelector('.agk-view')?.textContent.includes(marker);
  while (!drawn()) await new Promise(done => setTimeout(done, 1));
  await new Promise(done => requestAnimationFrame(() => setTimeout(done, 0)));
  return performance.now() - begun;
}"""
WATCH = """() => {
  window.typed = [];
  const note = list => list.getEntries().forEach(e => e.name === 'keydown' && window.typed.push(e.duration));
  new PerformanceObserver(note).observe({ type: 'event', durationThreshold: 16, buffered: false });
}"""


def story(run: int) -> list[Event]:
    """EVENTS events as a busy run leaves them; its last message can be told from the others'."""
    events: list[Event] = [
        Status(status="queued"),
        Message(role="user", text=f"Prompt of run {run}"),
        Context(model="claude-sonnet-5-5", system="s", tools="t", max_tokens=16_000, tier="bubblewrap"),
    ]
    turn = 0
    while len(events) < EVENTS - 10:
        turn += 1
        call = f"c{turn}"
        diff = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+new\n"
        events += [
            Status(status="running", reason="thinking", turn=turn),
            Thought(text=f"Step {turn}: look before going on.", turn=turn),
            ContextUpdate(
                model="claude-sonnet-5-5", input_tokens=10, output_tokens=90, cost_usd=0.001, turn=turn
            ),
            Message(role="assistant", text=f"I run step {turn} of **many**, with `code`.", turn=turn),
            ToolCall(id=call, tool="bash", args={"command": f"pytest tests/test_{turn}.py"}, turn=turn),
            Status(status="running", reason="executing", turn=turn),
            ToolStart(id=call, turn=turn),
            FileChange(
                path=f"src/{turn % 40}.py", action="edit", diff=diff, added=1, removed=1, call_id=call
            ),
            ToolResult(id=call, content=[{"type": "text", "text": "ok\n" * 20}], duration_ms=200, turn=turn),
        ]
    while len(events) < EVENTS - 2:
        events.append(Message(role="assistant", text="…", turn=turn))
    return [*events, Message(role="assistant", text=f"End of run {run}."), Status(status="completed")]


async def fill(data: Path) -> None:
    from agent_kernel.runs.bus import LocalBus
    from agent_kernel.runs.log import RunLog
    from agent_kernel.runs.store import open_store
    from agent_kernel.settings import local_user

    data.mkdir(parents=True)
    store = await open_store(data / "runs.db")
    log = RunLog(store, LocalBus())
    owner = local_user()
    for number in range(RUNS):
        session = await store.create_session(owner=owner, name=f"s{number}", workspace=str(data))
        run = await store.create_run(
            session_id=session.id, prompt=f"Prompt of run {number}", model="claude-sonnet-5-5", owner=owner
        )
        await log.append(run.id, *story(number))
    await store.close()


def p95(found: list[float]) -> float:
    return sorted(found)[int(len(found) * 0.95)]


def opened(page: Any) -> tuple[list[float], list[float]]:
    """Milliseconds until a run stands there: never seen before, and seen before."""
    page.locator(".agk-run").nth(RUNS - 1).wait_for(state="attached", timeout=60_000)
    markers = [{"index": RUNS - 1 - n, "marker": f"End of run {n}."} for n in range(RUNS)]
    first = [page.evaluate(OPEN, marker) for marker in markers]
    again = [page.evaluate(OPEN, marker) for marker in markers]
    return first, again


def typed(page: Any, api: ScriptedMessages) -> list[float]:
    """Milliseconds from each key to the frame that shows it, while text streams in."""
    page.get_by_role("button", name="Runs", exact=True).click()
    api.add([Text("word " * DELTAS_PER_SECOND * 20, chunks=DELTAS_PER_SECOND * 20)])
    box = page.locator(".agk-composer textarea")
    box.fill("Write for long")
    box.press("Enter")
    page.locator(".agk-writing").wait_for(timeout=60_000)
    page.evaluate(WATCH)
    box.press_sequentially("smooth and sound " * (KEYS // 17 + 1), delay=40)
    assert page.locator(".agk-writing").count(), "the text still streams when the last key is pressed"
    found: list[float] = page.evaluate("() => window.typed")
    return found + [16.0] * max(0, KEYS - len(found))  # faster than what the browser reports at all


def shown(context: Any, server: Any, token: str) -> list[float]:
    """Milliseconds from the command to the list, in pages that never showed the panel."""
    found = []
    for _ in range(3):
        page = context.new_page()
        page.goto(f"{server.url}/lab/workspaces/w{time.time_ns()}?token={token}&reset")
        page.wait_for_function(
            "() => window.jupyterapp?.commands.hasCommand('agent-kernel:open')", timeout=60_000
        )
        page.evaluate("() => window.jupyterapp.restored")
        page.wait_for_timeout(1_500)  # JupyterLab itself is still busy with its own start
        found.append(page.evaluate(SHOW, {"runs": RUNS}))
        page.close()
    return found


def start(server: Any, token: str, prompt: str) -> str:
    """A run that may take any number of turns; its id."""

    def post(path: str, body: dict[str, Any]) -> Any:
        headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{server.url}/api/agent/{path}", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.load(response)

    session = post("sessions", {"workspace": ".", "new": True})["id"]
    return str(post("runs", {"session": session, "prompt": prompt, "options": {"max_turns": 100_000}})["id"])


def apart(pages: tuple[Any, Any], server: Any, token: str, api: ScriptedMessages) -> list[float]:
    """Milliseconds between the moments at which two browsers show the same words of a run."""
    words = " ".join(f"mark{number}. " + "word " * 18 for number in range(MARKS))
    api.add([Text(words, chunks=len(words) // 5)])
    start(server, token, "Two look at it")
    for page in pages:
        page.locator(".agk-run", has_text="Two look at it").click(timeout=60_000)
        page.evaluate(SEEN, MARKS)
    for page in pages:
        page.wait_for_function(f"() => window.seen.length === {MARKS}", timeout=120_000)
    first, second = (page.evaluate("() => window.seen") for page in pages)
    return [float(abs(a - b)) for a, b in zip(first, second, strict=True)][1:]


def memory(page: Any, server: Any, token: str, api: ScriptedMessages) -> list[float]:
    """MB of live JavaScript objects, sampled while a run of many turns streams."""
    turns = max(2, int(MINUTES * 60 / 5))
    for turn in range(turns):
        api.add([Text("word " * DELTAS_PER_SECOND * 5, chunks=DELTAS_PER_SECOND * 5),
                 ToolUse("bash", {"command": f"echo turn {turn}"})])  # fmt: skip
    api.add([Text("The end.")])
    start(server, token, "Stream for long")
    page.locator(".agk-run", has_text="Stream for long").click(timeout=60_000)
    browser = page.context.new_cdp_session(page)
    found = []
    for _ in range(SAMPLES):
        page.wait_for_timeout(MINUTES * 60_000 / SAMPLES)
        browser.send("HeapProfiler.collectGarbage")
        found.append(browser.send("Runtime.getHeapUsage")["usedSize"] / 1e6)
    assert page.locator(".agk-status-running").count(), "it streams still when the last sample is taken"
    page.get_by_role("button", name="Stop").click()
    return found


def measure() -> dict[str, list[float]]:
    from tests.browser import lab
    from tests.browser.test_panel import show

    with tempfile.TemporaryDirectory() as scratch, ScriptedMessages(delay=1 / DELTAS_PER_SECOND) as api:
        folder, home = Path(scratch) / "work", Path(scratch) / "home"
        folder.mkdir()
        asyncio.run(fill(home / "data" / "agent-kernel"))
        os.environ |= {
            "AGENT_KERNEL_MODEL": "scripted",
            "ANTHROPIC_BASE_URL": api.url,
            "ANTHROPIC_API_KEY": "key-of-the-benchmark",
        }
        with lab.jupyter(folder, home) as server, lab.browser() as context:
            page = context.new_page()
            page.goto(f"{server.url}/lab?token={lab.TOKEN}")
            show(page)
            first, again = opened(page)
            found = {"first": first, "again": again, "keys": typed(page, api)}
            page.get_by_role("button", name="Stop").click()
            page.get_by_role("button", name="Runs", exact=True).click()
            other = context.browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
            other.goto(f"{server.url}/lab/workspaces/other?token={lab.TOKEN}")
            show(other)
            found["apart"] = apart((page, other), server, lab.TOKEN, api)
            other.close()
            page.get_by_role("button", name="Runs", exact=True).click()
            found["memory"] = memory(page, server, lab.TOKEN, api)
            page.close()
            return found | {"shown": shown(context, server, lab.TOKEN)}


async def figures() -> list[Figure]:
    found = await asyncio.to_thread(measure)
    first, again, keys, both, heap = (found[name] for name in ("first", "again", "keys", "apart", "memory"))
    lists = found["shown"]
    settled = heap[len(heap) // 4 :]
    what, stream = f"a run of {EVENTS:,} events", f"{DELTAS_PER_SECOND} deltas/s come"
    gained, heaps = settled[-1] - settled[0], f"{min(heap):.0f}–{max(heap):.0f}"
    return [
        Figure("panel: command → list, worst", max(lists), "ms", f"{RUNS} such runs", "≤ 500", spread(lists)),
        Figure(f"panel: open {what}, p95", p95(first), "ms", "none seen before", "≤ 100", spread(first)),
        Figure(f"panel: back to {what}, p95", p95(again), "ms", "seen before", "≤ 100", spread(again)),
        Figure("panel: key → frame, p95", p95(keys), "ms", stream, "≤ 50", spread(keys)),
        Figure("panel: two browsers apart, p95", p95(both), "ms", stream, "≤ 200", spread(both)),
        Figure("panel: memory gained", gained, "MB", f"{MINUTES:g} min of this", "≤ 10", heaps),
    ]


def spread(found: list[float]) -> str:
    return f"median {statistics.median(found):.0f}"
