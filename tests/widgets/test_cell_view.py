"""The built cell view in a real browser: hostile text, keyboard, scrolling, many events, both themes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from agent_kernel.events import (
    ApprovalAnswer,
    ApprovalRequest,
    Delta,
    Event,
    Message,
    Status,
    ToolCall,
    ToolResult,
)
from tests.browser import lab
from tests.browser.axe import violations
from tests.transcript.runs import analysis, hostile, numbered
from tests.widgets.harness import ROOT, open_view, send, served

OUTPUT = ROOT / "tests" / "output"
pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    OUTPUT.mkdir(exist_ok=True)
    with served(tmp_path_factory.mktemp("harness")) as url:
        yield url


@pytest.fixture(scope="module")
def context() -> Iterator[Any]:
    with lab.browser(viewport={"width": 900, "height": 900}) as opened:
        yield opened


def sent(page: Any) -> list[dict[str, Any]]:
    return [action for action in page.evaluate("() => window.harness.sent") if action["kind"] != "hello"]


def asking() -> list[Event]:
    return numbered(
        Status(status="running", reason="executing"),
        ToolCall(id="c", tool="bash", args={"command": "curl example.org"}),
        ApprovalRequest(
            id="c", call_id="c", tool="bash", what="curl example.org", reason="It leaves.", scope="bash"
        ),
        Status(status="waiting", reason="approval"),
    )


AT_END = """() => {
  const box = document.querySelector('.agk-timeline');
  return box.scrollHeight - box.scrollTop - box.clientHeight < 5;
}"""


def talk(count: int) -> list[Event]:
    return numbered(
        Status(status="running", reason="thinking"),
        *(Message(role="assistant", text=f"Line {number} with *some* words") for number in range(count)),
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [900, 420])
def test_a_finished_run_shows_everything(context: Any, address: str, theme: str, width: int) -> None:
    page = open_view(context, address, f"?{theme}")
    page.set_viewport_size({"width": width, "height": 900})
    send(page, analysis())
    for text in ("Done", "1,000 tokens", "3 rows.", "report.md", "Trying again", "Put back"):
        assert page.get_by_text(text).first.is_visible(), text
    assert page.locator("img.agk-picture").count() == 1
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth"), (
        "nothing sticks out"
    )
    page.screenshot(path=OUTPUT / f"view-{theme}-{width}.png")
    page.set_viewport_size({"width": 900, "height": 900})
    page.close()


def test_hostile_text_runs_nothing_loads_nothing_and_shows_itself(context: Any, address: str) -> None:
    requests: list[str] = []
    page = open_view(context, address)
    page.on("request", lambda request: requests.append(request.url))
    send(page, hostile())
    for kind in ("text", "thinking", "input"):
        send(page, [Delta(kind=kind, id="9", text="<img src=x onerror=window.__xss=1>", turn=99)])
    page.eval_on_selector_all(
        "button[aria-expanded=false]", "buttons => buttons.forEach(button => button.click())"
    )
    page.wait_for_timeout(300)
    assert page.evaluate("() => window.__xss") is None
    assert (
        page.locator(".agk script, .agk iframe, .agk style, .agk base, .agk [onerror], .agk [onload]").count()
        == 0
    )
    links = page.eval_on_selector_all(".agk a", "links => links.map(link => link.href)")
    assert all(link.startswith(("http:", "https:", "mailto:")) for link in links), links
    assert all(url.startswith(("data:", address)) for url in requests), requests
    assert page.get_by_text("<script>window.__xss=1</script>").first.is_visible()
    page.close()


def test_an_approval_is_decided_by_keyboard(context: Any, address: str) -> None:
    page = open_view(context, address)
    send(page, asking())
    assert page.evaluate("() => document.activeElement.textContent") == "Allow once"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert sent(page) == [{"kind": "approve", "id": "c", "decision": "session"}]
    answer = ApprovalAnswer(id="c", decision="session").model_copy(update={"run_id": "r-1", "seq": 5})
    send(page, [answer])
    assert page.get_by_role("button", name="Allow once").count() == 0
    assert page.get_by_text("Allowed for the session").is_visible()
    page.close()


def test_an_approval_does_not_take_the_focus_from_somebody_who_types(context: Any, address: str) -> None:
    page = open_view(context, address)
    send(page, asking()[:2])
    page.get_by_label("Message to the agent").fill("half a sen")
    send(page, asking()[2:])
    assert page.evaluate("() => document.activeElement.tagName") == "TEXTAREA"
    page.close()


def test_stop_pause_and_messages_are_sent(context: Any, address: str) -> None:
    page = open_view(context, address)
    send(page, asking()[:1])
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Stop").click()
    box = page.get_by_label("Message to the agent")
    box.fill("two")
    box.press("Shift+Enter")
    box.type("lines")
    box.press("Enter")
    assert sent(page) == [
        {"kind": "control", "action": "pause"},
        {"kind": "control", "action": "cancel"},
        {"kind": "message", "text": "two\nlines"},
    ]
    assert box.input_value() == ""
    page.close()


def test_what_is_done_before_the_kernel_listens_is_told_as_soon_as_it_does(
    context: Any, address: str
) -> None:
    page = open_view(context, address, "?deaf")
    send(page, asking()[:1])
    page.get_by_role("button", name="Stop").click()
    assert sent(page) == []
    page.evaluate("() => { window.harness.deaf = false; }")
    page.wait_for_function("() => window.harness.sent.some(one => one.kind !== 'hello')")
    assert sent(page) == [{"kind": "control", "action": "cancel"}]
    page.close()


def test_the_timeline_follows_until_its_reader_scrolls_up(context: Any, address: str) -> None:
    page = open_view(context, address)
    events = talk(200)
    send(page, events[:100])
    page.wait_for_function(AT_END)
    page.locator(".agk-timeline").hover()
    page.mouse.wheel(0, -600)
    page.get_by_role("button", name="Jump to latest").wait_for()
    before = page.evaluate("() => document.querySelector('.agk-timeline').scrollTop")
    send(page, events[100:])
    assert page.evaluate("() => document.querySelector('.agk-timeline').scrollTop") <= before + 1
    page.get_by_role("button", name="Jump to latest").click()
    page.wait_for_function(AT_END)
    page.close()


def test_five_thousand_events_keep_the_page_small(context: Any, address: str) -> None:
    page = open_view(context, address)
    events = talk(5_000)
    for start in range(0, len(events), 500):
        send(page, events[start : start + 500])
    assert page.get_by_text("Line 4999").is_visible()
    assert page.locator(".agk *").count() < 2_000
    page.get_by_role("button", name="earlier steps").click()
    assert page.get_by_text("Line 4800", exact=False).count() == 1
    page.close()


def test_what_is_missing_is_asked_for(context: Any, address: str) -> None:
    page = open_view(context, address)
    events = talk(5)
    send(page, [events[0], events[3]])
    hellos = [action for action in page.evaluate("() => window.harness.sent") if action["kind"] == "hello"]
    assert hellos[-1] == {"kind": "hello", "after": 1}
    send(page, events[1:])
    assert page.get_by_text("Line 4").is_visible()
    page.close()


def test_what_changed_before_anybody_listened_is_shown(context: Any, address: str) -> None:
    page = open_view(context, address, "?" + urlencode({"later": '{"setup": true}'}))
    page.get_by_role("region", name="First use").wait_for(state="attached")
    page.wait_for_function("() => window.harness.sent.some(one => one.kind !== 'hello')")
    assert sent(page) == [{"kind": "skip"}], (
        "no server is there to set a model up at: the run says what is missing"
    )
    page.close()


def test_live_text_gives_way_to_what_was_stored(context: Any, address: str) -> None:
    page = open_view(context, address)
    start = numbered(Status(status="running", reason="thinking", turn=1))
    send(page, [*start, Delta(kind="text", id="0", text="Being wri", turn=1)])
    page.get_by_text("Being wri").wait_for()
    stored = Message(role="assistant", text="Being written, done.", turn=1).numbered("r-1", 2)
    send(page, [Delta(kind="text", id="0", text="tten", turn=1), stored])
    page.get_by_text("Being written, done.").wait_for()
    assert page.get_by_text("Being wri").count() == 1
    page.close()


def test_terminal_colours_are_shown_and_other_escapes_dropped(context: Any, address: str) -> None:
    page = open_view(context, address)
    result = "\x1b[32mgreen\x1b[0m \x1b]0;title\x07plain \x1b[2Jend"
    events = numbered(
        Status(status="running", reason="executing"),
        ToolCall(id="c", tool="bash", args={"command": "x"}),
        ToolResult(id="c", content=[{"type": "text", "text": result}], is_error=True),
    )
    send(page, events)
    assert page.locator(".agk-ansi-2").inner_text() == "green"
    assert page.locator(".agk-terminal").inner_text() == "green plain end"
    page.close()


def test_the_bundle_is_no_larger_than_it_needs_to_be() -> None:
    assert (Path(ROOT) / "agent_kernel" / "static" / "cell.js").stat().st_size < 800_000


def test_it_has_no_serious_fault_of_accessibility(address: str, context: Any) -> None:
    for query in ("", "?dark"):
        for events in (analysis(), hostile(), asking()):
            page = open_view(context, address, query)
            send(page, events)
            assert violations(page, ".agk") == []
            page.close()


def test_the_licences_of_what_the_bundle_contains_go_with_it() -> None:
    licences = (Path(ROOT) / "agent_kernel" / "static" / "LICENSES.txt").read_text(encoding="utf-8")
    for name in ("@novnc/novnc", "dompurify", "katex", "markdown-it", "react-dom"):
        assert f"\n{name} " in f"\n{licences}", name
    assert "Permission is hereby granted" in licences
