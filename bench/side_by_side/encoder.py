"""How quickly texts become vectors: Sprat's encoder and onnxruntime on the same weights, by turns in one run."""

import json
import resource
import statistics
import sys
from pathlib import Path

from . import data, onnx_graph, sprat, tables

MODEL = Path("target/models/all-MiniLM-L6-v2")
# What is asked: texts, tokens each, and how often in a round.
SHAPES = [
    {"texts": 1, "tokens": 32, "repeats": 100},
    {"texts": 8, "tokens": 32, "repeats": 20},
    {"texts": 32, "tokens": 32, "repeats": 8},
    {"texts": 32, "tokens": 128, "repeats": 3},
]
ROUNDS = 5
THREADS = 2
TEXTS = 10_000
# How much further apart two programs' sums may be.
AGREEMENT = 1e-3


def measure(folder: Path, arguments) -> dict[str, str]:
    if not (MODEL / "model.safetensors").exists():
        raise data.Missing(f"{MODEL} is not there; `make minilm` fetches it")
    texts = short_texts(folder)
    graphs = list(onnx_graph.save(MODEL, sprat.WORK / "onnx"))
    commands = {"Sprat": [sprat.example("encoder_speed"), MODEL, THREADS]}
    for graph in graphs:
        commands[f"onnxruntime, {graph.stem}"] = [sys.executable, "-m", "side_by_side.onnx_peer", graph, MODEL, THREADS]
    rounds = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            rounds[name].append(sprat.asked([*command, json.dumps(SHAPES)]))
    agree(rounds)
    bulk = {name: of_texts(command, texts) for name, command in commands.items()}
    (sprat.WORK / "encoder.json").write_text(json.dumps({"rounds": rounds, "texts": bulk}, indent=1), encoding="utf-8")
    packages = ("onnxruntime", "onnx", "numpy")
    return {"encoder": f"{table(rounds, bulk)}\n\n{tables.conditions('bench/run encoder', packages)}"}


def short_texts(folder: Path) -> Path:
    """10,000 questions of bank customers, one a line: those to be taught with, then those to be asked."""
    found = data.named("banking77")
    rows = [text for files in (found.train, found.devtest) for text in data.read(folder, files, found.label).texts]
    path = sprat.WORK / "short-texts.txt"
    path.write_text("".join(" ".join(text.split()) + "\n" for text in rows[:TEXTS]), encoding="utf-8")
    return path


def agree(rounds: dict) -> None:
    """Nobody is quick by computing something else."""
    ours, *others = (found[0]["shapes"] for found in rounds.values())
    for other in others:
        for one, two in zip(ours, other):
            apart = max(abs(a - b) for a, b in zip(one["vector"], two["vector"]))
            if apart > AGREEMENT:
                raise sprat.Failed(f"the vectors are {apart} apart: {one['vector']} and {two['vector']}")


def of_texts(command: list, texts: Path) -> dict:
    """CPU seconds of a whole process that reads the model and the texts, and the seconds that the texts took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = sprat.asked([*command, "[]", texts])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"cpu_s": cpu, "wall_s": found["texts_s"]}


def table(rounds: dict, bulk: dict) -> str:
    rows = []
    for at, shape in enumerate(SHAPES):
        taken = {name: statistics.median(ms for found in all for ms in found["shapes"][at]["ms"]) for name, all in rounds.items()}
        rows.append([f"{shape['texts']} x {shape['tokens']} tokens, ms", *(f"{ms:.1f}" for ms in taken.values()), *against(taken, 1.1)])
    cpu = {name: found["cpu_s"] for name, found in bulk.items()}
    verdict = "met" if cpu["Sprat"] < 60 else "not met"
    wanted = [f"{cpu['Sprat'] / best(cpu):.2f}", f"under 60: {verdict}"]
    rows.append([f"{TEXTS:,} short texts, CPU s", *(f"{one['cpu_s']:.1f}" for one in bulk.values()), *wanted])
    rows.append([f"{TEXTS:,} short texts, s", *(f"{one['wall_s']:.1f}" for one in bulk.values()), "", ""])
    return tables.markdown([f"all-MiniLM-L6-v2, {THREADS} threads", *rounds, "Sprat to the faster peer", "target"], rows)


def best(taken: dict) -> float:
    return min(value for name, value in taken.items() if name != "Sprat")


def against(taken: dict, most: float) -> list[str]:
    ratio = taken["Sprat"] / best(taken)
    return [f"{ratio:.2f}", f"at most {most}: {'met' if ratio <= most else 'not met'}"]
