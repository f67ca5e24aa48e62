"""Crash reports to Sentry: the type of an error, where it was raised, and the ids of run and session. No content."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from agent_kernel._version import __version__
from agent_kernel.errors import SettingsError
from agent_kernel.events import Event
from agent_kernel.runs.records import RunRow
from agent_kernel.settings import Settings
from agent_kernel.telemetry.observer import current_run

FAREWELL = 2.0
"""Seconds for what is still to be sent when it closes."""


class Crashes:
    """An Observer that only has to be closed: what is reported are the package's own logged errors."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._handler = _Reports(client)
        logging.getLogger("agent_kernel").addHandler(self._handler)

    def begin(self, run: RunRow) -> None: ...

    def seen(self, run: RunRow, events: Sequence[Event]) -> None: ...

    def end(self, run: RunRow) -> None: ...

    def close(self) -> None:
        logging.getLogger("agent_kernel").removeHandler(self._handler)
        self._client.close(timeout=FAREWELL)


class _Reports(logging.Handler):
    """Sends errors as they are logged. The client is ours alone: nothing is hooked into the person's programs."""

    def __init__(self, client: Any) -> None:
        super().__init__(logging.ERROR)
        self._client = client

    def emit(self, record: logging.LogRecord) -> None:
        from sentry_sdk.utils import event_from_exception

        if record.exc_info and record.exc_info[1] is not None:
            event, hint = event_from_exception(record.exc_info, client_options=self._client.options)
        else:
            event, hint = {}, {}
        run = current_run.get()
        event |= {
            "level": record.levelname.lower(),
            "logger": record.name,
            "logentry": {"message": str(record.msg)},  # the sentence without what was filled in
            "tags": {"run_id": run.id, "session_id": run.session_id, "model": run.model} if run else {},
        }
        self._client.capture_event(event, hint)


def without_content(event: Any, hint: Any) -> Any:
    """An error's words can hold anything that a tool or a model said."""
    for value in event.get("exception", {}).get("values", []):
        value["value"] = ""
        for frame in (value.get("stacktrace") or {}).get("frames", []):
            frame.pop("vars", None)
    event.pop("server_name", None)
    return event


def open_crashes(settings: Settings) -> Crashes:
    """Raises SettingsError where the extra `sentry` is not installed, or the DSN is none."""
    try:
        from sentry_sdk import Client
        from sentry_sdk.utils import BadDsn
    except ImportError:
        raise SettingsError(
            "Crash reports need Sentry's SDK, which is not installed.",
            hint="pip install 'agent-kernel[sentry]', or unset sentry_dsn.",
        ) from None
    try:
        client = Client(
            dsn=settings.sentry_dsn, release=f"agent-kernel@{__version__}", default_integrations=False,
            auto_enabling_integrations=False, include_local_variables=False,
            max_breadcrumbs=0, before_send=without_content,
        )  # fmt: skip
    except BadDsn:
        raise SettingsError("sentry_dsn is not a DSN.", hint="Sentry shows it under Client Keys.") from None
    return Crashes(client)
