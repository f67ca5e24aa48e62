"""The live view in a real kernel: what the page gets and says while the cell is busy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_kernel.shell.widget import MOST_BYTES, STATIC, WIDGET_MIME
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from tests.shell.cells import Cells, Shown, environment, kernel

pytestmark = pytest.mark.skipif(not (STATIC / "cell.js").is_file(), reason="the front end is not built")


@pytest.fixture
def cells(workspace: Path, tmp_path: Path, api: ScriptedMessages) -> Iterator[Cells]:
    with kernel(workspace, environment(tmp_path / "data", api)) as cells:
        assert cells.run("%load_ext agent_kernel").status == "ok"
        yield cells


class Page:
    """A busy cell as its page sees it."""

    def __init__(self, cells: Cells, code: str) -> None:
        self.cells = cells
        self.cell = cells.start(code, cell_id="cell-1")
        self.shown = Shown()
        self.until(lambda: any(WIDGET_MIME in output for output in self.shown.outputs))
        self.id: str = self.shown.outputs[0][WIDGET_MIME]["model_id"]

    def until(self, condition: Callable[[], bool]) -> None:
        messages = self.cells.messages()
        while not condition():
            self.cells.apply(self.shown, next(messages))

    @property
    def custom(self) -> list[dict[str, Any]]:
        """The custom messages the page got."""
        sent = [c["data"] for c in self.shown.comms if c["comm_id"] == self.id and c["type"] == "comm_msg"]
        return [data["content"] for data in sent if data.get("method") == "custom"]

    def state(self) -> dict[str, Any]:
        """The widget's traits after all updates."""
        state: dict[str, Any] = {}
        for comm in self.shown.comms:
            if comm["comm_id"] == self.id:
                state.update(comm.get("data", {}).get("state", {}))
        return state

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [e for m in self.custom if m["kind"] == "events" for e in m["events"] if e["type"] == kind]

    def say(self, **data: Any) -> None:
        self.cells.say(self.id, data)

    def finish(self) -> Shown:
        rest = self.cells.finish(self.cell)
        self.shown.comms += rest.comms
        return rest


def test_an_approval_by_the_page_reaches_the_busy_cell(cells: Cells, api: ScriptedMessages) -> None:
    api.add([ToolUse("notebook_python", {"code": "x = 6 * 7"}, id="call-1")], [Text("Done.")])
    page = Page(cells, "%agent Set x")
    page.until(lambda: bool(page.events("approval_request")))
    (request,) = page.events("approval_request")
    page.say(kind="approve", id=request["id"], decision="forever")
    page.say(kind="approve", id=request["id"], decision="allow")
    page.until(lambda: bool(page.events("approval_answer")))
    assert page.events("approval_answer")[0]["decision"] == "allow"
    page.finish()
    assert cells.run("print(x)").text == "42\n"


def test_a_late_page_gets_everything_and_a_stop_button_stops(cells: Cells, api: ScriptedMessages) -> None:
    api.add([Text("Thinking about it"), Stall()])
    page = Page(cells, "%agent Think")
    page.until(lambda: bool(page.events("delta")))
    mirrored = json.loads(page.state()["backlog"])
    assert [event["seq"] for event in mirrored] == list(range(1, len(mirrored) + 1)) and mirrored
    before = len(page.custom)
    page.say(kind="hello", after=0)
    page.until(lambda: any(e.get("seq") == 1 for m in page.custom[before:] for e in m.get("events", ())))
    assert any(m["kind"] == "heard" for m in page.custom[before:])
    page.say(kind="control", action="cancel")
    shown = page.finish()
    assert shown.error == ["Stopped."]
    assert [event["status"] for event in page.events("status")][-1] == "cancelled"


def test_what_is_kept_for_a_late_page_fits_into_a_message(cells: Cells, api: ScriptedMessages) -> None:
    long = "w" * (MOST_BYTES // 3)
    turn: list[Any] = [Text(long), ToolUse("todo", {"items": [{"text": "Write", "status": "doing"}]})]
    api.add(turn, turn, turn, turn, [Text("The end.")])
    cells.run("%agent Write at length")
    page = Page(cells, "%agent /show")
    page.until(lambda: any(event["status"] == "completed" for event in page.events("status")))
    page.finish()
    states = [
        comm.get("data", {}).get("state", {}) for comm in page.shown.comms if comm["comm_id"] == page.id
    ]
    mirrored = [state["backlog"] for state in states if "backlog" in state]
    assert max(map(len, mirrored)) <= MOST_BYTES
    kept = json.loads(mirrored[-1])
    assert [event["seq"] for event in kept] == list(range(1, len(kept) + 1)) and kept
    assert [message["text"] for message in page.events("message") if message["role"] == "assistant"][:4] == [
        long
    ] * 4


def test_a_message_steers_and_a_refusal_is_told(cells: Cells, api: ScriptedMessages) -> None:
    api.add([ToolUse("notebook_python", {"code": "1"}, id="call-1")], [Text("In blue, then.")])
    page = Page(cells, "%agent Draw")
    page.until(lambda: bool(page.events("approval_request")))
    page.say(kind="message", text="Use blue")
    page.say(kind="undo", path="nothing.txt")
    page.until(lambda: any(m["kind"] == "notice" for m in page.custom))
    page.until(lambda: any(event["text"] == "Use blue" for event in page.events("message")))
    page.say(kind="approve", id=page.events("approval_request")[0]["id"], decision="deny")
    page.finish()
    assert "Use blue" in str(api.bodies[-1]["messages"])


def test_at_the_end_a_static_bundle_replaces_the_widget(cells: Cells, api: ScriptedMessages) -> None:
    api.add([Text("Hello.")])
    shown = cells.run("%agent Hi", cell_id="cell-1")
    (output,) = shown.outputs
    headers = [c["data"]["state"] for c in shown.comms if "tier" in c.get("data", {}).get("state", {})]
    assert headers[0]["tier"] == "local" and headers[-1]["tier"] not in ("", "local")
    assert WIDGET_MIME not in output
    assert "Hello." in output["text/plain"] and "Hello." in output["text/html"]
    assert output["metadata"]["agent_kernel"]["run_id"].startswith("r")
    assert shown.comms[-1]["type"] == "comm_close"
    scripts = [
        c["data"]["state"]["_esm"] for c in shown.comms if "_esm" in c.get("data", {}).get("state", {})
    ]
    assert len(scripts[0]) > 0 and scripts[-1] == ""
