#!/usr/bin/env python3
"""A chart of a CSV file as a PNG or SVG. Needs pandas and matplotlib.

make_chart.py FILE --x COLUMN [--y COLUMN …] [--kind line|bar|scatter|hist] [--by COLUMN] [--sum | --mean] --out CHART
"""

import argparse
import sys

KINDS = ("line", "bar", "scatter", "hist")
MOST_BARS = 40


def chart(table, x, ys, kind, by, how, title):
    """The figure. Raises ValueError with a sentence."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import pandas as pd

    wanted = [name for name in (x, *ys, by) if name]
    if missing := [name for name in wanted if name not in table.columns]:
        raise ValueError(
            f"there is no column {', '.join(missing)}; there are {', '.join(map(str, table.columns))}"
        )
    if kind == "line" and table[x].dtype == object:
        parsed = pd.to_datetime(table[x], errors="coerce")
        table = table.assign(**{x: parsed}) if parsed.notna().all() else table
    figure, axes = plt.subplots(figsize=(9, 5), constrained_layout=True)
    if kind == "hist":
        for name in ys or [x]:
            axes.hist(table[name].dropna(), bins="auto", alpha=0.7, label=name)
        axes.set_xlabel(", ".join(ys or [x]))
        axes.set_ylabel("count")
    else:
        if not ys:
            raise ValueError(f"a {kind} chart needs --y")
        groups = list(table.groupby(by)) if by else [("", table)]
        for group, rows in groups:
            if how:
                rows = rows.groupby(x, as_index=False)[list(ys)].agg(how)
            for name in ys:
                draw(
                    axes,
                    kind,
                    rows[x],
                    rows[name],
                    " ".join(filter(None, (str(group), name if len(ys) > 1 or not by else ""))),
                )
        axes.set_xlabel(x)
        axes.set_ylabel(", ".join(ys))
    axes.set_title(title)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(axes.get_legend_handles_labels()[1]) > 1:
        axes.legend(frameon=False)
    if len(axes.get_xticklabels()) > 8:
        figure.autofmt_xdate()
    return figure


def draw(axes, kind, xs, ys, label):
    if kind == "bar":
        if len(xs) > MOST_BARS:
            raise ValueError(
                f"{len(xs)} bars cannot be told apart; sum them up (--sum) or choose another kind"
            )
        axes.bar(xs.astype(str), ys, label=label)
    elif kind == "scatter":
        axes.scatter(xs, ys, s=18, alpha=0.7, label=label)
    else:
        axes.plot(xs, ys, label=label)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--x", required=True)
    parser.add_argument("--y", nargs="*", default=[])
    parser.add_argument("--kind", choices=KINDS, default="line")
    parser.add_argument("--by", help="one series for each value of this column")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--sum", dest="how", action="store_const", const="sum")
    how.add_argument("--mean", dest="how", action="store_const", const="mean")
    parser.add_argument("--title", default="")
    parser.add_argument("--out", required=True, help="chart.png or chart.svg")
    args = parser.parse_args()
    try:
        import pandas as pd

        table = pd.read_csv(args.file)
        chart(table, args.x, args.y, args.kind, args.by, args.how, args.title).savefig(args.out, dpi=150)
    except ImportError as error:
        sys.exit(f"make_chart: {error}. Install it: pip install pandas matplotlib")
    except (OSError, ValueError, TypeError) as error:
        sys.exit(f"make_chart: {error}")
    print(args.out)


if __name__ == "__main__":
    main()
