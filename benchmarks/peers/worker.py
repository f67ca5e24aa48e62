"""What a rival's program does: on each line of stdin one run, on stdout its seconds and its calls."""

import asyncio
import json
import os
import sys
import time


def serve(run_once):
    """`run_once(url, folder)` is a coroutine function that returns how many calls it made."""
    url, folder = sys.argv[1:3]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever else prints does not disturb
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    for _ in sys.stdin:
        since = time.perf_counter()
        try:
            calls = loop.run_until_complete(run_once(url, folder))
            told = {"seconds": time.perf_counter() - since, "calls": calls}
        except BaseException as error:
            told = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(told), file=answers, flush=True)
