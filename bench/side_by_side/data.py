"""Which data sets there are, and their rows. Nothing of them is ever copied into the repository."""

import csv
import hashlib
from dataclasses import dataclass, field
from pathlib import Path


class Missing(Exception):
    """The data is not there."""


@dataclass(frozen=True)
class Rows:
    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)

    def at(self, places) -> "Rows":
        return Rows([self.texts[place] for place in places], [self.labels[place] for place in places])

    def digest(self) -> str:
        whole = hashlib.sha256()
        for pair in zip(self.texts, self.labels):
            whole.update("\0".join(pair).encode() + b"\1")
        return whole.hexdigest()


@dataclass(frozen=True)
class DataSet:
    """`train` teaches and certifies; `devtest` is only ever measured on."""

    name: str
    train: list[str]
    devtest: list[str]
    out_of_scope: str | None = None
    multi: bool = False
    label: object = field(default=str)


def _before_slash(label: str) -> str:
    return label.split("/")[0]


SETS = [
    DataSet("banking77", ["banking77/train.csv"], ["banking77/devtest.csv"]),
    DataSet(
        "clinc150",
        ["clinc150/train.csv", "clinc150/oos_train.csv"],
        ["clinc150/devtest.csv", "clinc150/oos_devtest.csv"],
        out_of_scope="oos",
    ),
    DataSet("davidson_hate", ["davidson_hate/train.csv"], ["davidson_hate/devtest.csv"]),
    DataSet("sst2", ["sst2/train.csv"], ["sst2/devtest.csv"]),
    DataSet("headlines_gold", ["headlines_gold/train.csv"], ["headlines_gold/devtest.csv"]),
    DataSet(
        "hint3_curekart",
        ["hint3/train_curekart.csv"],
        ["hint3/devtest_curekart.csv"],
        out_of_scope="NO_NODES_DETECTED",
    ),
    DataSet(
        "hint3_sofmattress",
        ["hint3/train_sofmattress.csv"],
        ["hint3/devtest_sofmattress.csv"],
        out_of_scope="NO_NODES_DETECTED",
    ),
    DataSet("sms_spam", ["sms_spam/train.csv"], ["sms_spam/devtest.csv"]),
    DataSet(
        "bitext_support",
        ["bitext_support/train.csv"],
        ["bitext_support/devtest.csv"],
        label=_before_slash,
    ),
    DataSet("goemotions", ["goemotions/train.csv"], ["goemotions/devtest.csv"], multi=True),
]


def require(folder: Path) -> None:
    if not (folder / "banking77" / "train.csv").exists():
        raise Missing(
            f"the data sets are not in {folder}: nothing was measured\n"
            "hint: name their folder with --data DIR or SPRAT_DATA=DIR"
        )


def named(name: str) -> DataSet:
    return next(found for found in SETS if found.name == name)


def read(folder: Path, files: list[str], label=str) -> Rows:
    texts, labels = [], []
    for file in files:
        path = folder / file
        if not path.exists():
            raise Missing(f"{path} is missing")
        with open(path, newline="", encoding="utf-8") as lines:
            for row in csv.DictReader(lines):
                texts.append(row["text"])
                labels.append(label(row["label"]))
    return Rows(texts, labels)


def write_csv(path: Path, rows: Rows) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(zip(rows.texts, rows.labels))


def all_labels(found: DataSet, *parts: Rows) -> list[str]:
    """Every label, the out-of-scope one last."""
    whole = {label for rows in parts for label in rows.labels}
    singles = {one for label in whole for one in label.split("|")} if found.multi else whole
    singles.discard(found.out_of_scope)
    return sorted(singles) + ([found.out_of_scope] if found.out_of_scope else [])
