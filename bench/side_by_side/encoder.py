"""How quickly texts become vectors: Sprat's encoder and onnxruntime on the same weights, by turns in one run; and what is lost where Sprat
rounds to bfloat16."""

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
# How far apart two programs' numbers may be: by the order of their sums, and by the rounding to 8 bits in every product.
AGREEMENT, ROUNDED = 1e-3, 0.03
OURS = {"Sprat": ("f32", 1.1), "Sprat, bf16": ("bf16", 0.6)}
# What rounding costs is shown on these, with a head over the encoder as it came.
TASKS = ["banking77", "clinc150", "sst2"]


def measure(folder: Path, arguments) -> dict[str, str]:
    if not (MODEL / "model.safetensors").exists():
        raise data.Missing(f"{MODEL} is not there; `make minilm` fetches it")
    texts = short_texts(folder)
    graphs = list(onnx_graph.save(MODEL, sprat.WORK / "onnx"))
    commands = {name: [sprat.example("encoder_speed"), MODEL, precision, THREADS] for name, (precision, _) in OURS.items()}
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
    conditions = tables.conditions("bench/run encoder", packages)
    return {"encoder": f"{table(rounds, bulk)}\n\n{precision_table(folder)}\n\n{conditions}"}


def short_texts(folder: Path) -> Path:
    """10,000 questions of bank customers, one a line: those to be taught with, then those to be asked."""
    found = data.named("banking77")
    rows = [text for files in (found.train, found.devtest) for text in data.read(folder, files, found.label).texts]
    path = sprat.WORK / "short-texts.txt"
    path.write_text("".join(" ".join(text.split()) + "\n" for text in rows[:TEXTS]), encoding="utf-8")
    return path


def agree(rounds: dict) -> None:
    """Nobody is quick by computing something else."""
    ours = rounds["Sprat"][0]["shapes"]
    for name, found in rounds.items():
        most = ROUNDED if name == "Sprat, bf16" else AGREEMENT
        for one, two in zip(ours, found[0]["shapes"]):
            apart = max(abs(a - b) for a, b in zip(one["vector"], two["vector"]))
            if apart > most:
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
        against = [f"{taken[name] / best(taken):.2f} ({verdict(taken[name] / best(taken) <= most)})" for name, (_, most) in OURS.items()]
        rows.append([f"{shape['texts']} x {shape['tokens']} tokens, ms", *(f"{ms:.1f}" for ms in taken.values()), *against])
    cpu = {name: found["cpu_s"] for name, found in bulk.items()}
    rows.append([f"{TEXTS:,} short texts, CPU s", *(f"{one:.1f}" for one in cpu.values()), *(f"{cpu[name] / best(cpu):.2f}" for name in OURS)])
    rows.append([f"{TEXTS:,} short texts, s", *(f"{one['wall_s']:.1f}" for one in bulk.values()), "", ""])
    against = [f"{name} to the faster peer, at most {most}" for name, (_, most) in OURS.items()]
    met = verdict(cpu["Sprat"] < 60)
    return tables.markdown([f"all-MiniLM-L6-v2, {THREADS} threads", *rounds, *against], rows) + f"\n\n{TEXTS:,} short texts in under 60 CPU seconds: {met}."


def best(taken: dict) -> float:
    return min(value for name, value in taken.items() if name not in OURS)


def verdict(met: bool) -> str:
    return "met" if met else "not met"


def precision_table(folder: Path) -> str:
    """What a head over the encoder answers rightly, by how finely the encoder computes."""
    rows = []
    for name in TASKS:
        found = data.named(name)
        train, devtest = (data.read(folder, files, found.label) for files in (found.train, found.devtest))
        labels = data.all_labels(found, train, devtest)
        right = {precision: accuracy(found, labels, train, devtest, precision) for precision, _ in OURS.values()}
        lost = (right["f32"] - right["bf16"]) * 100
        rows.append([name, f"{len(devtest.texts):,}", *(f"{share:.4f}" for share in right.values()), f"{lost:.2f}"])
    return tables.markdown(["accuracy on devtest, head over the encoder as it came", "rows", "f32", "bf16", "points lost"], rows)


def accuracy(found: data.DataSet, labels: list[str], train: data.Rows, devtest: data.Rows, precision: str) -> float:
    workspace = sprat.Workspace(f"{found.name}_{precision}")
    model = f'kind = "encoder"\nsource = "path:{MODEL.resolve()}"\nfine_tune = "never"\nprecision = "{precision}"\n'
    workspace.configure(f"[models.encoder]\n{model}")
    files = workspace.rows("train", train), workspace.rows("devtest", devtest)
    task = workspace.task("intents", found, labels, 0.05)
    task.write_text(task.read_text(encoding="utf-8").replace('rungs = ["linear"]', 'rungs = ["encoder"]'), encoding="utf-8")
    workspace.sprat("learn", "intents", files[0])
    return workspace.sprat("eval", "intents", files[1])["accuracy"]
