"""`agent-kernel worker`: works on queued runs."""

from __future__ import annotations

import asyncio
import signal

import click


@click.command()
@click.option(
    "--at-once", type=click.IntRange(1), default=5, show_default=True, help="Runs worked on at once."
)
def worker(at_once: int) -> None:
    """Work on queued runs, on this machine, until stopped.

    Workers on several machines share the work by AGENT_KERNEL_DATABASE_URL (PostgreSQL) and show each other's
    text live by AGENT_KERNEL_REDIS_URL.
    """
    asyncio.run(_work(at_once))


async def _work(at_once: int) -> None:
    from agent_kernel.app import open_app
    from agent_kernel.dispatch import Dispatcher
    from agent_kernel.jobs.limits import Limits
    from agent_kernel.settings import load_settings
    from agent_kernel.telemetry.logs import configure_logs

    settings = load_settings()
    configure_logs(settings)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with await open_app(settings) as app:
        dispatcher = Dispatcher(app, limits=Limits(per_worker=at_once))
        await dispatcher.start()
        click.echo(f"Worker {app.worker} is ready. Stop it with Ctrl-C; what it works on goes on elsewhere.")
        try:
            await stopped.wait()
        finally:
            await dispatcher.close()
