"""What a hundred deltas a second do to the page: frames that came late, and memory that stays."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from agent_kernel.events import Message, Status
from benchmarks.figure import Figure

SHORT, LONG = 20, 600
DELTAS_PER_SECOND = 100
TURN_SECONDS = 10
"""After so long the turn's text is stored, as a model's answer would be."""
MEASURE = """async ({ seconds, rate, turnSeconds, seq }) => {
  const collected = () => { window.gc?.(); return performance.memory.usedJSHeapSize; };
  const before = collected();
  let frames = 0, on = true;
  const count = () => { frames += 1; if (on) requestAnimationFrame(count); };
  requestAnimationFrame(count);
  const begun = performance.now();
  let sent = 0, turn = 1, text = '', turnBegun = begun;
  const base = { run_id: 'r', version: 1, timestamp: Date.now() };
  while (performance.now() - begun < seconds * 1000) {
    await new Promise(done => setTimeout(done, 10));
    const due = Math.floor((performance.now() - begun) / 1000 * rate);
    const events = [];
    for (; sent < due; sent++) {
      const word = `word${sent} `;
      text += word;
      events.push({ ...base, type: 'delta', seq: 0, turn, kind: 'text', id: '0', text: word, tool: '' });
    }
    if (performance.now() - turnBegun > turnSeconds * 1000) {
      const said = { role: 'assistant', text, content: null, by: '', partial: false };
      events.push({ ...base, type: 'message', seq: seq++, turn, ...said });
      events.push({ ...base, type: 'context_update', seq: seq++, turn, model: 'm', input_tokens: 1, output_tokens: 1,
        cache_read_tokens: 0, cache_write_tokens: 0, cost_usd: null, context_tokens: 1, context_window: 9 });
      text = ''; turn += 1; turnBegun = performance.now();
    }
    if (events.length) window.harness.send(events);
  }
  on = false;
  const took = (performance.now() - begun) / 1000;
  return { frames, took, grown: (collected() - before) / 2 ** 20, chars: sent * 9 };
}"""


def measure(seconds: int) -> dict[str, Any]:
    from tests.browser import lab
    from tests.widgets.harness import open_view, send, served

    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url, lab.browser() as context:
        page = open_view(context, url)
        begun = [Status(status="running", reason="thinking", turn=1), Message(role="user", text="Write")]
        send(page, [event.numbered("r", seq) for seq, event in enumerate(begun, 1)])
        asked = {"seconds": seconds, "rate": DELTAS_PER_SECOND, "turnSeconds": TURN_SECONDS, "seq": 3}
        found: dict[str, Any] = page.evaluate(MEASURE, asked)
        return found


async def figures(*, long: bool = False) -> list[Figure]:
    rows = []
    for seconds in (SHORT, LONG) if long else (SHORT,):
        found = await asyncio.to_thread(measure, seconds)
        due = found["took"] * 60
        dropped = max(0.0, 100 * (1 - found["frames"] / due))
        name = "stream of 100 deltas/s" + (" for 10 minutes" if seconds == LONG else "")
        said = f"{found['chars'] / 1024:,.0f} kB of text"
        rows += [
            Figure(f"{name}: frames dropped", dropped, "%", "60 frames a second", "≤ 5", "once"),
            Figure(f"{name}: growth of memory", found["grown"], "MB", said, "", "once"),
        ]
    return rows
