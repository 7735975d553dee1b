"""Few rows a label: an encoder as it came beside one fine-tuned by pairs, on rows that neither has seen."""

import random
import resource
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

from . import data, encoders, sprat, tables

SETS = ["banking77", "sst2"]
ROWS_A_LABEL = [8, 16]
SEEDS = [1, 2, 3]
# `learn` keeps two rows of five to certify on: so many are given for each that is learned from.
GIVEN_FOR_ONE = 5 / 3
ASKED = 1_000
WAYS = {"as it came": "never", "by pairs": "contrastive"}


def measure(folder: Path, arguments) -> dict[str, str]:
    encoders.require_base()
    wanted = arguments.sets.split(",") if arguments.sets else SETS
    cells = [(name, rows) for name in wanted for rows in ROWS_A_LABEL]
    results = {(name, rows): [of_sample(folder, name, rows, seed) for seed in SEEDS] for name, rows in cells}
    return {"few-shot": f"{table(results)}\n\n{tables.conditions('bench/run few_shot')}"}


def of_sample(folder: Path, name: str, rows_a_label: int, seed: int) -> dict:
    print(f"-- {name}, {rows_a_label} rows a label, seed {seed}", file=sys.stderr, flush=True)
    found = data.named(name)
    # Both parts are of the training file: devtest is for the tables that nothing was chosen by.
    given, asked = sample(data.read(folder, found.train, found.label), round(rows_a_label * GIVEN_FOR_ONE), seed)
    workspace = sprat.Workspace(f"{name}_few_{rows_a_label}_{seed}")
    files = workspace.rows("given", given), workspace.rows("asked", asked)
    task = workspace.task("few", found, data.all_labels(found, given, asked), 0.05)
    task.write_text(task.read_text(encoding="utf-8").replace('["linear"]', '["encoder"]'), encoding="utf-8")
    return {way: of_way(workspace, files, word, seed) for way, word in WAYS.items()}


def of_way(workspace, files, fine_tune: str, seed: int) -> dict:
    workspace.configure(encoders.model(f'fine_tune = "{fine_tune}"\n'))
    cpu, wall = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime, time.monotonic()
    learned = workspace.sprat("learn", "few", files[0], "--promote", "--seed", str(seed))
    took = {"cpu_s": resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - cpu, "wall_s": time.monotonic() - wall}
    accuracy = workspace.sprat("eval", "few", files[1])["accuracy"]
    return {"evidence": learned["evidence"], "accuracy": accuracy, **took}


def sample(rows: data.Rows, rows_a_label: int, seed: int) -> tuple[data.Rows, data.Rows]:
    """So many rows of each label, and others to ask about."""
    order = list(range(len(rows)))
    random.Random(seed).shuffle(order)
    taken, given, rest = Counter(), [], []
    for place in order:
        label = rows.labels[place]
        taken[label] += 1
        (given if taken[label] <= rows_a_label else rest).append(place)
    return rows.at(given), rows.at(rest[:ASKED])


def table(results: dict) -> str:
    """Mean over the seeds, and from the least to the most."""
    header = ["right, on rows not seen", "labels", "rows learned from", *WAYS, "gained, by seed", "chosen by measurement", "wall s of `learn`, by pairs"]
    rows = []
    for (name, rows_a_label), samples in results.items():
        evidence = [sample["by pairs"]["evidence"] for sample in samples]
        gained = [100 * (sample["by pairs"]["accuracy"] - sample["as it came"]["accuracy"]) for sample in samples]
        chosen = [sample["by pairs" if is_better(found) else "as it came"]["accuracy"] for sample, found in zip(samples, evidence)]
        rows.append([
            f"{name}, about {rows_a_label} a label",
            str(len(evidence[0]["plots"]["labels"])),
            tables.spread([found["rows"]["train"] for found in evidence], "{:,.0f}"),
            *(tables.spread([sample[way]["accuracy"] for sample in samples]) for way in WAYS),
            ", ".join(f"{points:+.1f}" for points in gained),
            f"{statistics.mean(chosen):.3f}",
            tables.spread([sample["by pairs"]["wall_s"] for sample in samples], "{:.0f}"),
        ])
    return tables.markdown(header, rows)


def is_better(evidence: dict) -> bool:
    """Whether `fine_tune = "auto"` would have kept the fine-tuned encoder: it is right more often on rows held out."""
    tried = evidence["rungs"][0]["told"]["tried"]
    return tried[4]["accuracy"] > tried[2]["accuracy"]
