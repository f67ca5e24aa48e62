#!/usr/bin/env python3
"""An honest baseline: guessing, a linear model and boosted trees, on the same folds; prints JSON.

usage: baseline.py FILE --target COLUMN [--group COLUMN | --time COLUMN] [--drop COLUMN …] [--task …]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDS, HELD_OUT, SEED = 5, 0.2, 0
SMALL = 20_000
FEW_VALUES, FEWEST_ROWS, RARE = 20, 30, 10
MOST_CATEGORIES, MOST_IMPORTANT = 40, 10
METRICS = {"classification": "balanced_accuracy", "regression": "r2"}
PERFECT = {"classification": 0.98, "regression": 0.98}


class Unsuitable(Exception):
    """Data that no baseline can be fitted to; the text says why."""


@dataclass
class Task:
    """What is to be predicted from what, and which rows go together."""

    kind: str
    target: str
    columns: Any
    values: Any
    groups: Any = None
    times: bool = False
    warnings: list[str] = field(default_factory=list)

    @property
    def metric(self) -> str:
        return METRICS[self.kind]


def load(path: Path) -> Any:
    import pandas

    readers = {
        ".parquet": pandas.read_parquet,
        ".xlsx": pandas.read_excel,
        ".json": pandas.read_json,
        ".tsv": lambda place: pandas.read_csv(place, sep="\t"),
    }
    try:
        return readers.get(path.suffix.lower(), pandas.read_csv)(path)
    except (ValueError, UnicodeError, ImportError) as error:
        raise Unsuitable(f"{path} cannot be read as a table: {str(error).splitlines()[0]}") from None


def prepare(frame: Any, given: argparse.Namespace) -> Task:
    """Which columns may be used, what kind of target it is. Raises Unsuitable."""
    for name in filter(None, (given.target, given.group, given.time, *given.drop)):
        if name not in frame.columns:
            raise Unsuitable(f"there is no column {name!r}; there is: {', '.join(map(str, frame.columns))}")
    notes = []
    missing = int(frame[given.target].isna().sum())
    if missing:
        notes.append(f"{missing} rows have no {given.target}; they were left out")
        frame = frame[frame[given.target].notna()]
    if repeated := int(frame.astype(str).duplicated().sum()):
        notes.append(
            f"{repeated} rows are there more than once: the same row may be on both sides of a split"
        )
    if given.time:
        frame = _in_time(frame, given.time)
    if len(frame) < FEWEST_ROWS:
        raise Unsuitable(f"{len(frame)} rows with a {given.target} are too few; {FEWEST_ROWS} is the least")
    kind = given.task or kind_of(frame[given.target])
    values = frame[given.target].astype(str) if kind == "classification" else _numbers(frame[given.target])
    groups = frame[given.group].astype(str) if given.group else None
    task = Task(kind, given.target, None, values, groups, bool(given.time), notes)
    _check_target(task)
    used = frame.drop(columns=[given.target, *given.drop, *filter(None, [given.group])])
    task.columns = _usable(used, given.time, notes)
    return task


def _in_time(frame: Any, column: str) -> Any:
    import pandas

    times = frame[column]
    if not pandas.api.types.is_numeric_dtype(times):
        times = pandas.to_datetime(times, errors="coerce", format="mixed", utc=True)
    if times.isna().any():
        raise Unsuitable(
            f"{int(times.isna().sum())} values of {column} are no times; mend or drop these rows"
        )
    return frame.loc[times.sort_values(kind="stable").index]


def kind_of(values: Any) -> str:
    """A number with many values is a quantity; everything else is a class."""
    import pandas

    numeric = pandas.api.types.is_numeric_dtype(values) and not pandas.api.types.is_bool_dtype(values)
    many = values.nunique() > FEW_VALUES or (values.dropna() % 1 != 0).any() if numeric else False
    return "regression" if numeric and many else "classification"


def _numbers(values: Any) -> Any:
    import pandas

    numbers = pandas.to_numeric(values, errors="coerce")
    if numbers.isna().any():
        raise Unsuitable(f"{int(numbers.isna().sum())} values of {values.name} are no numbers")
    return numbers.astype(float)


def _usable(frame: Any, time: str | None, notes: list[str]) -> Any:
    """Without what identifies a row or never changes; times become numbers."""
    import pandas

    kept: dict[str, Any] = {}
    for name in frame.columns:
        column = frame[name]
        if name == time or column.nunique() <= 1:
            continue
        if pandas.api.types.is_datetime64_any_dtype(column):
            kept[str(name)] = column.astype("int64") / 1e9
        elif pandas.api.types.is_bool_dtype(column):
            kept[str(name)] = column.astype(float)
        elif pandas.api.types.is_float_dtype(column):
            kept[str(name)] = column.replace([math.inf, -math.inf], math.nan)
        elif _identifies(column):
            notes.append(f"every value of {name} is different: left out as an identifier")
        elif pandas.api.types.is_numeric_dtype(column):
            kept[str(name)] = column.astype(float)
        else:
            kept[str(name)] = column.astype(str).where(column.notna(), None)
    if not kept:
        raise Unsuitable("no column is left to predict from")
    return pandas.DataFrame(kept)


def _identifies(column: Any) -> bool:
    """Whether it only numbers or names the rows: text that is never the same, whole numbers without a gap."""
    import pandas

    if column.nunique() < len(column):
        return False
    numeric = pandas.api.types.is_numeric_dtype(column)
    return not numeric or int(column.max()) - int(column.min()) == len(column) - 1


def _check_target(task: Task) -> None:
    counts = task.values.value_counts()
    if len(counts) < 2:
        raise Unsuitable(f"{task.target} has only one value")
    if task.kind == "classification":
        if counts.iloc[1] < 2 or len(counts) > len(task.values) / 2:
            raise Unsuitable(
                f"{task.target} has {len(counts)} classes in {len(task.values)} rows; that is no target"
            )
        for name, count in counts[counts < RARE].items():
            task.warnings.append(f"class {str(name)[:40]} has {count} rows: too few to judge")
    if task.groups is not None and task.groups.nunique() < FOLDS + 1:
        raise Unsuitable(f"{task.groups.nunique()} groups are too few; {FOLDS + 1} is the least")


def models(task: Task) -> dict[str, Any]:
    """Guessing, a linear model and boosted trees; what they learn of the columns, they learn within a fold."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.dummy import DummyClassifier, DummyRegressor
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numeric = make_column_selector(dtype_include="number")
    words = make_column_selector(dtype_exclude="number")
    classes = OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False
    )
    scaled = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())

    def columns(numbers: Any) -> Any:
        return make_column_transformer((numbers, numeric), (classes, words))

    if task.kind == "classification":
        guess, line = (
            DummyClassifier(strategy="prior"),
            LogisticRegression(max_iter=2000, class_weight="balanced"),
        )
        trees = HistGradientBoostingClassifier(random_state=SEED, class_weight="balanced")
    else:
        guess, line, trees = DummyRegressor(), Ridge(), HistGradientBoostingRegressor(random_state=SEED)
    return {
        "guess": guess,
        "linear": make_pipeline(columns(scaled), line),
        "trees": make_pipeline(columns("passthrough"), trees),
    }


