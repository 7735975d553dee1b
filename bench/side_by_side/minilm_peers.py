"""What others make of the same encoder without training it: its vectors under a scikit-learn model, alone and beside TF-IDF."""

import hashlib

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_union

from . import onnx_graph, onnx_peer, peers, sprat

THREADS = 2


class Vectors(TransformerMixin, BaseEstimator):
    """Texts as all-MiniLM-L6-v2 sees them, by onnxruntime; each text is computed once a run."""

    known: dict[str, np.ndarray] = {}
    model = None

    def fit(self, texts, labels=None):
        return self

    def transform(self, texts):
        new = sorted({text for text in texts if text not in self.known})
        if new:
            self.known.update(zip(new, self._computed(new)))
        return csr_matrix(np.stack([self.known[text] for text in texts]))

    def _computed(self, texts: list[str]) -> np.ndarray:
        name = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:24]
        path = sprat.WORK / "peers" / f"{name}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            [graph, *_] = sorted(onnx_graph.save(Vectors.model, sprat.WORK / "onnx"))
            np.save(path, onnx_peer.vectors(onnx_peer.session(graph, THREADS), Vectors.model, texts))
        return np.load(path)


class Head(peers._Scikit):
    name = "MiniLM + LR"
    about = "scikit-learn LogisticRegression(C=10) on all-MiniLM-L6-v2's vectors of unit length"

    def vectoriser(self):
        return Vectors()

    def model(self):
        return LogisticRegression(C=10.0, max_iter=1000)


class SvmAndVectors(peers.Svm):
    name = "SVM + MiniLM"
    about = "the SVM, with all-MiniLM-L6-v2's vectors of unit length beside TF-IDF"

    def vectoriser(self):
        return make_union(super().vectoriser(), Vectors())


PEERS = [peers.Svm, Head, SvmAndVectors]
