"""What operators see of runs: traces, log lines, crash reports. All of it is off until a setting asks for it.

Observers are told which runs this process works on and what is appended to them; they never slow an append, and
what goes wrong in one of them is its own affair.
"""

from __future__ import annotations

from agent_kernel.settings import Settings
from agent_kernel.telemetry.observer import Observer, Observers

__all__ = ["Observer", "Observers", "open_observers"]


def open_observers(settings: Settings) -> Observers:
    """Those that the settings ask for. Raises SettingsError where a package is missing."""
    found: list[Observer] = []
    if settings.log_format == "json":
        from agent_kernel.telemetry.logs import RunLines

        found.append(RunLines())
    if settings.otlp_url or settings.langfuse_secret_key:
        from agent_kernel.telemetry.tracing import open_tracing

        found.append(open_tracing(settings))
    if settings.sentry_dsn:
        from agent_kernel.telemetry.crashes import open_crashes

        found.append(open_crashes(settings))
    return Observers(found)
