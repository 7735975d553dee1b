"""Other libraries on the same rows, and what makes their scores confidences. One configuration each, for all sets.

Every peer gives a matrix of scores (rows x labels); `Confidence` turns scores into the probability that the answer is
right, in the same way for all of them and fitted only on rows answered out of fold.
"""

import hashlib
import json
import re
import tempfile
import warnings
from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_expit, log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from .data import Rows
from .sprat import WORK

warnings.filterwarnings("ignore", category=ConvergenceWarning)


def _matrix(labels: list[str], rows: Rows) -> np.ndarray:
    place = {label: index for index, label in enumerate(labels)}
    matrix = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for row, line in enumerate(rows.labels):
        for label in line.split("|"):
            matrix[row, place[label]] = 1
    return matrix


class _Scikit:
    """A scikit-learn classifier behind TF-IDF features; one against the rest where rows carry several labels."""

    # From how much score on a label is said, where there may be several.
    cut = 0.0

    def fit(self, rows: Rows, labels: list[str], multi: bool) -> None:
        self.features = self.vectoriser()
        matrix = self.features.fit_transform(rows.texts)
        if multi:
            self.classifier = OneVsRestClassifier(self.model()).fit(matrix, _matrix(labels, rows))
            self.classes = list(labels)
        else:
            self.classifier = self.model().fit(matrix, rows.labels)
            self.classes = list(self.classifier.classes_)

    def scores(self, texts: list[str]) -> np.ndarray:
        scores = self.classifier.decision_function(self.features.transform(texts))
        return np.stack([-scores, scores], axis=1) / 2 if scores.ndim == 1 else scores


class Svm(_Scikit):
    name = "SVM"
    about = "scikit-learn LinearSVC(C=1) on TF-IDF of words 1-2 and characters 2-5 within words, sublinear counts"

    def vectoriser(self):
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        return make_union(words, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True))

    def model(self):
        return LinearSVC(C=1.0)


class Words(_Scikit):
    name = "words LR"
    about = "scikit-learn LogisticRegression(C=10) on TF-IDF of single words, as routers with a small surrogate use"

    def vectoriser(self):
        return TfidfVectorizer(sublinear_tf=True)

    def model(self):
        return LogisticRegression(C=10.0, max_iter=300)