def hold_out(task: Task) -> tuple[Any, Any]:
    """Positions of the rows to learn from and of those nobody looks at before the end."""
    import numpy
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    places = numpy.arange(len(task.values))
    if task.times:
        cut = int(len(places) * (1 - HELD_OUT))
        return places[:cut], places[cut:]
    if task.groups is not None:
        split = GroupShuffleSplit(1, test_size=HELD_OUT, random_state=SEED)
        train, test = next(split.split(places, groups=task.groups))
        return train, test
    rare = task.kind == "classification" and task.values.value_counts().min() >= 2
    train, test = train_test_split(
        places, test_size=HELD_OUT, random_state=SEED, stratify=task.values if rare else None
    )
    return train, test


def folds(task: Task) -> Any:
    from sklearn.model_selection import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit

    if task.times:
        return TimeSeriesSplit(FOLDS)
    if task.groups is not None:
        return GroupKFold(FOLDS)
    if task.kind == "classification":
        return StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    return KFold(FOLDS, shuffle=True, random_state=SEED)


def scores(task: Task, model: Any, columns: Any, rows: Any) -> list[float]:
    """One score a fold; those that cannot be computed (a class that is not there) are left out."""
    from sklearn.model_selection import cross_val_score

    groups = task.groups.iloc[rows] if task.groups is not None else None
    found = cross_val_score(
        model, columns.iloc[rows], task.values.iloc[rows], groups=groups, cv=folds(task), scoring=task.metric
    )
    return [float(score) for score in found if math.isfinite(score)]


