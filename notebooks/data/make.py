"""Makes the data sets of data-analysis.ipynb from those scikit-learn ships: `python make.py`. See README.md."""

from __future__ import annotations

from pathlib import Path

from sklearn.datasets import load_breast_cancer, load_iris, load_wine

HERE = Path(__file__).parent
CULTIVARS = (
    ("Barolo", "barolo", "BAROLO"),
    ("Grignolino", "grignolino", "Grignolino"),
    ("Barbera", "barbera", "BARBERA"),
)
COLUMNS = {
    "alcohol": "Alkohol [% vol]",
    "malic_acid": "Äpfelsäure [g/l]",
    "ash": "Asche [g/l]",
    "magnesium": "Magnesium [mg/l]",
    "total_phenols": "Phenole",
    "color_intensity": "Farbe",
    "proline": "Prolin [mg/l]",
}


def wide() -> str:
    data = load_breast_cancer(as_frame=True)
    frame = data.frame.drop(columns="target")
    frame.insert(0, "diagnosis", data.target.map(dict(enumerate(data.target_names))))
    return str(frame.to_csv(index=False))


def long() -> str:
    data = load_iris(as_frame=True)
    frame = data.frame.rename(columns=lambda name: name.removesuffix(" (cm)"))
    frame["species"] = data.target.map(dict(enumerate(data.target_names)))
    frame["id"] = frame.index + 1
    measures = [name.removesuffix(" (cm)") for name in data.feature_names]
    frame = frame.melt(["id", "species"], measures, "measure", "cm").sort_values(["id", "measure"])
    return str(frame.to_csv(index=False))


def messy() -> str:
    """The figures are real; how they are written is what spreadsheets and people make of them."""
    data = load_wine(as_frame=True)
    lines = [";".join(["Rebsorte", *COLUMNS.values()])]
    for number, row in data.frame.iterrows():
        cells = [CULTIVARS[int(row["target"])][number % 3]]
        for place, column in enumerate(COLUMNS):
            cell = f"{row[column]:g}".replace(".", ",")
            if (number + 3 * place) % 29 == 0:
                cell = ("", "n/a", "-")[number % 3]
            elif (number + place) % 53 == 0:
                cell = f"{cell}?"
            cells.append(cell)
        if number % 44 == 7:
            cells.append("nachgemessen")
        lines.append(";".join(cells))
        if number % 60 == 11:
            lines.append(lines[-1])
    return "\r\n".join([*lines, ""])


if __name__ == "__main__":
    (HERE / "tumours_wide.csv").write_text(wide(), encoding="utf-8")
    (HERE / "iris_long.csv").write_text(long(), encoding="utf-8")
    (HERE / "wines_messy.csv").write_text(messy(), encoding="cp1252", newline="")
