"""A browser test that fails says what a person would have seen."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator
from typing import Any

import pytest

from tests.browser import lab


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, Any]:
    report = yield
    if call.when != "teardown" and report.failed:
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            for context in {id(found): found for found in contexts(item.funcargs)}.values():
                lab.tell_of_pages(context)
            for value in item.funcargs.values():
                if isinstance(server := getattr(value, "server", value), lab.Server):
                    lab.tell_of_server(server)
        if told.getvalue():
            report.sections.append(("What stood there", told.getvalue()))
    return report


def contexts(fixtures: dict[str, Any]) -> list[Any]:
    """The browser contexts that a test was given, with a page or with a server."""
    from playwright.sync_api import BrowserContext

    held = [*fixtures.values(), *(getattr(value, "context", None) for value in fixtures.values())]
    return [one for one in held if isinstance(one, BrowserContext)]
