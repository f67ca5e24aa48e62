"""What `%load_ext agent_kernel` costs in a kernel that already runs."""

from __future__ import annotations

import json
import subprocess
import sys

from benchmarks.figure import Figure, median

CODE = """
import json, time
from IPython.core.interactiveshell import InteractiveShell
import ipykernel.ipkernel
shell = InteractiveShell.instance()
since = time.perf_counter()
shell.run_line_magic("load_ext", "agent_kernel")
print(json.dumps((time.perf_counter() - since) * 1e3))
"""


async def load() -> float:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)  # noqa: ASYNC221
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


async def figures() -> list[Figure]:
    return [
        await median("%load_ext agent_kernel", load, unit="ms", reference="a kernel that runs", goal="≤ 100")
    ]
