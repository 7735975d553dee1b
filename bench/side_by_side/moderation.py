"""Moderation: how much is answered small under a promise of recall for each category, and what is missed on other data."""

import csv
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.special import log_expit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from . import data, peers, sprat, tables

# (most wrong of the answers given small, most missed of each category)
PROMISES = [(0.10, 0.10), (0.05, 0.05)]


@dataclass(frozen=True)
class Categories:
    """A data set as a task that moderates: every label that is no category means "none of these"."""

    name: str
    found: str
    categories: list[str]

    def label(self, written: str) -> str:
        return "|".join(label for label in written.split("|") if label in self.categories)


SETS = [
    Categories("davidson_hate", "davidson_hate", ["hate", "offensive"]),
    Categories("sms_spam", "sms_spam", ["spam"]),
    # Of 28 emotions those that a moderator would want to see.
    Categories("goemotions", "goemotions", ["anger", "annoyance", "disgust"]),
]


class LinearSvm(peers.Svm):
    name = "SVM"


class Logistic(peers.Svm):
    name = "LR"

    def model(self):
        return LogisticRegression(C=10.0, max_iter=300)


PEERS = [LinearSvm, Logistic]


def measure(folder: Path, arguments) -> dict[str, str]:
    wanted = arguments.sets.split(",") if arguments.sets else [found.name for found in SETS]
    results, surge = [], []
    for found in SETS:
        if found.name in wanted:
            results += of_set(folder, found, surge)
    conditions = tables.conditions("bench/run moderation")
    parts = [certified_table(results), devtest_table(results), surge_table(surge), conditions]
    return {"moderation": "\n\n".join(part for part in parts if part)}


def of_set(folder: Path, found: Categories, surge: list) -> list[dict]:
    source = data.named(found.found)
    train, devtest = (data.read(folder, files, found.label) for files in (source.train, source.devtest))
    strangers = toxic(folder) if found.name == "davidson_hate" else None
    workspace = sprat.Workspace(f"{found.name}_moderation")
    results = []
    for max_error, max_missed in PROMISES:
        name = f"at{round(100 * (1 - max_error))}"
        task = write_task(workspace, name, found, max_error, max_missed)
        train_file = workspace.rows("train", train)
        split = sprat.asked([sprat.example("split_rows"), task, train_file])
        learned = workspace.sprat("learn", name, train_file)
        ours = of_sprat(workspace, name, learned, devtest)
        results.append({"set": found.name, "promise": (max_error, max_missed), "who": "Sprat", **ours})
        if strangers:
            surge.append({"promise": (max_error, max_missed), **on_strangers(workspace, name, learned, strangers)})
        for peer in PEERS:
            theirs = of_peer(peer, found, train, split, devtest, max_error, max_missed)
            results.append({"set": found.name, "promise": (max_error, max_missed), "who": peer.name, **theirs})
        for result in results[-1 - len(PEERS):]:
            print(f"   {found.name} {name} {result['who']} {result['status']} {result['fresh']['coverage']:.3f}", file=sys.stderr, flush=True)
    return results


def write_task(workspace, name: str, found: Categories, max_error: float, max_missed: float) -> Path:
    path = workspace.root / "tasks" / f"{name}.toml"
    path.write_text(
        f'kind = "moderate"\nlabels = {json.dumps(found.categories)}\nrungs = ["linear"]\n'
        f"[target]\nmax_error = {max_error}\nmax_missed = {max_missed}\nconfidence = 0.95\n",
        encoding="utf-8",
    )
    return path


def of_sprat(workspace, name: str, learned: dict, devtest: data.Rows) -> dict:
    certificate = learned["evidence"]["certificate"]
    is_certified = certificate["status"] == "certified"
    recall = certificate.get("recall", [])
    fresh = {
        "n": certificate["n"],
        "coverage": certificate["accepted"] / certificate["n"] if is_certified else 0.0,
        "wrong": certificate["bad"] / max(certificate["accepted"], 1) if is_certified else None,
        "categories": {one["label"]: [one["positives"], one["flagged"], one["missed"]] for one in recall} if is_certified else {},
    }
    small, said = answered(workspace, name, learned, devtest)
    return {"status": certificate["status"], "fresh": fresh, "devtest": counted(small, said, devtest.labels)}


