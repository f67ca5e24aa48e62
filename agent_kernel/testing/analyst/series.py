"""The figures behind a chart: one line or one row of bars."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from agent_kernel.testing.analyst.records import MISSING, date, number, records

STEPS = ((800, "%Y-%m-%d", "day"), (6000, "%Y-%m", "month"), (0, "%Y", "year"))


def cells(spec: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The texts of column x, and of column y where there is one."""
    names = spec["source"]["columns"]
    x, y = names.index(spec["x"]), names.index(spec["y"] or spec["x"])
    for row in records(spec["source"]):
        if max(x, y) < len(row):
            yield row[x].strip(), row[y].strip()


def series(spec: dict[str, Any]) -> dict[str, Any]:
    """Labels and values to draw, with the words for the axes."""
    maker = {"line": line_of_means, "means": bars_of_means, "histogram": histogram, "counts": counts}
    return maker[spec["kind"]](spec)


def line_of_means(spec: dict[str, Any]) -> dict[str, Any]:
    points: list[tuple[datetime, float]] = []
    for when, text in cells(spec):
        moment = _year(when) if spec["form"] == "year" else date(when, spec["form"])
        value = number(text, spec["comma"])
        if moment is not None and value is not None:
            points.append((moment, value))
    if not points:
        return _drawn([], [], "", "")
    span = (max(points)[0] - min(points)[0]).days
    days = len({moment.date() for moment, _ in points})
    form, word = next((f, w) for most, f, w in STEPS if not most or (span <= most and days <= 400))
    if spec["form"] == "year":
        form, word = "%Y", "year"
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for moment, value in sorted(points):
        groups[moment.strftime(form)].append(value)
    means = [sum(values) / len(values) for values in groups.values()]
    return _drawn(list(groups), means, f"{spec['y']} per {word}", f"mean of {spec['y']}", spec["x"])


def bars_of_means(spec: dict[str, Any]) -> dict[str, Any]:
    groups: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for label, text in cells(spec):
        value = number(text, spec["comma"])
        if value is not None and label.lower() not in MISSING:
            groups[label][0] += value
            groups[label][1] += 1
    biggest = sorted(groups, key=lambda label: -groups[label][1])[:12]
    means = {label: groups[label][0] / groups[label][1] for label in biggest}
    order = sorted(means, key=lambda label: -means[label])
    title = f"{spec['y']} by {spec['x']}"
    return _drawn(order, [means[label] for label in order], title, f"mean of {spec['y']}", spec["x"])


def histogram(spec: dict[str, Any]) -> dict[str, Any]:
    values = array("d")
    for text, _ in cells(spec):
        value = number(text, spec["comma"])
        if value is not None:
            values.append(value)
    if not values:
        return _drawn([], [], "", "")
    low, high = min(values), max(values)
    bins = max(1, min(30, len(set(values))))
    width = (high - low) / bins or 1.0
    tally = Counter(min(bins - 1, int((value - low) / width)) for value in values)
    labels = [f"{low + (place + 0.5) * width:.4g}" for place in range(bins)]
    return _drawn(
        labels, [tally[place] for place in range(bins)], f"Spread of {spec['x']}", "rows", spec["x"]
    )


def counts(spec: dict[str, Any]) -> dict[str, Any]:
    tally = Counter(label for label, _ in cells(spec) if label.lower() not in MISSING)
    common = tally.most_common(15)
    title = f"Most common in {spec['x']}"
    return _drawn([label for label, _ in common], [times for _, times in common], title, "rows", spec["x"])


def _year(text: str) -> datetime | None:
    value = number(text)
    return datetime(int(value), 1, 1) if value and 1 <= value <= 9999 else None


def _drawn(labels: list[str], values: list[float], title: str, y: str, x: str = "") -> dict[str, Any]:
    return {"labels": labels, "values": values, "title": title, "ylabel": y, "xlabel": x}
