"""What an installation of JupyterLab with us weighs, beside JupyterLab with others: packages and megabytes on top."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from benchmarks.environments import environment
from benchmarks.figure import Figure, skipped

LAB = "jupyterlab>=4.4"
RIVALS = ("jupyter-ai", "notebook-intelligence")
ROOT = Path(__file__).parents[1]
COUNT = """
import importlib.metadata, os, sysconfig
place = sysconfig.get_paths()["purelib"]
files = [os.path.join(at, name) for at, _, names in os.walk(place) for name in names if not name.endswith(".pyc")]
print(len(list(importlib.metadata.distributions())), sum(map(os.path.getsize, files)) / 2**20)
"""


def weight(python: Path) -> tuple[float, float]:
    done = subprocess.run([python, "-c", COUNT], capture_output=True, text=True, check=True)
    count, megabytes = done.stdout.split()
    return float(count), float(megabytes)


def weights(long: bool, wheel: str) -> dict[str, tuple[float, float]]:
    plain = weight(environment("lab", LAB, make=long))
    found = {}
    for name, wanted in (("ours", wheel), *((rival, rival) for rival in RIVALS)):
        count, megabytes = weight(environment(name.replace("/", ""), LAB, wanted, make=long))
        found[name] = (count - plain[0], megabytes - plain[1])
    return found


async def figures(*, long: bool = False) -> list[Figure]:
    names = [f"{what} beside {rival}" for what in ("distributions", "megabytes") for rival in RIVALS]
    if not long:
        return [skipped(name, "it takes long; make bench LONG=1") for name in names]
    try:
        found = await asyncio.to_thread(weights, long, str(ROOT))
    except RuntimeError as error:
        return [skipped(name, str(error)) for name in names]
    rows = []
    for place, what in enumerate(("distributions", "megabytes")):
        for rival in RIVALS:
            own, other = found["ours"][place], found[rival][place]
            reference = f"{own:.0f} on top of JupyterLab; {rival}: {other:.0f}"
            rows.append(Figure(f"{what} beside {rival}", own / other, "×", reference, "< 1", "exact"))
    return rows
