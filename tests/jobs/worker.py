"""A worker process: `worker.py ADDRESS FOLDER SECONDS`. Nothing ends while the folder has a file named `held`."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from agent_kernel.jobs.engine import Engine
from agent_kernel.jobs.limits import Limits

HELD = "held"


async def main(address: str, folder: Path, seconds: float) -> None:
    async def drive(run_id: str) -> None:
        with (folder / f"{run_id}.begun").open("a") as file:
            file.write(f"{os.getpid()}\n")
        try:
            await asyncio.sleep(seconds)
            while (folder / HELD).exists():  # noqa: ASYNC110 (a test of another process)
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            (folder / f"{run_id}.cancelled").touch()
            raise
        with (folder / f"{run_id}.done").open("a") as file:
            file.write(f"{os.getpid()}\n")

    engine = Engine(drive, address, limits=Limits(per_owner=5, starts_per_second=1000))
    await engine.start()
    print("works" if engine.works else "enqueues", flush=True)
    was = engine.works
    while True:
        await asyncio.sleep(0.1)
        if engine.works and not was:
            was = True
            print("works", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])))