def answered(workspace, name: str, learned: dict, rows: data.Rows) -> tuple[list[bool], list[str]]:
    """Which rows the release answers small, and what it says of each, through `sprat run`."""
    asked, out = workspace.rows("asked", rows), workspace.root / "answered.csv"
    release = learned["release"].split("@")[1]
    workspace.sprat("run", name, asked, "-o", out, "--small-only", "--release", release, "--force")
    with open(out, newline="", encoding="utf-8") as lines:
        found = list(csv.DictReader(lines))
    return [row["escalated"] == "false" for row in found], [row["answer"] for row in found]


def counted(small: list[bool], said: list[str], right: list[str]) -> dict:
    """How much is answered small, how much of that is wrong, and for each category: positives, flagged small, missed."""
    sets = [(taken, set(filter(None, one.split("|"))), set(filter(None, other.split("|")))) for taken, one, other in zip(small, said, right)]
    taken = [(one, other) for is_small, one, other in sets if is_small]
    categories = {}
    for category in sorted({label for _, _, other in sets for label in other}):
        here = [(is_small, category in one) for is_small, one, other in sets if category in other]
        categories[category] = [len(here), sum(s and c for s, c in here), sum(s and not c for s, c in here)]
    return {
        "n": len(sets),
        "coverage": len(taken) / max(len(sets), 1),
        "wrong": sum(one != other for one, other in taken) / len(taken) if taken else None,
        "categories": categories,
    }


# --- the peers, under the same procedure


def of_peer(peer, found: Categories, train, split: dict, devtest, max_error: float, max_missed: float) -> dict:
    judged = judged_by(peer, found, train, split, devtest)
    given = {
        "max_error": max_error, "max_missed": max_missed, "confidence": 0.95,
        "categories": found.categories, "tuning": judged["tuning"], "fresh": judged["fresh"], "other": judged["devtest"],
    }
    verdict = sprat.asked([sprat.example("certify_recall")], json.dumps(given))
    line = lambda rows, key: ["|".join(sorted(row[key])) for row in rows]
    count = lambda small, rows: counted(small, line(rows, "said"), line(rows, "right"))
    fresh, other = count(verdict["fresh"], judged["fresh"]), count(verdict["other"], judged["devtest"])
    return {"status": verdict["status"], "fresh": fresh, "devtest": other}


def judged_by(peer, found: Categories, train, split: dict, devtest) -> dict:
    """Scores of every training row (out of fold), certification row and devtest row, and how sure the whole answer is."""

    def made():
        taught, fresh = train.at(split["train"]), train.at(split["certification"])
        folds = np.array(split["folds"])
        out_of_fold = np.zeros((len(taught), len(found.categories)))
        for fold in sorted(set(split["folds"])):
            held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            out_of_fold[held] = scores(peer, found, taught.at(rest), taught.at(held).texts)[0]
        on_fresh, on_devtest = scores(peer, found, taught, fresh.texts, devtest.texts)
        right = np.array([said(found, row) == truth(label) for row, label in zip(out_of_fold, taught.labels)])
        head = make_pipeline(StandardScaler(), LogisticRegression()).fit(features(out_of_fold), right)

        def rows(matrix, of) -> list[dict]:
            sure = head.predict_proba(features(matrix))[:, 1]
            return [
                {"sure": float(one), "scores": row.tolist(), "said": said(found, row), "right": truth(label)}
                for one, row, label in zip(sure, matrix, of.labels)
            ]

        return {"tuning": rows(out_of_fold, taught), "fresh": rows(on_fresh, fresh), "devtest": rows(on_devtest, devtest)}

    key = [peer.name, peer.about, "moderation", train.digest(), devtest.digest(), json.dumps(split), json.dumps(found.categories)]
    return peers._remembered(key, made)


