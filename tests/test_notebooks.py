"""The notebooks run, and the README's code does what it says."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("ANTHROPIC", "AGENT_KERNEL"))
    }
    return {
        **kept,
        "AGENT_KERNEL_DATA_DIR": str(tmp_path / "data"),
        "AGENT_KERNEL_DEMO_DELAY": "0",
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
    }


def execute(folder: Path, name: str, environment: dict[str, str]) -> list[nbformat.NotebookNode]:
    """The outputs of a notebook run from the top in a fresh kernel."""
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    command.append(
        "--ExecutePreprocessor.iopub_timeout=60"
    )  # after four seconds it would go on without an output
    done = subprocess.run([*command, name], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(folder / name, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [mime for output in outputs for mime in output.get("data", {}) if "widget" in mime]
    return outputs


@pytest.mark.parametrize("name", ["quickstart.ipynb", "agent-kernel.ipynb"])
def test_the_notebooks_execute_without_a_browser(
    name: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    outputs = execute(folder, name, environment)
    html = next(output.data["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert "2,284 rows and 2 columns" in html
    assert 'src="data:image/png;base64,' in html
    assert "<script" not in html


def test_three_data_sets_are_analysed_and_their_clean_notebooks_give_the_same_again(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    import pandas as pd

    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    outputs = execute(folder, "data-analysis.ipynb", environment)
    said = "\n".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    assert said.count('src="data:image/png;base64,') == 4  # each run drew, and the cell shows it
    tumours = pd.read_csv(folder / "data/tumours_wide.csv").groupby("diagnosis")["mean radius"].mean()
    flowers = pd.read_csv(folder / "data/iris_long.csv").groupby("species")["cm"].mean()
    for true in (
        "569 rows and 31 columns", f"{tumours['malignant']:.4g} (malignant); lowest: {tumours['benign']:.4g} (benign)",
        "600 rows and 4 columns", "4 different values, each in 150 rows",
        f"{flowers['virginica']:.4g} (virginica); lowest: {flowers['setosa']:.4g} (setosa)",
        "181 rows and 8 columns", "4 rows have more or fewer cells", "3 rows repeat another one",
        "are 3 when capitals and spaces do not count", "150 rows and 6 columns",
    ):  # fmt: skip
        assert true in said, true
    table = next(o for o in reversed(outputs) if o.output_type == "execute_result").data["text/plain"]
    assert "sepal width" in table
    names = [f"{name}_clean.ipynb" for name in ("tumours", "iris", "wines")]
    # What the session had done before is not in it: each run stands for itself.
    wines = nbformat.read(folder / names[-1], as_version=4)
    assert not any("tumours" in cell.source or "iris" in cell.source for cell in wines.cells)
    before = [facts(nbformat.read(folder / name, as_version=4)) for name in names]
    asyncio.run(executed(folder, names))
    assert [facts(nbformat.read(folder / name, as_version=4)) for name in names] == before


def facts(notebook: nbformat.NotebookNode) -> tuple[object, ...]:
    """What a clean notebook's cells have printed of their figures, and that the chart is there."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    lines = [line for output in outputs for line in output.get("text", "").splitlines()]
    told = {
        line.partition(" ")[0]: json.loads(line.partition(" ")[2]) for line in lines if line[:1].isupper()
    }
    assert any("image/png" in output.get("data", {}) for output in outputs)
    profile = told["PROFILE"]
    return profile["rows"], profile["columns"], profile["repeated"], told["CHART"]


async def executed(folder: Path, names: list[str]) -> None:
    """Each in a fresh kernel, its outputs made anew."""

    async def execute_one(name: str) -> None:
        notebook = nbformat.read(folder / name, as_version=4)
        for cell in notebook.cells:
            cell.get("outputs", []).clear()
        place = {"metadata": {"path": str(folder)}}
        client = NotebookClient(notebook, kernel_name="python3", resources=place, iopub_timeout=60)
        await client.async_execute()
        nbformat.write(notebook, folder / name)

    await asyncio.gather(*(execute_one(name) for name in names))


def test_the_python_of_the_readme_works(tmp_path: Path, environment: dict[str, str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (code,) = [block for block in blocks if "from agent_kernel import" in block]
    (tmp_path / "analysis").mkdir()
    (tmp_path / "analysis" / "sales.csv").write_text("month,sold\n2024-01-01,3\n2024-02-01,5\n")
    body = "".join(f"    {line}\n" for line in code.splitlines() if not line.startswith("from "))
    imports = "".join(f"{line}\n" for line in code.splitlines() if line.startswith("from "))
    program = f"import asyncio\n{imports}async def main():\n{body}asyncio.run(main())\n"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("completed")
    assert "2 rows and 2 columns" in done.stdout
