"""From a delta's arrival in the browser to its text on the page, in the built cell view."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

from agent_kernel.events import Delta, Message, Status
from benchmarks.figure import Figure

TOKENS, EARLIER = 150, 1_000
MEASURE = """async ({ deltas }) => {
  const found = [];
  for (const delta of deltas) {
    const marker = delta.text.trim();
    await new Promise(resolve => setTimeout(resolve, 20));
    const begun = performance.now();
    await new Promise(resolve => {
      const seen = () => document.querySelector('.agk-writing')?.textContent.includes(marker);
      const observer = new MutationObserver(() => { if (seen()) { observer.disconnect(); resolve(); } });
      observer.observe(document.querySelector('.agk-entries'), { subtree: true, childList: true, characterData: true });
      window.harness.send([delta]);
      if (seen()) { observer.disconnect(); resolve(); }
    });
    found.push(performance.now() - begun);
  }
  return found;
}"""


def measure(earlier: int) -> list[float]:
    """Milliseconds for each token, after `earlier` messages."""
    from tests.browser import lab
    from tests.widgets.harness import open_view, send, served

    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url, lab.browser() as context:
        page = open_view(context, url)
        history: list[Any] = [Status(status="running", reason="thinking", turn=1)]
        history += [
            Message(role="assistant", text=f"Earlier message {n}, *with* `words`") for n in range(earlier)
        ]
        send(page, [event.numbered("r", seq) for seq, event in enumerate(history, 1)])
        deltas = [
            Delta(kind="text", id="0", text=f"token{n:04d} ", turn=9).model_dump(mode="json")
            for n in range(TOKENS)
        ]
        found: list[float] = page.evaluate(MEASURE, {"deltas": deltas})
        return found[10:]


async def figures() -> list[Figure]:
    rows = []
    for earlier in (0, EARLIER):
        found = sorted(await asyncio.to_thread(measure, earlier))
        p95 = found[int(len(found) * 0.95)]
        spread = f"median {statistics.median(found):.1f}"
        name = f"token → DOM, p95, {earlier:,} messages before"
        rows.append(Figure(name, p95, "ms", "one frame of 60 Hz: 16.7 ms", "", spread))
    return rows
