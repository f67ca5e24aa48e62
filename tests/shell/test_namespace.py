"""Code of the agent in the user's own namespace."""

from __future__ import annotations

import base64
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

from agent_kernel.shell.bridge import Interrupted
from agent_kernel.shell.namespace import run_code


@pytest.fixture
def ip() -> Iterator[Any]:
    shell = InteractiveShell.instance()
    shell.reset()
    yield shell
    InteractiveShell.clear_instance()


def texts(output: Any) -> list[str]:
    return [block.get("text", block["type"]) for block in output.content]


def run(ip: Any, code: str) -> Any:
    return run_code(ip, code, lambda text: None)


def test_variables_are_the_users_own(ip: Any) -> None:
    ip.user_ns["x"] = 20
    assert texts(run(ip, "y = x + 1\ny * 2")) == ["42"]
    assert ip.user_ns["y"] == 21


def test_printing_is_streamed_and_kept_in_order(ip: Any) -> None:
    live: list[str] = []
    output = run_code(ip, "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')\n'd'", live.append)
    assert [o.kind for o in output.outputs] == ["stdout", "stderr", "stdout", "result"]
    assert texts(output) == ["a\n", "b\n", "c\n", "'d'"]
    assert "".join(live) == "a\nb\nc\n"


def test_the_users_history_and_last_value_stay(ip: Any) -> None:
    ip.run_cell("1 + 1", store_history=True)
    count, inputs = ip.execution_count, list(ip.user_ns["In"])
    run(ip, "3 + 3")
    assert ip.user_ns["_"] == 2
    assert (ip.execution_count, ip.user_ns["In"]) == (count, inputs)


def test_an_error_is_a_result_with_the_traceback(ip: Any) -> None:
    output = run(ip, "def f():\n    return 1 / 0\nf()")
    assert output.is_error and output.outputs[-1].kind == "error"
    (text,) = texts(output)
    assert "ZeroDivisionError" in text and "return 1 / 0" in text
    assert "\x1b" not in text and "run_code" not in text


@pytest.mark.parametrize(
    ("code", "words"),
    [("1 +", "SyntaxError"), ("raise SystemExit(3)", "The kernel goes on"), ("await x", "Top-level `await`")],
)
def test_no_code_ends_more_than_itself(ip: Any, code: str, words: str) -> None:
    output = run(ip, code)
    assert output.is_error and words in texts(output)[-1]


def test_rich_values_keep_their_forms(ip: Any) -> None:
    output = run(ip, "import pandas as pd\npd.DataFrame({'a': [1]})")
    assert "<table" in output.outputs[0].data["text/html"]
    assert texts(output) == ["   a\n0  1"]


def test_images_reach_the_model_as_images(ip: Any) -> None:
    code = (
        "from IPython.display import Image, display\nimport base64\n"
        "display(Image(base64.b64decode('iVBORw0KGgo='), format='png'))"
    )
    (block,) = run(ip, code).content
    assert block["source"]["media_type"] == "image/png"
    assert base64.b64decode(block["source"]["data"]).startswith(b"\x89PNG")


def test_updates_of_a_display_replace_it(ip: Any) -> None:
    code = "h = display('one', display_id=True)\nh.update('two')"
    assert texts(run(ip, code)) == ["'two'"]


def test_magics_and_shell_lines_work(ip: Any) -> None:
    assert texts(run(ip, "!echo from the shell"))[0].strip() == "from the shell"


def test_nothing_to_show_says_so(ip: Any) -> None:
    assert texts(run(ip, "x = 1")) == ["(no output)"]
    assert texts(run(ip, "1;")) == ["(no output)"]


def test_an_interrupt_keeps_what_there_is(ip: Any) -> None:
    ip.user_ns["interrupt"] = lambda: signal.pthread_kill(threading.get_ident(), signal.SIGINT)
    with pytest.raises(Interrupted) as caught:
        run(ip, "import time\nprint('so far')\ninterrupt()\ntime.sleep(300)")
    output = caught.value.result
    assert output.is_error and texts(output)[0] == "so far\n" and "interrupted" in texts(output)[1]


def test_streams_and_displays_are_given_back(ip: Any) -> None:
    before = sys.stdout, sys.stderr, ip.display_pub.publish
    run(ip, "1 / 0")
    assert (sys.stdout, sys.stderr, ip.display_pub.publish) == before


def test_the_models_copy_is_capped_head_and_tail(ip: Any) -> None:
    output = run(ip, "print('begin', 'x' * 1_000_000, 'end')\n'y' * 100_000")
    assert sum(len(text) for text in texts(output)) < 35_000
    assert texts(output)[0].startswith("begin") and texts(output)[0].endswith("end\n")
    assert output.truncated_bytes > 1_000_000


def test_of_many_displays_most_are_left_out(ip: Any) -> None:
    output = run(ip, "from IPython.display import display\nfor n in range(1000): display(n)\n'last'")
    assert len(output.content) == 41
    assert "961 of 1001 outputs" in texts(output)[0] and texts(output)[-1] == "'last'"
    assert [o.block for o in output.outputs] == list(range(1, 41))
