"""One text on one core, training Banking77, and how large the model is: medians of several rounds in one run."""

import json
import os
import pickle
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path

from . import data, peers, sprat, tables

ROUNDS = 5
# Training is repeated so often; the median counts.
FITS = 3


def measure(folder: Path, arguments) -> dict[str, str]:
    found = data.named("banking77")
    train, devtest = (data.read(folder, files, found.label) for files in (found.train, found.devtest))
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:1]))
    sprat_one = of_sprat(train, devtest, threads=1)
    others = {peer.name: of_peer(peer(), train, devtest) for peer in (peers.Svm, peers.FastText)}
    os.sched_setaffinity(0, set(range(os.cpu_count())))
    sprat_two = of_sprat(train, devtest, threads=2)
    learned_s = learning_cpu(found, train)
    (sprat.WORK / "speed.json").write_text(
        json.dumps({"Sprat": sprat_one, "Sprat, 2 threads": sprat_two, **others, "learn": learned_s}, indent=1), encoding="utf-8"
    )
    return {"speed": f"{table(sprat_one, sprat_two, learned_s, others)}\n\n{tables.conditions('bench/run speed')}"}


def of_sprat(train: data.Rows, devtest: data.Rows, threads: int) -> dict:
    with tempfile.TemporaryDirectory() as scratch:
        files = [_lines(Path(scratch) / name, rows) for name, rows in (("train", train), ("devtest", devtest))]
        runs = [sprat.asked([sprat.example("linear_speed"), *files, threads]) for _ in range(FITS)]
    median = lambda key: statistics.median(run[key] for run in runs)
    rounds = lambda key: statistics.median(us for run in runs for us in run[key])
    return {
        "cpu_s": median("fit_cpu_ms") / 1e3,
        "wall_s": median("fit_wall_ms") / 1e3,
        "bytes": median("bytes"),
        "us": rounds("model_us"),
        "rung_us": rounds("rung_us"),
    }


def _lines(path: Path, rows: data.Rows) -> Path:
    with open(path, "w", encoding="utf-8") as file:
        for text, label in zip(rows.texts, rows.labels):
            file.write(json.dumps({"text": text, "label": label}) + "\n")
    return path


def of_peer(peer, train: data.Rows, devtest: data.Rows) -> dict:
    cpu, wall = [], []
    for _ in range(FITS):
        start, at = time.process_time(), time.perf_counter()
        peer.fit(train, sorted(set(train.labels)), False)
        cpu.append(time.process_time() - start)
        wall.append(time.perf_counter() - at)
    return {
        "cpu_s": statistics.median(cpu),
        "wall_s": statistics.median(wall),
        "bytes": _size(peer),
        "us": _one_by_one(peer, devtest.texts),
    }


def _size(peer) -> int:
    if isinstance(peer, peers.FastText):
        with tempfile.NamedTemporaryFile() as file:
            peer.model.save_model(file.name)
            return os.path.getsize(file.name)
    return len(pickle.dumps((peer.features, peer.classifier)))


def _one_by_one(peer, texts: list[str]) -> float:
    """The median over rounds of the median over texts, in microseconds, in this process."""
    if isinstance(peer, peers.FastText):
        # The module's call for the best label, without the module's wrapper around it.
        texts = [peers._one_line(text) + "\n" for text in texts]
        answer = lambda text: peer.model.f.predict(text, 1, 0.0, "strict")
    else:
        answer = lambda text: peer.scores([text])
    medians = []
    for _ in range(ROUNDS + 1):
        taken = []
        for text in texts[:500]:
            start = time.perf_counter_ns()
            answer(text)
            taken.append(time.perf_counter_ns() - start)
        medians.append(statistics.median(taken) / 1e3)
    return statistics.median(medians[1:])


def learning_cpu(found: data.DataSet, train: data.Rows) -> float:
    """User seconds of the whole of `sprat learn`: curation, six fits, certification, learning curve, report."""
    workspace = sprat.Workspace("speed")
    file = workspace.rows("train", train)
    workspace.task("speed", found, data.all_labels(found, train), 0.05)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    workspace.sprat("learn", "speed", file)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def table(one: dict, two: dict, learned_s: float, others: dict) -> str:
    svm, fast = others["SVM"], others["fastText"]
    times = lambda ratio: f"{ratio:.1f}x"
    verdict = lambda found, most: "met" if found <= most else "not met"
    rows = [
        ["one text, one core, µs", f"{one['us']:.1f}", f"{svm['us']:.0f}", f"{fast['us']:.1f}",
         f"{times(svm['us'] / one['us'])} / {times(fast['us'] / one['us'])}", f"20: {verdict(one['us'], 20)}"],
        ["the same as a rung of a ladder, µs", f"{one['rung_us']:.1f}", "", "", "", ""],
        ["training, 1 thread, CPU s", f"{one['cpu_s']:.1f}", f"{svm['cpu_s']:.1f}", f"{fast['cpu_s']:.1f}",
         f"{times(svm['cpu_s'] / one['cpu_s'])} / {times(fast['cpu_s'] / one['cpu_s'])}", f"3: {verdict(one['cpu_s'], 3)}"],
        ["training, 2 threads, CPU s (wall s)", f"{two['cpu_s']:.1f} ({two['wall_s']:.1f})", "", "", "", f"3: {verdict(two['cpu_s'], 3)}"],
        ["`sprat learn`, all of it, CPU s", f"{learned_s:.1f}", "", "", "", ""],
        ["model, MB", f"{one['bytes'] / 1e6:.1f}", f"{svm['bytes'] / 1e6:.1f}", f"{fast['bytes'] / 1e6:.1f}", "",
         f"20: {verdict(one['bytes'] / 1e6, 20)}"],
    ]
    return tables.markdown(["Banking77", "Sprat linear", "SVM", "fastText", "SVM / fastText to Sprat", "target, at most"], rows)
