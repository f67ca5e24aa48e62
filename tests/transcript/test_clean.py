"""The clean notebook: what led to the result, in an order that gives it again, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from markdown_it import MarkdownIt
from nbclient import NotebookClient

from agent_kernel import transcript
from agent_kernel.client import Agent
from agent_kernel.errors import AgentKernelError
from agent_kernel.events import Event, FileChange, Message, Output, Status, ToolCall, ToolResult
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from tests.transcript.runs import hostile, picture, text

FAILED = (
    'Traceback (most recent call last):\n  File "<python-3>", line {line}, in <module>\nKeyError: {what!r}'
)


class Story:
    """A run told by its Python: `ran(code)`, `drew(code, file)`, `failed(code, line)`."""

    def __init__(self, run: str = "r-1", prompt: str = "How do sales go?") -> None:
        self.run, self.events = run, list[Event]()
        self.say(Message(role="user", text=prompt, by="ada"))

    def say(self, *events: Event) -> None:
        for event in events:
            self.events.append(event.numbered(self.run, len(self.events) + 1))

    def call(self, code: str, *blocks: Any, files: tuple[str, ...] = (), error: bool = False) -> None:
        call = f"c{len(self.events)}"
        outputs = [Output(block=n, kind="error" if error else "stdout") for n in range(len(blocks))]
        self.say(ToolCall(id=call, tool="python", args={"code": code}))
        for path in files:
            self.say(FileChange(path=path, action="create", call_id=call))
        self.say(ToolResult(id=call, content=list(blocks), outputs=outputs, is_error=error))

    def ran(self, code: str, said: str = "") -> None:
        self.call(code, *([text(said)] if said else []))

    def drew(self, code: str, *files: str) -> None:
        self.call(code, picture(), files=files)

    def failed(self, code: str, line: int, what: str = "x") -> None:
        self.call(code, text(FAILED.format(line=line, what=what)), error=True)

    def ended(self, answer: str = "They grow.") -> list[Event]:
        self.say(Message(role="assistant", text=answer), Status(status="completed", reason="complete"))
        return self.events


def cells(events: list[Event]) -> list[str]:
    made = transcript.to_clean_notebook(events)
    nbformat.validate(made)
    return [cell.source for cell in made.cells]


def code(events: list[Event]) -> list[str]:
    made = transcript.to_clean_notebook(events)
    return [cell.source for cell in made.cells if cell.cell_type == "code"]


def test_prompt_imports_code_and_answer_are_all_there_is() -> None:
    story = Story()
    story.ran("import pandas as pd\ndf = pd.read_csv('/workspace/s.csv')\nprint(len(df))", "3\n")
    story.drew("import pandas as pd, numpy as np\n# The course\ndf.plot()")
    head, *rest, answer = cells(story.ended())
    assert head.startswith("# How do sales go?\n\n*Made by agent-kernel")
    assert rest == [
        "import numpy as np\nimport pandas as pd",
        "df = pd.read_csv('s.csv')\nprint(len(df))",
        "# The course\ndf.plot()",
    ]
    assert answer == "## Result\n\nThey grow."


def test_outputs_stay() -> None:
    story = Story()
    story.ran("print(3)", "3\n")
    story.drew("draw()")
    made = transcript.to_clean_notebook(story.ended())
    kinds = [o.output_type for cell in made.cells if cell.cell_type == "code" for o in cell.outputs]
    assert kinds == ["stream", "display_data"]


def test_what_failed_is_left_out_but_for_what_it_had_done() -> None:
    story = Story()
    story.failed("import pandas as pd\ndf = pd.DataFrame({'a': [1]})\ndf['b']\nprint('never')", 3)
    story.failed("import nothing_here", 1)
    story.ran("print(df.a.sum())", "1\n")
    assert code(story.ended()) == [
        "import pandas as pd", "df = pd.DataFrame({'a': [1]})", "print(df.a.sum())"
    ]  # fmt: skip


def test_a_picture_that_was_drawn_better_later_is_left_out() -> None:
    story = Story()
    story.ran("x = [1, 2]", "")
    first = "import matplotlib\nmatplotlib.use('Agg')\nimport matplotlib.pyplot as plt\nplt.plot(x)"
    story.drew(f"{first}\nplt.savefig('chart.png')", "chart.png")
    story.drew("plt.plot(x, color='red')\nplt.savefig('chart.png')", "chart.png")
    assert code(story.ended()) == [
        "import matplotlib\nimport matplotlib.pyplot as plt",
        "x = [1, 2]",
        "plt.plot(x, color='red')\nplt.savefig('chart.png')",
    ]


def test_looks_around_and_the_same_again_are_left_out() -> None:
    story = Story()
    story.ran("import os\nprint(sorted(os.listdir()))", "['s.csv']")
    story.ran("help(print)", "Help")
    story.ran("n = 3\nprint(n)", "3")
    story.ran("n = 3\nprint(n)", "3")
    story.ran("unused = 7")
    assert code(story.ended()) == ["n = 3\nprint(n)"]


@pytest.mark.parametrize(
    "change",
    ["d['b'] = 2", "d.update(b=2)", "fit(d)", "d |= {'b': 2}", "e = d\ne['b'] = 2", "history = d.fit()"],
)
def test_what_changes_a_value_that_is_used_later_stays(change: str) -> None:
    story = Story()
    story.ran("d = {'a': 1}")
    story.ran(change)
    story.ran("print(d)", "{'a': 1, 'b': 2}")
    assert code(story.ended()) == ["d = {'a': 1}", change, "print(d)"]


def test_a_setting_of_a_module_that_is_used_stays_and_a_call_for_its_value_does_not() -> None:
    story = Story()
    story.ran("import random\nrandom.seed(1)")
    story.ran("import json\nunused = json.loads('1')")
    story.ran("print(random.random(), json)", "0.1")
    assert code(story.ended()) == [
        "import json\nimport random",
        "random.seed(1)",
        "print(random.random(), json)",
    ]


def test_imports_that_mean_two_things_or_come_after_a_setting_stay_where_they_are() -> None:
    story = Story()
    story.ran("from math import log\nprint(log(1))", "0.0")
    story.ran("from numpy import log\nprint(log([1]))", "[0.]")
    story.ran("import os\nos.environ['MODE'] = 'x'\nimport json; print(json)", "m")
    story.ran("import csv\nprint(csv)", "m")
    assert code(story.ended()) == [
        "import os",
        "from math import log\nprint(log(1))",
        "from numpy import log\nprint(log([1]))",
        "os.environ['MODE'] = 'x'\nimport json; print(json)",
        "import csv\nprint(csv)",
    ]


def test_what_is_defined_again_in_the_same_words_is_defined_once() -> None:
    story = Story()
    tool = "LIMIT = 3\n\n\ndef double(x):\n    return 2 * x"
    story.ran(f"{tool}\n\n\nprint(double(1))", "2")
    story.ran(f"{tool}\n\n\nprint(double(LIMIT))", "6")
    assert code(story.ended())[1] == "print(double(LIMIT))"


def test_what_an_earlier_run_left_is_in_it_and_the_rest_of_that_run_is_not() -> None:
    before = Story("r-0", "Load it")
    before.ran("import pandas as pd\ndf = pd.DataFrame({'a': [1, 2]})\nprint(df)", "   a")
    before.ran("print('something else')", "something else")
    story = Story("r-1", "And its sum?")
    story.ran("print(df.a.sum())", "3")
    events = [*before.ended("Loaded."), *story.ended("Three.")]
    assert code(events) == [
        "import pandas as pd",
        "df = pd.DataFrame({'a': [1, 2]})\nprint(df)",
        "print(df.a.sum())",
    ]
    assert "Loaded" not in "".join(cells(events))


def test_what_a_run_defines_itself_does_not_come_from_an_earlier_one() -> None:
    program = "from a import b\nfrom a import c\n\n\ndef low(x):\n    return b(x)\n\n\ndef high(x):\n    return low(x)"
    before, story = Story("r-0", "One"), Story("r-1", "Other")
    before.ran(f"{program}\n\n\nprint(high(1))", "1")
    story.ran(f"{program}\n\n\nprint(high(2))", "2")
    imports, *rest = code([*before.ended(), *story.ended()])
    assert imports == "from a import b, c"
    assert len(rest) == 1 and rest[0].endswith("print(high(2))")


def test_what_comes_from_elsewhere_is_said() -> None:
    story = Story()
    story.ran("def f():\n    return later + rows\nlater = 1\nprint(sales, f())", "1")
    story.say(
        ToolCall(id="b", tool="bash", args={"command": "pip install tidy"}), ToolResult(id="b", content=[])
    )
    head = cells(story.ended())[0]
    assert "**Needs from elsewhere:** `sales`, `rows`, which nothing" in head
    assert "It installed packages: `pip install tidy`" in head


def test_a_hostile_run_makes_a_valid_notebook() -> None:
    made = transcript.to_clean_notebook(hostile())
    nbformat.validate(made)
    parser = MarkdownIt("commonmark", {"html": True})
    for cell in made.cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"<(?:script|img|svg|iframe|style|base)\b", parser.render(cell.source))


# -- in a fresh kernel -----------------------------------------------------------------------------------


async def test_a_runs_notebook_gives_its_result_again_from_the_top(
    new_agent: Callable[..., Agent], api: ScriptedMessages, workspace: Path, tmp_path: Path
) -> None:
    (workspace / "s.csv").write_text("region,amount\nn,1\ns,2\nn,3\n")
    agent = new_agent()
    load = "import pandas as pd\ndf = pd.read_csv('/workspace/s.csv')\ndf['half'] = df.amount / 2\nlen(df)"
    api.add([ToolUse("python", {"code": load})], [Text("Loaded.")])
    await agent.run("Load s.csv")
    slip = "totals = df.groupby('region').half.sum()\ntotals['missing'] + 1\ntotals = None"
    draw = "import matplotlib.pyplot as plt\ntotals.plot.bar()\nplt.savefig('totals.png')\nprint(totals.to_dict())"
    api.add(
        [ToolUse("python", {"code": slip})],
        [ToolUse("python", {"code": draw})],
        [Text("North has **2**, south 1.")],
    )
    run = await agent.run("Total it by region")
    assert run.status == "completed"
    path = await run.to_notebook(workspace / "clean.ipynb")
    made = nbformat.read(path, as_version=4)
    said = [output.text for cell in made.cells for output in cell.get("outputs", []) if "text" in output]
    (workspace / "totals.png").unlink()
    for cell in made.cells:
        cell.get("outputs", []).clear()
    folder = {"metadata": {"path": str(workspace)}}
    client = NotebookClient(made, kernel_name="python3", resources=folder, iopub_timeout=60)
    await client.async_execute()
    outputs = [output for cell in made.cells for output in cell.get("outputs", [])]
    assert [o.text for o in outputs if "text" in o] == said == ["{'n': 2.0, 's': 1.0}\n"]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert (workspace / "totals.png").exists()
    with pytest.raises(AgentKernelError, match=r"Let it end in \.ipynb"):
        await run.to_notebook(tmp_path / "x.html")
