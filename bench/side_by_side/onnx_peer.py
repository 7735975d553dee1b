"""onnxruntime on the same weights: a program of its own, so that its threads are gone when Sprat is measured.

`python -m side_by_side.onnx_peer GRAPH.onnx MODEL THREADS SHAPES.json [TEXTS]` prints what the example
`encoder_speed` prints: the milliseconds of each shape, the beginning of a vector, the seconds that TEXTS took.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

# Texts of a batch, padded to the longest of them.
BATCH = 32


def main(graph: str, model: str, threads: str, shapes: str, texts: str | None = None) -> None:
    running = session(graph, int(threads))
    found = {"shapes": [of_shape(running, **shape) for shape in json.loads(shapes)]}
    if texts:
        start = time.perf_counter()
        vectors(running, model, Path(texts).read_text(encoding="utf-8").splitlines())
        found["texts_s"] = time.perf_counter() - start
    print(json.dumps(found))


def session(graph, threads: int):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def of_shape(session, texts: int, tokens: int, repeats: int) -> dict:
    places = np.arange(texts)[:, None] * 7919 + np.arange(tokens)[None, :] * 104729
    ids = 1000 + places % 20000
    ask = lambda: session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0]
    first = ask()[0].mean(axis=0)
    taken = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        ask()
        taken.append((time.perf_counter_ns() - start) / 1e6)
    return {"ms": taken, "vector": first[:8].tolist()}


def vectors(session, model, texts: list[str]) -> np.ndarray:
    """Sorted by length, in padded batches, pooled and normalised, as sentence-transformers does it."""
    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]), reverse=True)
    found = np.empty((len(texts), 0), np.float32)
    for at in range(0, len(order), BATCH):
        places = order[at : at + BATCH]
        encoded = tokenizer.encode_batch([texts[place] for place in places])
        ids = np.array([one.ids for one in encoded])
        mask = np.array([one.attention_mask for one in encoded])
        states = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        pooled = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1)[:, None]
        pooled /= np.linalg.norm(pooled, axis=1)[:, None]
        if not found.size:
            found = np.empty((len(texts), pooled.shape[1]), np.float32)
        found[places] = pooled
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
