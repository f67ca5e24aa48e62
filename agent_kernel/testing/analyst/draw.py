"""Drawing one chart: with matplotlib where it is installed, else as an SVG by hand."""

from __future__ import annotations

import json
import os
import warnings
from html import escape
from pathlib import Path
from typing import Any

from agent_kernel.testing.analyst.series import series

COLOUR = "#2f6fde"


def short(text: str, most: int = 24) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def draw(spec: dict[str, Any]) -> str:
    """Save the chart and say what is in it, in one line."""
    drawn = series(spec)
    if not drawn["values"]:
        return "CHART " + json.dumps({"error": "no values to draw"})
    try:
        path = "" if spec["plain"] else with_matplotlib(spec, drawn)
    except ImportError:
        path = ""
    path = path or as_svg(spec, drawn)
    pairs = list(zip(drawn["labels"], drawn["values"], strict=True))
    highest, lowest = max(pairs, key=lambda pair: pair[1]), min(pairs, key=lambda pair: pair[1])
    said = {"file": path, "title": drawn["title"], "ylabel": drawn["ylabel"], "points": len(pairs)}
    ends = {"highest": highest, "lowest": lowest, "first": pairs[0], "last": pairs[-1]}
    return "CHART " + json.dumps(said | {key: [short(str(a), 60), b] for key, (a, b) in ends.items()})


def with_matplotlib(spec: dict[str, Any], drawn: dict[str, Any]) -> str:
    os.environ.setdefault("MPLBACKEND", "Agg")
    import matplotlib.pyplot as plt

    warnings.filterwarnings("ignore", message="Glyph")

    def plain(text: str, most: int = 24) -> str:
        return short(text, most).replace("$", r"\$")  # no formulas in other people's words

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    places = range(len(drawn["values"]))
    if spec["kind"] == "line":
        axes.plot(places, drawn["values"], color=COLOUR, linewidth=2)
        axes.fill_between(places, drawn["values"], min(drawn["values"]), color=COLOUR, alpha=0.08)
    else:
        axes.bar(places, drawn["values"], color=COLOUR, width=0.95 if spec["kind"] == "histogram" else 0.7)
    step = max(1, -(-len(places) // 12))
    labels = [plain(label, 16) for label in drawn["labels"]]
    crowded = sum(map(len, labels[::step])) > 70
    axes.set_xticks(
        places[::step], labels[::step], rotation=35 if crowded else 0, ha="right" if crowded else "center"
    )
    axes.set_title(plain(drawn["title"], 70), loc="left", fontweight="bold")
    axes.set_ylabel(plain(drawn["ylabel"], 40))
    axes.set_xlabel(plain(drawn["xlabel"], 40))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.25)
    path = f"{spec['chart']}.png"
    figure.savefig(path, dpi=150)
    return path


def as_svg(spec: dict[str, Any], drawn: dict[str, Any]) -> str:
    """A plain chart of 800 by 450, readable anywhere."""
    values, labels = drawn["values"], drawn["labels"]
    top = max([*values, 0]) or (1 if min(values) == 0 else 0)
    low = min([*values, 0])
    if spec["kind"] == "line":
        top, low = max(values), min(values)
    scale = 300 / ((top - low) or 1)
    step = 700 / len(values)
    xs = [70 + (place + 0.5) * step for place in range(len(values))]
    ys = [360 - (value - low) * scale for value in values]
    zero = 360 + min(0, low) * scale if spec["kind"] != "line" else 360
    parts = [
        f'<text x="70" y="34" font-size="18" font-weight="bold">{escape(short(drawn["title"], 70))}</text>'
    ]
    for share in range(5):
        y = 360 - share * 75
        mark = low + (top - low) * share / 4
        parts.append(f'<line x1="70" x2="770" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="62" y="{y + 4}" font-size="12" text-anchor="end">{mark:.4g}</text>')
    if spec["kind"] == "line":
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{COLOUR}" stroke-width="2.5"/>')
    else:
        for x, y in zip(xs, ys, strict=True):
            high = max(0.5, abs(zero - y))
            parts.append(
                f'<rect x="{x - step * 0.4:.1f}" y="{min(y, zero):.1f}" width="{step * 0.8:.1f}" '
                f'height="{high:.1f}" fill="{COLOUR}"/>'
            )
    every = max(1, -(-len(labels) // 12))
    for x, label in list(zip(xs, labels, strict=True))[::every]:
        parts.append(
            f'<text x="{x:.1f}" y="380" font-size="12" text-anchor="end" transform="rotate(-30 {x:.1f} 380)">'
            f"{escape(short(label, 16))}</text>"
        )
    words = escape(short(f"{drawn['ylabel']}, by {drawn['xlabel']}", 90))
    parts.append(f'<text x="770" y="34" font-size="12" text-anchor="end" fill="#666">{words}</text>')
    path = f"{spec['chart']}.svg"
    body = "\n".join(parts)
    Path(path).write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 450" font-family="sans-serif">\n'
        f'<rect width="800" height="450" fill="#fff"/>\n{body}\n</svg>\n',
        encoding="utf-8",
    )
    return path
