"""When a schedule is due: cron lines by the wall clock of a time zone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from agent_kernel.errors import JobsError

SHORTHANDS = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 0"}


def cron_line(when: str) -> str:
    """A shorthand or a cron line of five fields as the latter. Raises JobsError for what never comes."""
    line = SHORTHANDS.get(when.strip().lower().removeprefix("@"), " ".join(when.split()))
    if len(line.split()) != 5:
        raise JobsError(
            f"{when!r} is not a time a schedule can have.",
            hint=f"Say {', '.join(SHORTHANDS)}, or five fields of cron such as '0 9 * * MON-FRI'.",
        )
    return line


def upcoming(line: str, timezone: str, after_ms: int, count: int = 1) -> list[datetime]:
    """The next times after `after_ms`, in the time zone. Raises JobsError.

    A time that the clock skips in spring comes when it has skipped; one that it shows twice in autumn comes
    once, unless the line names no hour.
    """
    from croniter import CroniterError

    zone = _zone(timezone)
    begin = datetime.fromtimestamp(after_ms / 1000, zone)
    try:
        return list(islice(_times(line, begin), count))
    except (CroniterError, ValueError, OverflowError) as error:
        raise JobsError(
            f"The cron line {line!r} cannot be used: {error}.",
            hint="Its fields are minute, hour, day of the month, month, day of the week: '30 7 * * MON'.",
        ) from error


def next_ms(line: str, timezone: str, after_ms: int) -> int:
    return round(upcoming(line, timezone, after_ms)[0].timestamp() * 1000)


def _times(line: str, begin: datetime) -> Iterator[datetime]:
    from croniter import croniter

    every_hour = line.split()[1].startswith("*")
    times = croniter(line, begin)
    while True:
        found: datetime = times.get_next(datetime)
        again = found.fold and found.replace(fold=0).utcoffset() != found.utcoffset()
        if every_hour or not again:
            yield found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise JobsError(
            f"There is no time zone {name!r}.", hint="Use a name such as Europe/Berlin or Asia/Tokyo."
        ) from error


def iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")