def scores(peer, found: Categories, taught, *asked: list[str]) -> list[np.ndarray]:
    """One classifier for each category against the rest."""
    of = peer()
    features_of = of.vectoriser()
    matrix = features_of.fit_transform(taught.texts)
    columns = [[] for _ in asked]
    read = [features_of.transform(texts) for texts in asked]
    for category in found.categories:
        classifier = of.model().fit(matrix, [category in label.split("|") for label in taught.labels])
        for column, texts in zip(columns, read):
            column.append(classifier.decision_function(texts))
    return [np.stack(column, axis=1) for column in columns]


def said(found: Categories, row: np.ndarray) -> list[str]:
    return sorted(category for category, score in zip(found.categories, row) if score > 0)


def truth(label: str) -> list[str]:
    return sorted(filter(None, label.split("|")))


def features(matrix: np.ndarray) -> np.ndarray:
    far = np.abs(matrix)
    return np.stack([far.min(axis=1), log_expit(far).sum(axis=1), matrix.max(axis=1)], axis=1)


# --- data of another kind: devtest alone, two classes, from other platforms


def toxic(folder: Path) -> data.Rows:
    return data.read(folder, ["surge_toxicity/devtest.csv"])


def on_strangers(workspace, name: str, learned: dict, rows: data.Rows) -> dict:
    small, said_ = answered(workspace, name, learned, data.Rows(rows.texts, [""] * len(rows)))
    is_toxic = [label == "toxic" for label in rows.labels]
    missed = sum(s and not one and t for s, one, t in zip(small, said_, is_toxic))
    flagged = sum(s and bool(one) and t for s, one, t in zip(small, said_, is_toxic))
    wrongly = sum(s and bool(one) and not t for s, one, t in zip(small, said_, is_toxic))
    return {"n": len(rows), "toxic": sum(is_toxic), "coverage": sum(small) / len(small), "missed": missed, "flagged": flagged, "wrongly": wrongly}


# --- tables


def promised(result: dict) -> str:
    return " / ".join(f"{round(100 * share)}%" for share in result["promise"])


def by_category(found: dict) -> str:
    return "; ".join(f"{name} {missed} of {of} missed, {flagged} flagged" for name, (of, flagged, missed) in found["categories"].items()) or "–"


def certified_table(results: list[dict]) -> str:
    header = ["on certification rows", "wrong / missed, at most", "who", "status", "answered small", "wrong of these", "each category"]
    rows = [
        [result["set"], promised(result), result["who"], result["status"], tables.share(result["fresh"]["coverage"]),
         tables.percent(result["fresh"]["wrong"]), by_category(result["fresh"]) if result["status"] == "certified" else "–"]
        for result in results
    ]
    return tables.markdown(header, rows)


def devtest_table(results: list[dict]) -> str:
    header = ["on devtest (other data)", "wrong / missed, at most", "who", "answered small", "wrong of these", "each category"]
    rows = [
        [result["set"], promised(result), result["who"], tables.share(result["devtest"]["coverage"]),
         tables.percent(result["devtest"]["wrong"]), by_category(result["devtest"])]
        for result in results
        if result["status"] == "certified"
    ]
    return tables.markdown(header, rows) if rows else ""


def surge_table(surge: list[dict]) -> str:
    if not surge:
        return ""
    header = ["surge_toxicity by the release of davidson_hate", "rows", "toxic", "answered small", "toxic, missed", "toxic, flagged small", "not toxic, flagged small"]
    rows = [
        [promised(one), str(one["n"]), str(one["toxic"]), tables.share(one["coverage"]), str(one["missed"]), str(one["flagged"]), str(one["wrongly"])]
        for one in surge
    ]
    return tables.markdown(header, rows)
