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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(threads)
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    found = {"shapes": [of_shape(session, **shape) for shape in json.loads(shapes)]}
    if texts:
        found["texts_s"] = of_texts(session, model, Path(texts).read_text(encoding="utf-8").splitlines())
    print(json.dumps(found))


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


def of_texts(session, model: str, texts: list[str]) -> float:
    """Sorted by length, in padded batches, pooled and normalised, as sentence-transformers does it."""
    tokenizer = Tokenizer.from_file(f"{model}/tokenizer.json")
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    start = time.perf_counter()
    texts = sorted(texts, key=len, reverse=True)
    for at in range(0, len(texts), BATCH):
        encoded = tokenizer.encode_batch(texts[at : at + BATCH])
        ids = np.array([one.ids for one in encoded])
        mask = np.array([one.attention_mask for one in encoded])
        states = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
        pooled = (states * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1)[:, None]
        pooled /= np.linalg.norm(pooled, axis=1)[:, None]
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*sys.argv[1:])