class FastText:
    name = "fastText"
    about = "fastText supervised, 25 to 500 epochs at 0.5, 100 dimensions, word pairs, characters 3-5, one thread, seed 0"
    # 25 passes over a few hundred rows teach it nothing: at least about so many rows are seen in all.
    rows_seen = 200_000

    cut = 0.0

    def fit(self, rows: Rows, labels: list[str], multi: bool) -> None:
        import fasttext

        self.classes = sorted({one for line in rows.labels for one in (line.split("|") if multi else [line])})
        place = {label: index for index, label in enumerate(self.classes)}
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
            for text, line in zip(rows.texts, rows.labels):
                marks = " ".join(f"__label__{place[one]}" for one in (line.split("|") if multi else [line]))
                file.write(f"{marks} {_one_line(text)}\n")
            file.flush()
            self.model = fasttext.train_supervised(
                input=file.name, lr=0.5, epoch=min(max(self.rows_seen // len(rows), 25), 500), dim=100, wordNgrams=2, minn=3, maxn=5, bucket=200_000,
                loss="ova" if multi else "softmax", thread=1, verbose=0, seed=0,
            )

    def scores(self, texts: list[str]) -> np.ndarray:
        scores = np.full((len(texts), len(self.classes)), -20.0)
        for row, text in enumerate(texts):
            # The module's own `predict` fails under NumPy 2; this is the call behind it.
            for probability, mark in self.model.f.predict(_one_line(text) + "\n", -1, 0.0, "strict"):
                chance = min(max(probability, 1e-6), 1 - 1e-6)
                scores[row, int(mark.removeprefix("__label__"))] = np.log(chance / (1 - chance))
        return scores


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().lower()


PEERS = [Svm, Words, FastText]


def answers(scores: np.ndarray, classes: list[str], multi: bool, cut: float = 0.0) -> list[str]:
    """The best label of each row; of several, every one above `cut`, and never none."""
    best = scores.argmax(axis=1)
    if not multi:
        return [classes[place] for place in best]
    return [
        "|".join(sorted({classes[place] for place in np.flatnonzero(row > cut)} or {classes[top]}))
        for row, top in zip(scores, best)
    ]


class Confidence:
    """A temperature for the scores, then a logistic model of "will it be right" over what they say."""

    def __init__(self, scores: np.ndarray, classes: list[str], rows: Rows, multi: bool, cut: float):
        self.multi, self.cut = multi, cut
        self.temperature = 1.0 if multi else self._temperature(scores, classes, rows)
        right = np.array([one == other for one, other in zip(answers(scores, classes, multi, cut), rows.labels)])
        # All right or all wrong teaches nothing about which: everything is then equally sure.
        self.constant = float(right.mean()) if right.all() or not right.any() else None
        if self.constant is None:
            self.head = make_pipeline(StandardScaler(), LogisticRegression()).fit(self._features(scores), right)

    @staticmethod
    def _temperature(scores: np.ndarray, classes: list[str], rows: Rows) -> float:
        place = {label: index for index, label in enumerate(classes)}
        known = [(row, place[label]) for row, label in enumerate(rows.labels) if label in place]
        at = tuple(np.array(known).T)
        loss = lambda log_t: -log_softmax(scores / np.exp(log_t), axis=1)[at].mean()
        return float(np.exp(minimize_scalar(loss, bounds=(-5, 5), method="bounded").x))

    def _features(self, scores: np.ndarray) -> np.ndarray:
        two = np.sort(scores, axis=1)[:, -2:]
        if self.multi:
            # Sure of a set: every label far from the cut, by the nearest and by all together.
            far = np.abs(scores - self.cut)
            sure = log_expit(far).sum(axis=1)
            return np.stack([far.min(axis=1), sure, two[:, 1], two[:, 1] - two[:, 0]], axis=1)
        logs = log_softmax(scores / self.temperature, axis=1)
        top = logs.max(axis=1).clip(None, -1e-6)
        entropy = -(np.exp(logs) * logs).sum(axis=1)
        odds = (top - np.log(-np.expm1(top))).clip(-14, 14)
        return np.stack([odds, two[:, 1] - two[:, 0], entropy, two[:, 1]], axis=1)

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        if self.constant is not None:
            return np.full(len(scores), self.constant)
        return self.head.predict_proba(self._features(scores))[:, 1]


def on_all(peer, train: Rows, devtest: Rows, labels: list[str], multi: bool) -> list[str]:
    """Answers to devtest, trained on all rows."""

    def made():
        model = peer()
        model.fit(train, labels, multi)
        return answers(model.scores(devtest.texts), model.classes, multi, model.cut)

    return _remembered([peer.about, "all", train.digest(), devtest.digest()], made)


def selective(peer, train: Rows, split: dict, devtest: Rows, labels: list[str], multi: bool) -> dict:
    """Confidence and rightness of every training row (out of fold), certification row and devtest row."""

    def made():
        taught, fresh = train.at(split["train"]), train.at(split["certification"])
        folds = np.array(split["folds"])
        model = peer()
        model.fit(taught, labels, multi)
        out_of_fold = np.full((len(taught), len(model.classes)), -20.0)
        place = {label: index for index, label in enumerate(model.classes)}
        for fold in sorted(set(split["folds"])):
            held, rest = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
            other = peer()
            other.fit(taught.at(rest), labels, multi)
            # A label whose every row is held out is unknown to this fold's model.
            columns = [place[label] for label in other.classes]
            out_of_fold[np.ix_(held, columns)] = other.scores(taught.at(held).texts)
        confidence = Confidence(out_of_fold, model.classes, taught, multi, model.cut)

        def judged(scores: np.ndarray, rows: Rows) -> list:
            said = answers(scores, model.classes, multi, model.cut)
            return [[float(sure), one == other] for sure, one, other in zip(confidence(scores), said, rows.labels)]

        return {
            "tuning": judged(out_of_fold, taught),
            "fresh": judged(model.scores(fresh.texts), fresh),
            "devtest": judged(model.scores(devtest.texts), devtest),
        }

    key = [peer.about, "selective", train.digest(), devtest.digest(), json.dumps(split), SCHEME]
    return _remembered(key, made)


# Raised when the way from scores to confidences changes, so that nothing old is read back.
SCHEME = "1"


def _remembered(key: list[str], made):
    """Peers don't change between runs while Sprat does: what they said is kept under target/bench."""
    folder = WORK / "peers"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (hashlib.sha256("\0".join(key).encode()).hexdigest()[:24] + ".json")
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    value = made()
    Path(path).write_text(json.dumps(value), encoding="utf-8")
    return value
