"""Times by the wall clock of a time zone, also where the clock is changed."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from agent_kernel.errors import JobsError
from agent_kernel.jobs.cron import cron_line, upcoming


def times(line: str, zone: str, after: str, count: int = 2) -> list[str]:
    begin = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone))
    return [t.isoformat() for t in upcoming(cron_line(line), zone, int(begin.timestamp() * 1000), count)]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hourly", ["2026-11-20T10:00:00+09:00", "2026-11-20T11:00:00+09:00"]),
        ("daily", ["2026-11-21T00:00:00+09:00", "2026-11-22T00:00:00+09:00"]),
        ("@weekly", ["2026-11-22T00:00:00+09:00", "2026-11-29T00:00:00+09:00"]),
        ("0  9 * * MON-FRI", ["2026-11-23T09:00:00+09:00", "2026-11-24T09:00:00+09:00"]),
    ],
)
def test_shorthands_and_cron_lines_follow_the_clock_of_the_time_zone(line: str, expected: list[str]) -> None:
    assert times(line, "Asia/Tokyo", "2026-11-20T09:30") == expected


def test_a_time_that_spring_skips_comes_right_after() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00") == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


def test_a_time_that_autumn_repeats_comes_once_but_every_hour_is_every_hour() -> None:
    assert times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00") == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    assert times("hourly", "Europe/Berlin", "2026-10-25T01:30") == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]


@pytest.mark.parametrize("line", ["", "* * *", "* * * * * *", "now and then", "@reboot", "daily " * 40])
def test_what_is_no_time_is_refused_with_what_would_be(line: str) -> None:
    with pytest.raises(JobsError, match="hourly, daily, weekly, or five fields"):
        cron_line(line)


@pytest.mark.parametrize("line", ["61 * * * *", "0 0 30 2 *", "x y z u v", "0 0 * * 9"])
def test_a_line_that_never_comes_is_refused(line: str) -> None:
    with pytest.raises(JobsError, match="cannot be used"):
        upcoming(cron_line(line), "UTC", 0)


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "a\0b"])
def test_an_unknown_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(JobsError, match="There is no time zone"):
        upcoming("0 0 * * *", zone, 0)
