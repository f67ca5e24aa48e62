"""The data-analysis skill: its format, and its script on real files."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

SKILL = Path(__file__).parents[2] / "skills" / "data-analysis"


def profile(path: Path) -> dict[str, Any]:
    command = [sys.executable, "-I", str(SKILL / "scripts" / "profile_data.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("text", "rows", "types"),
    [
        ("", 0, []),
        ("a,b\n", 0, ["empty", "empty"]),
        ("a,b\n1,x\n2.5,y\n,z\n", 3, ["number", "text"]),
        ("ä;🦊\n1;2\n", 1, ["number", "number"]),
        ('a,b\n"x\ny",1\n"z, ""q""",2\n', 2, ["text", "number"]),
        ("a,b\n1\n1,2,3\n", 2, ["number", "number"]),
    ],
)
def test_it_counts_and_types_what_is_there(tmp_path: Path, text: str, rows: int, types: list[str]) -> None:
    (tmp_path / "t.csv").write_text(text)
    found = profile(tmp_path / "t.csv")
    assert (found["rows"], [column["type"] for column in found["columns"]]) == (rows, types)


def test_figures_are_true(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1, 10_002)))
    (column,) = profile(tmp_path / "t.csv")["columns"]
    assert (column["min"], column["max"], column["mean"], column["missing"]) == (1, 10001, 5001, 0)


def test_a_huge_field_and_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n" + "x" * 5_000_000 + "\n")
    assert profile(tmp_path / "t.csv")["rows"] == 1
    with pytest.raises(subprocess.CalledProcessError):
        profile(tmp_path / "gone.csv")