def summary(found: Sequence[float]) -> dict[str, Any]:
    import statistics

    if not found:
        return {"mean": None, "std": None, "folds": 0}
    spread = statistics.stdev(found) if len(found) > 1 else 0.0
    return {"mean": round(statistics.fmean(found), 4), "std": round(spread, 4), "folds": len(found)}


def leaks(task: Task, rows: Any) -> list[str]:
    """Columns that predict the target alone, nearly without a mistake."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    tree = DecisionTreeClassifier if task.kind == "classification" else DecisionTreeRegressor
    found = []
    for name in task.columns.columns:
        column = task.columns[[name]]
        if column[name].dtype == object or str(column[name].dtype).startswith("str"):
            column = column.apply(lambda values: values.astype("category").cat.codes)
        alone = summary(scores(task, tree(max_depth=6, random_state=SEED), column.fillna(-1e12), rows))[
            "mean"
        ]
        if alone is not None and alone > PERFECT[task.kind]:
            found.append(f"{name} alone predicts {task.target} ({alone:.2f}): is it known beforehand?")
    return found


def baseline(task: Task) -> dict[str, Any]:
    from sklearn.inspection import permutation_importance
    from sklearn.metrics import get_scorer

    train, test = hold_out(task)
    tried = models(task)
    found = {name: summary(scores(task, model, task.columns, train)) for name, model in tried.items()}
    best = max(
        ("linear", "trees"), key=lambda name: found[name]["mean"] if found[name]["mean"] is not None else -9e9
    )
    model = tried[best].fit(task.columns.iloc[train], task.values.iloc[train])
    rest, truth = task.columns.iloc[test], task.values.iloc[test]
    shuffled = permutation_importance(model, rest, truth, scoring=task.metric, n_repeats=5, random_state=SEED)
    relied = sorted(
        zip(task.columns.columns, shuffled.importances_mean, strict=True), key=lambda pair: -pair[1]
    )
    split = "the past predicts what follows" if task.times else "shuffled rows"
    return {
        "task": task.kind,
        "metric": task.metric,
        "rows": len(task.values),
        "held_out": len(test),
        "split": f"groups of {task.groups.name}" if task.groups is not None else split,
        "scores": found,
        "best": best,
        "test": round(float(get_scorer(task.metric)(model, rest, truth)), 4),
        "relies_on": [
            {"column": name, "drop": round(float(drop), 4)}
            for name, drop in relied[:MOST_IMPORTANT]
            if drop > 0
        ],
        "warnings": [*task.warnings, *leaks(task, train)],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Fit an honest baseline.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--target", required=True, help="the column to predict")
    parser.add_argument("--task", choices=tuple(METRICS), help="otherwise by the target's values")
    parser.add_argument("--drop", nargs="+", default=[], metavar="COLUMN", help="columns not to predict from")
    together = parser.add_mutually_exclusive_group()
    together.add_argument("--group", help="rows with the same value stay together")
    together.add_argument("--time", help="learn from what came before")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    try:
        task = prepare(load(given.file), given)
        if len(task.values) < SMALL:  # several threads would mostly wait for each other
            os.environ["OMP_NUM_THREADS"] = "1"
        found = baseline(task)
    except ImportError as error:
        sys.stderr.write(f"{error.name} is needed: pip install pandas scikit-learn\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{given.file} cannot be read: {error.strerror}\n")
        return 1
    except (Unsuitable, ValueError) as error:
        sys.stderr.write(f"{given.file}: {str(error).splitlines()[0]}\n")
        return 1
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
