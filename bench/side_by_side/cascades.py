"""Recorded large models above Sprat's linear rung: what the cascade would have cost and scored."""

import csv
import json
import re
from pathlib import Path

from . import data, measures, sprat, tables

PROMISES = [0.10, 0.05]
# Tokens a call is charged for: the recorded answers come without counts.
ZERO_SHOT_TOKENS = 600
OPTIMISED_TOKENS = 1_500
ANSWER_TOKENS = 10


def measure(folder: Path, arguments) -> dict[str, str]:
    headlines, banking = of_headlines(folder), of_banking(folder)
    conditions = tables.conditions("bench/run cascades")
    return {"headlines": f"{headlines}\n\n{conditions}", "banking-cascade": f"{banking}\n\n{conditions}"}


# --- HEADLINES: published accuracy and cost of each model, our measured rung below it


def of_headlines(folder: Path) -> str:
    found = data.named("headlines_gold")
    train, devtest = (data.read(folder, files, found.label) for files in (found.train, found.devtest))
    workspace = sprat.Workspace("headlines_cascade")
    files = workspace.rows("train", train), workspace.rows("devtest", devtest)
    rungs = {promise: accepted(workspace, found, train, devtest, *files, promise) for promise in PROMISES}
    rows = []
    for model in published(folder):
        cells = [model["name"], tables.share(model["accuracy"]), dollars(model["cost"])]
        for rung in rungs.values():
            cells += [f"{expected(rung, model):.3f} (at least {at_least(rung, model):.3f})", dollars((1 - rung["coverage"]) * model["cost"])]
        rows.append(cells)
    for point in frugal(folder):
        rows.append([point["name"], tables.share(point["accuracy"]), dollars(point["cost"]), *["–"] * (2 * len(rungs))])
    whole = rungs[PROMISES[0]]["accuracy"]
    rows.append(["Sprat linear alone, answering everything", tables.share(whole), dollars(0.0), *["–"] * (2 * len(rungs))])
    header = ["model", "accuracy alone", "$ per 1,000"]
    for promise, rung in rungs.items():
        name = f"below it, Sprat at {round(100 * (1 - promise))}% ({rung['coverage']:.3f} answered small)"
        header += [f"{name}: accuracy", "$ per 1,000"]
    return tables.markdown(header, rows)


def accepted(workspace, found, train, devtest, train_file, devtest_file, promise: float) -> dict:
    """Coverage and rightness of the rung on devtest, at the threshold that `learn` certified."""
    name = f"at{round(100 * (1 - promise))}"
    workspace.task(name, found, data.all_labels(found, train, devtest), promise)
    learned = workspace.sprat("learn", name, train_file)
    evaluated = workspace.sprat("eval", name, devtest_file, "--release", learned["release"].split("@")[1])
    coverage = evaluated["coverage"]
    return {
        "coverage": coverage,
        "right": coverage * (evaluated["selective_accuracy"] or 0.0),
        "accuracy": evaluated["accuracy"],
    }


def expected(rung: dict, model: dict) -> float:
    """Were the large model as often right on what climbs to it as on everything."""
    return rung["right"] + (1 - rung["coverage"]) * model["accuracy"]


def at_least(rung: dict, model: dict) -> float:
    """Were all that the large model gets right of what the rung answers taken off it: the worst there can be."""
    return rung["right"] + max(0.0, model["accuracy"] - rung["coverage"])


def published(folder: Path) -> list[dict]:
    points = [point for point in _points(folder, "summary_HEADLINES_e8_full_2024.csv") if point["provider"] != "FrugalGPT"]
    return sorted(points, key=lambda point: point["cost"])


def frugal(folder: Path) -> list[dict]:
    """FrugalGPT's points, each pair of accuracy and cost once, at most one a tenth of a point of accuracy."""
    points = {
        f"{point['accuracy']:.3f}": {**point, "name": "FrugalGPT"}
        for file in ("headlines_e8_perf_seed_9_2024updatedmodel.csv", "summary_HEADLINES_e8_full_2024.csv")
        for point in reversed(_points(folder, file))
        if point["provider"] == "FrugalGPT" and point["cost"] < 0.01 and point["name"] == "FrugalGPT"
    }
    return sorted(points.values(), key=lambda point: point["cost"])


def _points(folder: Path, file: str) -> list[dict]:
    with open(folder / "llm_cost_accuracy" / file, newline="", encoding="utf-8") as lines:
        return [
            {"name": row["Method"], "provider": row["Provider"], "accuracy": float(row["Test_acc"]), "cost": float(row["Test_cost"])}
            for row in csv.DictReader(lines)
        ]


def dollars(each: float) -> str:
    return f"{1_000 * each:.4f}"