def test_a_spread_loses_no_digits_far_from_zero(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("n\n1000000000001\n1000000000002\n1000000000003\n")
    (column,) = profile(tmp_path / "t.csv")["columns"]
    assert (column["mean"], column["std"]) == (1000000000002, 1)


def test_what_only_looks_like_a_number_is_text_and_the_output_stays_json(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b,c\ninf,1_000,7\n1e999,2_000,abc\n")
    columns = profile(tmp_path / "t.csv")["columns"]
    assert [column["type"] for column in columns] == ["text", "text", "text"]
    assert [column.get("numbers_among_text") for column in columns] == [None, None, 1]


def test_days_and_times_are_dates_with_a_first_and_a_last(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "d,e\n2024-02-29,2024-01-01\n2023-12-31T23:59:00,2024-02-30\n,2024-01-02\n"
    )
    day, wrong = profile(tmp_path / "t.csv")["columns"]
    assert (day["type"], day["min"], day["max"]) == ("date", "2023-12-31T23:59:00", "2024-02-29")
    assert wrong["type"] == "text"


def test_distinct_values_are_counted_up_to_a_bound_that_is_told(tmp_path: Path) -> None:
    for count, exact in ((10_000, True), (10_001, False)):
        (tmp_path / "t.csv").write_text("n\n" + "".join(f"w{n}\n" for n in range(count)))
        (column,) = profile(tmp_path / "t.csv")["columns"]
        assert (column["distinct"], column["distinct_is_exact"]) == (10_000, exact)


def test_many_long_values_are_not_all_held(tmp_path: Path) -> None:
    with (tmp_path / "t.csv").open("w") as file:
        file.write("a\n")
        file.writelines(f"{n}" + "x" * 500_000 + "\n" for n in range(400))
    limited = f"ulimit -v 150000; exec {sys.executable} -I {SKILL / 'scripts' / 'profile_data.py'} {tmp_path / 't.csv'}"
    done = subprocess.run(["bash", "-c", limited], capture_output=True, text=True, check=True)
    (column,) = json.loads(done.stdout)["columns"]
    assert column["distinct"] == 400


def test_ragged_rows_null_bytes_and_invalid_utf8_are_read_on(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfa,b\r\n1\r\n1,2,3\r\n\xff\0x,4\r\n")
    found = profile(tmp_path / "t.csv")
    assert (found["rows"], found["ragged"]) == (3, 2)
    assert [column["name"] for column in found["columns"]] == ["a", "b"]


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(SKILL / "scripts" / "profile_data.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{tmp_path} cannot be read: Is a directory\n"


# -- other formats, charts and the report ---------------------------------------------------------------------

ROWS = [[date(2024, 1 + n // 28, 1 + n % 28), ["north", "south"][n % 2], n * 1.5, 100 - n] for n in range(50)]
ROWS += [[date(2024, 3, 1), None, 900.0, 10], [date(2024, 3, 1), None, 900.0, 10]]
NAMES = ["day", "region", "amount", "stock"]


def script(name: str, *arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SKILL / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


def files(folder: Path) -> dict[str, Path]:
    """The same table in each format."""
    import pandas

    frame = pandas.DataFrame(ROWS, columns=NAMES)
    found = {kind: folder / f"t.{kind}" for kind in ("csv", "xlsx", "parquet", "json", "jsonl", "db")}
    frame.to_csv(found["csv"], index=False)
    frame.to_excel(found["xlsx"], index=False)
    frame.to_parquet(found["parquet"], index=False)
    records = [dict(zip(NAMES, [str(row[0]), *row[1:]], strict=True)) for row in ROWS]
    found["json"].write_text(json.dumps({"data": records}))
    found["jsonl"].write_text("".join(json.dumps(record) + "\n" for record in records))
    with closing(sqlite3.connect(found["db"])) as database:
        database.execute('CREATE TABLE "a ""t"" b" (day TEXT, region TEXT, amount REAL, stock INTEGER)')
        database.executemany(
            'INSERT INTO "a ""t"" b" VALUES (?, ?, ?, ?)', [[str(r[0]), *r[1:]] for r in ROWS]
        )
        database.commit()
    return found


def test_every_format_has_the_same_figures(tmp_path: Path) -> None:
    found = {kind: profile(path) for kind, path in files(tmp_path).items()}
    assert found["db"]["tables"][0]["name"] == 'a "t" b'
    flat = {
        kind: {key: table[key] for key in ("rows", "duplicates", "columns", "correlations")}
        for kind, report in found.items()
        for table in report.get("tables", [report])
    }
    assert all(table == flat["csv"] for table in flat.values()), flat
    day, region, amount, stock = flat["csv"]["columns"]
    assert (day["type"], day["min"], day["max"]) == ("date", "2024-01-01", "2024-03-01")
    assert (region["type"], region["missing"], region["distinct"]) == ("text", 2, 2)
    assert amount["outliers"]["count"] == 2
    assert amount["quartiles"][1] == pytest.approx(38.25)
    assert stock["type"] == "number"
    assert flat["csv"]["duplicates"] == 1
    assert flat["csv"]["rows"] == 52


def test_correlations_are_those_of_the_columns(tmp_path: Path) -> None:
    lines = [f"{n},{2 * n + 1},{-n},{n * n % 7},5" for n in range(200)]
    (tmp_path / "t.csv").write_text("a,b,c,d,same\n" + "\n".join(lines))
    found = {(p["a"], p["b"]): p["r"] for p in profile(tmp_path / "t.csv")["correlations"]}
    assert found == {("a", "b"): 1.0, ("a", "c"): -1.0, ("b", "c"): -1.0}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("t.json", b"{broken", "is not JSON"),
        ("t.json", b"3", "holds a single value"),
        ("t.json", b"[" * 100_000, "is not JSON"),
        ("t.jsonl", b'{"a": 1}\n{', "line 2, is not JSON"),
        ("t.xlsx", b"PK\x03\x04nothing", "no Excel file"),
        ("t.parquet", b"PAR1nothing", "no Parquet file"),
        ("t.db", b"SQLite format 3\0nothing", "no SQLite database"),
    ],
)
def test_a_broken_file_is_one_sentence(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(data)
    done = script("profile_data.py", tmp_path / name)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


CHARTS: list[tuple[str, str | None, dict[str, Any]]] = [
    ("line", "day", {"points": 51, "first": ["2024-01-01", 0.0], "last": ["2024-03-01", 900.0]}),
    ("bar", "region", {"bars": 3, "left_out": 0, "highest": ["", 900.0]}),
    ("histogram", None, {"values": 52}),
    ("scatter", "stock", {"points": 52}),
    ("box", "region", {"groups": {"north": 36.0, "south": 37.5, "": 900.0}}),
]
ALL_CHARTS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from chart import chart
for kind, x in json.loads(sys.argv[4]):
    print(json.dumps(chart(sys.argv[2], kind, x, "amount", "mean", f"{sys.argv[3]}/{kind}.png")))
"""


def test_a_chart_tells_what_is_in_it(tmp_path: Path) -> None:
    path = files(tmp_path)["csv"]
    kinds = json.dumps([(kind, x) for kind, x, _ in CHARTS])
    command = [
        sys.executable,
        "-I",
        "-c",
        ALL_CHARTS,
        str(SKILL / "scripts"),
        str(path),
        str(tmp_path),
        kinds,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line, (kind, _, told) in zip(done.stdout.splitlines(), CHARTS, strict=True):
        assert told.items() <= json.loads(line).items()
        assert (tmp_path / f"{kind}.png").read_bytes().startswith(b"\x89PNG")


def test_a_chart_that_cannot_be_drawn_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("day,region\n2024-01-01,north\n")
    done = script("chart.py", tmp_path / "t.csv", "--y", "price")
    assert done.stderr == f"{tmp_path}/t.csv: there is no column 'price'; there is: day, region\n"
    done = script("chart.py", tmp_path / "t.csv", "--y", "region")
    assert done.stderr == f"{tmp_path}/t.csv: the column 'region' has no numbers\n"


def test_a_report_says_what_stands_out_and_shows_it(tmp_path: Path) -> None:
    path = files(tmp_path)["xlsx"]
    done = script("report.py", path, "--out", tmp_path / "report.md")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)["files"]
    assert all(Path(file).is_file() for file in made)
    text = (tmp_path / "report.md").read_text()
    for said in (
        "52 rows, 4 columns.",
        "1 rows (1.9%) repeat",
        "**amount**: 2 of 52 values lie outside",
        "### Not checked",
    ):
        assert said in text
    assert text.count("![") == len(made) - 1 == 4


def test_a_report_keeps_what_the_data_says_as_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('"<img src=x>](x)|`",b\n1,2\n1,3\n2,4\n9,5\n')
    assert script("report.py", tmp_path / "t.csv", "--out", tmp_path / "r.md").returncode == 0
    assert "\\<img src=x\\>\\](x)\\|\\`" in (tmp_path / "r.md").read_text()
    assert "<img" not in (tmp_path / "r.md").read_text().replace("\\<img", "")
