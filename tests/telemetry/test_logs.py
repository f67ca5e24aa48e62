"""Log lines and crash reports name the run and hold no content."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from agent_kernel.client import Agent
from agent_kernel.errors import SettingsError
from agent_kernel.events import Message
from agent_kernel.runs.records import RunRow
from agent_kernel.settings import Settings
from agent_kernel.telemetry import open_observers
from agent_kernel.telemetry.logs import configure_logs
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text
from tests.telemetry.receivers import PATIENCE, Receiver

SECRET = "a word that only the prompt has"
RUN = RunRow(id="r-1", session_id="s-1", owner="ada", prompt=SECRET, model="m")


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the package logs, as a server that was asked for JSON would print it."""
    package = logging.getLogger("agent_kernel")
    before = (package.handlers[:], package.level, package.propagate)
    stream = io.StringIO()
    configure_logs(Settings(log_format="json"), stream)
    yield stream
    package.handlers[:], package.level, package.propagate = before


async def test_a_run_leaves_two_lines_that_say_how_it_went(
    new_agent: Callable[..., Agent], settings: Settings, api: ScriptedMessages, lines: io.StringIO
) -> None:
    api.add([Text(f"Answer to {SECRET}")])
    run = await new_agent(settings=replace(settings, log_format="json")).run(SECRET)
    began, ended = [json.loads(line) for line in lines.getvalue().splitlines() if '"run ' in line]
    assert (began["message"], ended["message"], ended["status"]) == ("run started", "run ended", "completed")
    assert began["run_id"] == ended["run_id"] == run.id and began["session_id"].startswith("s-")
    assert ended["turns"] == 1 and ended["tokens"] > 0 and ended["level"] == "info"
    assert SECRET not in lines.getvalue()


def test_an_error_names_the_run_it_is_about_and_not_its_words(lines: io.StringIO) -> None:
    observers = open_observers(Settings(log_format="json"))
    with observers.working_on(RUN):
        try:
            raise ValueError(SECRET)
        except ValueError:
            logging.getLogger("agent_kernel.test").exception("a tool crashed")
    (line,) = [json.loads(text) for text in lines.getvalue().splitlines()]
    assert (line["run_id"], line["error_type"], line["message"]) == ("r-1", "ValueError", "a tool crashed")
    assert line["stack"][0].endswith("test_an_error_names_the_run_it_is_about_and_not_its_words")
    assert SECRET not in lines.getvalue()


def test_a_crash_reaches_sentry_without_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent_kernel.telemetry.crashes.FAREWELL", PATIENCE)
    with Receiver() as receiver:
        observers = open_observers(Settings(sentry_dsn=f"{receiver.url.replace('://', '://key@')}/1"))
        with observers.working_on(RUN):
            try:
                secret = SECRET
                raise ValueError(secret)
            except ValueError:
                logging.getLogger("agent_kernel.test").exception("run %s crashed", SECRET)
        observers.close()
        receiver.until(lambda: bool(receiver.reports()))
        sent = b"".join(body for _, _, body in receiver.got)
        (report,) = receiver.reports()
    assert report["tags"] == {"run_id": "r-1", "session_id": "s-1", "model": "m"}
    assert report["exception"]["values"][0]["type"] == "ValueError"
    assert SECRET.encode() not in sent
    logging.getLogger("agent_kernel.test").error("after the end")


def test_a_dsn_that_is_none_is_said() -> None:
    with pytest.raises(SettingsError, match="sentry_dsn"):
        open_observers(Settings(sentry_dsn="not a dsn"))


def test_an_observer_that_fails_does_not_fail_the_run(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def begin(self, run: RunRow) -> None:
            raise RuntimeError

        def seen(self, run: RunRow, events: object) -> None:
            raise RuntimeError

        def end(self, run: RunRow) -> None: ...

        def close(self) -> None: ...

    observers = open_observers(Settings())
    observers.add(Broken())
    with observers.working_on(RUN):
        observers.stored("r-1", [Message(role="user", text="x")])
        observers.stored("r-2", [])
    assert caplog.text.count("Broken failed") == 2