# --- Banking77: recorded answers of six large models to the same 262 texts


def of_banking(folder: Path) -> str:
    found = data.named("banking77")
    train = data.read(folder, found.train, found.label)
    asked, answers = recorded(folder, sorted(set(train.labels)))
    texts = {_folded(text) for text in asked.texts}
    taught = train.at([place for place, text in enumerate(train.texts) if _folded(text) not in texts])
    price = prices()
    results = {promise: climbs(found, train, taught, asked, answers, price, promise) for promise in PROMISES}
    rows = []
    for model, said in answers.items():
        cells = [model.replace("_", "-"), tables.share(measures.accuracy(asked.labels, said)), dollars(micro_dollars(model, price) / 1e6)]
        for climbed in results.values():
            result = climbed[model]
            cells += [tables.share(result["end_to_end_accuracy"]), dollars(result["cost_micro_usd"] / 1e6 / len(asked))]
        rows.append(cells)
    first = [next(iter(climbed.values())) for climbed in results.values()]
    alone = ["Sprat linear alone, answering everything", tables.share(first[0]["accuracy"]), dollars(0.0)]
    rows.append([*alone, *["–"] * (2 * len(results))])
    header = ["large model (prompt:model)", "accuracy alone", "$ per 1,000"]
    for promise, result in zip(results, first):
        error = "–" if result["selective_accuracy"] is None else f"{tables.percent(1 - result['selective_accuracy'])} wrong"
        name = f"with Sprat at {round(100 * (1 - promise))}% below it ({result['coverage']:.3f} answered small, {error})"
        header += [f"{name}: accuracy", "$ per 1,000"]
    return f"{len(asked)} texts, {len(taught):,} rows to learn from.\n\n{tables.markdown(header, rows)}"


def climbs(found, train, taught, asked, answers, price, promise: float) -> dict[str, dict]:
    """What `eval --large` says of each large model above one certified release, in a workspace that remembers none."""
    workspace = sprat.Workspace(f"banking77_cascade_{round(100 * (1 - promise))}")
    files = workspace.rows("train", taught), workspace.rows("asked", asked)
    labels = data.all_labels(found, train)
    # The answers' file prices none of the rows to learn from: the release is certified by coverage, without a large model.
    workspace.task("ladder", found, labels, promise)
    workspace.sprat("learn", "ladder", files[0], "--promote")
    workspace.configure('[models.large]\nkind = "remote"\nprovider = "replay"\npath = "answers.jsonl"\n')
    workspace.task("ladder", found, labels, promise, 'large = "large"\n')
    results = {}
    for model, said in answers.items():
        replay(workspace, asked, said, micro_dollars(model, price))
        results[model] = workspace.sprat("eval", "ladder", files[1], "--large")
    return results


def recorded(folder: Path, labels: list[str]) -> tuple[data.Rows, dict[str, list[str]]]:
    """The texts with their gold labels, and each model's answers in the task's own spelling."""
    with open(folder / "banking77_llm_outputs" / "answers.csv", newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    spelled = {_plain(label): label for label in labels}
    spell = lambda label: spelled.get(_plain(label), label)
    models = [column for column in rows[0] if ":" in column]
    asked = data.Rows([row["text"] for row in rows], [spell(row["gold"]) for row in rows])
    return asked, {model: [spell(row[model]) for row in rows] for model in models}


def replay(workspace: sprat.Workspace, asked: data.Rows, said: list[str], cost: int) -> None:
    lines = [{"provenance": "recorded"}]
    lines += [{"text": text, "answer": answer, "cost_micro_usd": cost} for text, answer in zip(asked.texts, said)]
    (workspace.root / "answers.jsonl").write_text("\n".join(json.dumps(line) for line in lines) + "\n", encoding="utf-8")


def prices() -> dict[str, dict]:
    table = json.loads(Path("crates/models/prices.json").read_text(encoding="utf-8"))
    return {model["name"]: model for model in table["models"]}


# The recorded models' names in the price table. GPT-5.2 is not in it: the dearest of its family stands in.
PRICED_AS = {"claude_4_5_sonnet": "claude-sonnet-4-5", "gpt_5_2": "gpt-5.1", "gpt_5_mini": "gpt-5-mini"}


def micro_dollars(model: str, price: dict[str, dict]) -> int:
    prompt, name = model.split(":")
    found = price[PRICED_AS[name]]
    tokens = ZERO_SHOT_TOKENS if prompt == "zeroshot" else OPTIMISED_TOKENS
    return round((tokens * found["input"] + ANSWER_TOKENS * found["output"]) / 1e6)


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")


def _folded(text: str) -> str:
    return " ".join(text.lower().split())
