"""The notebooks run, and the README's code does what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

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


@pytest.mark.parametrize("name", ["quickstart.ipynb", "agent-kernel.ipynb"])
def test_the_notebooks_execute_without_a_browser(
    name: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    folder = tmp_path / "notebooks"
    shutil.copytree(ROOT / "notebooks", folder)
    command = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace"]
    subprocess.run([*command, name], cwd=folder, env=environment, check=True, capture_output=True)
    notebook = nbformat.read(folder / name, as_version=4)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [mime for output in outputs for mime in output.get("data", {}) if "widget" in mime]
    html = next(output.data["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert "2,284 rows and 2 columns" in html
    assert 'src="data:image/png;base64,' in html
    assert "<script" not in html


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
