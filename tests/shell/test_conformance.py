"""Jupyter's own tests of kernels, asked of the agent kernel and of the stock ipykernel it is made of."""

from __future__ import annotations

import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupyter_kernel_test
import pytest

PATIENCE = 90.0
RESULTS = {"1+2+3": "6", "[n*n for n in range(1, 4)]": "[1, 4, 9]"}


class Conformance(jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """The suite with patience: as it comes, it gives each output a tenth of a second, and an answer 15."""

    __test__ = False  # for pytest: run by `asked_of`, which looks at each part's outcome

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        for channel in (cls.kc.iopub_channel, cls.kc.shell_channel):
            look = channel.get_msg
            channel.get_msg = lambda timeout=None, look=look: look(timeout=max(timeout or 0, PATIENCE))

    def flush_channels(self) -> None:
        """Until the kernel has said everything about what it was asked before."""
        asked = self.kc.kernel_info()
        while self.kc.get_shell_msg(timeout=PATIENCE)["parent_header"]["msg_id"] != asked:
            pass
        state = None
        while state != (asked, "idle"):
            message = self.kc.get_iopub_msg(timeout=PATIENCE)
            state = message["parent_header"].get("msg_id"), message["content"].get("execution_state")


def suite(kernel: str, python: Callable[[str], str], **more: Any) -> type[Conformance]:
    """The tests for a kernel; `python` makes a cell of Python code."""
    samples = {
        "kernel_name": kernel,
        "code_hello_world": python("print('hello, world')"),
        "code_stderr": python("import sys; print('err', file=sys.stderr)"),
        "completion_samples": [{"text": python("zi"), "matches": {"zip"}}],
        "complete_code_samples": [python("1"), python("print('a')\n"), python("def f(x):\n  return x\n\n\n")],
        "incomplete_code_samples": [python("print('''hello"), python("def f(x):\n  x*2")],
        "invalid_code_samples": [python("import = 7q")],
        "code_page_something": "zip?",
        "code_generate_error": python("raise ValueError(1)"),
        "code_execute_result": [{"code": python(code), "result": value} for code, value in RESULTS.items()],
        "code_display_data": [
            {
                "code": python("from IPython.display import HTML, display\ndisplay(HTML('<b>t</b>'))"),
                "mime": "text/html",
            }
        ],
        "code_history_pattern": "*1?2*",
        "supported_history_operations": ("tail", "range", "search"),
        "code_inspect_sample": python("zip"),
        "code_clear_output": python("from IPython.display import clear_output\nclear_output()"),
    }
    for name, value in more.items():
        samples[name] = [*samples[name], *value] if name in samples else value
    return type(f"{kernel.title()}Conformance", (Conformance,), samples)


def asked_of(tests: type[Conformance]) -> tuple[set[str], unittest.TestResult]:
    """The names of the tests, and parts of tests, that did not pass."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(tests).run(result)
    name = f"{tests.__module__}.{tests.__qualname__}."
    return {str(test.id()).replace(name, "") for test, _ in [*result.failures, *result.errors]}, result


def test_what_stock_ipykernel_passes_the_agent_kernel_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "stock"))
    stock, of_stock = asked_of(suite("python3", lambda code: code, language_name="python"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "agent"))
    agent, of_agent = asked_of(
        suite(
            "agent",
            lambda code: f"%%python\n{code}",
            language_name="markdown",
            file_extension=".md",
            completion_samples=[{"text": "/mo", "matches": {"/model"}}, {"text": "zi", "matches": set()}],
            complete_code_samples=["Which customers left?"],
            incomplete_code_samples=["Mend this:\n```python\nx = 1", "%%python"],
        )
    )
    print(f"stock ipykernel fails {sorted(stock)}, the agent kernel {sorted(agent)}")
    assert agent <= stock, of_agent.failures + of_agent.errors
    assert of_agent.testsRun == of_stock.testsRun > 10
    assert not of_agent.skipped, of_agent.skipped
