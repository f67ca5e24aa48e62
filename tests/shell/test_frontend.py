"""Which view a cell gets, and which notebook it belongs to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from agent_kernel.errors import SettingsError
from agent_kernel.shell.frontend import can_answer, notebook_name, view_kind


def shell(request: Any) -> Any:
    return SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: request))


@pytest.mark.parametrize(
    ("request_", "kind"),
    [
        ({"metadata": {"cellId": "a1"}, "content": {"allow_stdin": True}}, "widget"),
        ({"metadata": {}, "content": {"allow_stdin": False}}, "document"),
        ({"metadata": {}, "content": {"allow_stdin": True}}, "lines"),
        ({}, "document"),
        (None, "document"),
    ],
)
def test_the_request_tells_who_is_looking(request_: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AGENT_KERNEL_VIEW", raising=False)
    assert view_kind(shell(request_)) == kind


def test_a_shell_without_a_kernel_is_a_terminal() -> None:
    assert view_kind(SimpleNamespace()) == "terminal"


def test_the_environment_may_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_KERNEL_VIEW", "text")
    assert view_kind(shell({"metadata": {"cellId": "a"}, "content": {}})) == "document"
    monkeypatch.setenv("AGENT_KERNEL_VIEW", "widget")
    assert view_kind(shell({})) == "widget"
    monkeypatch.setenv("AGENT_KERNEL_VIEW", "vr")
    with pytest.raises(SettingsError, match="'vr' is not one of auto, widget, text"):
        view_kind(shell({}))


def test_only_people_answer() -> None:
    assert can_answer("widget")
    assert not can_answer("document") and not can_answer("lines")


def test_the_notebook_is_named_by_server_or_editor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert notebook_name({}) is None
    assert notebook_name({"__vsc_ipynb_file__": "/home/ada/a.ipynb"}) == "/home/ada/a.ipynb"
    monkeypatch.setenv("JPY_SESSION_NAME", "b.ipynb")
    assert notebook_name({}) == "b.ipynb"
