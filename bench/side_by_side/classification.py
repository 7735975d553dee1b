"""Every classification set: accuracy trained on all rows, and what can be certified when rows are kept away for it."""

import json
import sys
from pathlib import Path

from . import data, measures, peers, sprat, tables

PROMISES = [0.10, 0.05, 0.02]


def measure(folder: Path, arguments) -> dict[str, str]:
    wanted = arguments.sets.split(",") if arguments.sets else [found.name for found in data.SETS]
    results = {}
    for name in wanted:
        print(f"-- {name}", file=sys.stderr, flush=True)
        results[name] = of_set(folder, data.named(name))
        kept = sprat.WORK / "classification.json"
        kept.write_text(json.dumps(results, indent=1), encoding="utf-8")
    conditions = tables.conditions("bench/run classification")
    parts = [accuracy_table(results), f1_table(results), several_labels_table(results), conditions]
    return {
        "accuracy": "\n\n".join(part for part in parts if part),
        "scope": f"{scope_table(results)}\n\n{conditions}",
        "coverage": f"{coverage_table(results)}\n\n{conditions}",
        "other-data": f"{devtest_table(results)}\n\n{conditions}",
        "targets": f"{targets_table(results)}\n\n{conditions}",
    }


def of_set(folder: Path, found: data.DataSet) -> dict:
    train, devtest = (data.read(folder, files, found.label) for files in (found.train, found.devtest))
    labels = data.all_labels(found, train, devtest)
    workspace = sprat.Workspace(found.name)
    files = workspace.rows("train", train), workspace.rows("devtest", devtest)
    said = {"Sprat": fitted_on_all(workspace, found, labels, *files)}
    for peer in peers.PEERS:
        said[peer.name] = peers.on_all(peer, train, devtest, labels, found.multi)
        print(f"   {peer.name} accuracy {measures.accuracy(devtest.labels, said[peer.name]):.4f}", file=sys.stderr, flush=True)
    right = devtest.labels
    return {
        "rows": [len(train), len(devtest)],
        "labels": len(labels),
        "multi": found.multi,
        "accuracy": {name: measures.accuracy(right, answers) for name, answers in said.items()},
        "f1": {name: measures.f1(right, answers) for name, answers in said.items()},
        "mcnemar": measures.mcnemar(right, said["Sprat"], said["SVM"]),
        "scope": {
            name: measures.scope(right, answers, found.out_of_scope)
            for name, answers in said.items()
            if found.out_of_scope
        },
        "selective": selective(workspace, found, labels, train, devtest, *files),
    }


def fitted_on_all(workspace, found, labels, train: Path, devtest: Path) -> list[str]:
    task = workspace.task("all", found, labels, 0.05)
    answers = sprat.asked([sprat.example("rung_answers"), "linear", task, devtest, train])["answers"]
    return [answer if answer is not None else "" for answer in answers]


def selective(workspace, found, labels, train, devtest, train_file: Path, devtest_file: Path) -> list[dict]:
    """For each promise: Sprat by `learn` and `eval`, the peers on the very rows that `learn` split off."""
    results = []
    for max_error in PROMISES:
        name = f"at{round(100 * (1 - max_error))}"
        task = workspace.task(name, found, labels, max_error)
        split = sprat.asked([sprat.example("split_rows"), task, train_file])
        learned = workspace.sprat("learn", name, train_file)
        evaluated = workspace.sprat("eval", name, devtest_file, "--release", learned["release"].split("@")[1])
        result = {"max_error": max_error, "Sprat": of_sprat(learned, evaluated)}
        rows = learned["evidence"]["rows"]
        if [rows["train"], rows["certification"]] != [len(split["train"]), len(split["certification"])]:
            raise sprat.Failed(f"split_rows and learn disagree about {found.name}: {rows} {len(split['train'])}")
        for peer in peers.PEERS:
            judged = peers.selective(peer, train, split, devtest, labels, found.multi)
            result[peer.name] = of_peer(judged, max_error)
        results.append(result)
        shown = {who: (found_["status"], found_["accepted"], found_["n"]) for who, found_ in result.items() if who != "max_error"}
        print(f"   {name} {shown}", file=sys.stderr, flush=True)
    return results


def of_sprat(learned: dict, evaluated: dict) -> dict:
    certificate = learned["evidence"]["certificate"]
    rung = learned["evidence"]["rungs"][0]
    return {
        "status": certificate["status"],
        "n": certificate["n"],
        "accepted": certificate["accepted"] if certificate["status"] == "certified" else 0,
        "bad": certificate["bad"],
        "accuracy": rung["accuracy"],
        "devtest": [evaluated["coverage"], evaluated["selective_accuracy"]],
    }


def of_peer(judged: dict, max_error: float) -> dict:
    given = {"max_errors": [max_error], "confidence": 0.95, "tuning": judged["tuning"], "fresh": judged["fresh"]}
    [verdict] = sprat.asked([sprat.example("certify_scores")], json.dumps(given))
    threshold = verdict["threshold"]
    taken = [right for sure, right in judged["devtest"] if threshold is not None and sure > threshold]
    return {
        "status": verdict["status"],
        "n": verdict["n"],
        "accepted": verdict["accepted"],
        "bad": verdict["bad"],
        "accuracy": sum(right for _, right in judged["fresh"]) / max(len(judged["fresh"]), 1),
        "devtest": [len(taken) / len(judged["devtest"]), sum(taken) / len(taken) if taken else None],
    }


def names() -> list[str]:
    return ["Sprat", *(peer.name for peer in peers.PEERS)]


def accuracy_table(results: dict) -> str:
    header = ["accuracy", "rows taught", "rows asked", "labels", *names(), "only Sprat / only SVM right", "p (McNemar)"]
    rows = []
    for name, result in results.items():
        one, other, p = result["mcnemar"]
        cells = [name, *(f"{count:,}" for count in result["rows"]), str(result["labels"])]
        cells += [tables.share(result["accuracy"][who]) for who in names()]
        rows.append([*cells, f"{one} / {other}", f"{p:.3f}" if p >= 0.001 else "< .001"])
    return tables.markdown(header, rows)


def f1_table(results: dict) -> str:
    rows = [[name, *(tables.share(result["f1"][who][0]) for who in names())] for name, result in results.items()]
    return tables.markdown(["macro-F1", *names()], rows)


def several_labels_table(results: dict) -> str:
    several = {name: result for name, result in results.items() if result["multi"]}
    rows = [
        [name, who, tables.share(result["f1"][who][1]), tables.share(result["f1"][who][0]), tables.share(result["accuracy"][who])]
        for name, result in several.items()
        for who in names()
    ]
    return tables.markdown(["several labels a row", "who", "micro-F1", "macro-F1", "exactly the right set"], rows) if rows else ""


def scope_table(results: dict) -> str:
    rows = [
        [name, str(scope["rows"]), who, tables.share(scope["recall"]), tables.share(scope["in_scope_accuracy"])]
        for name, result in results.items()
        for who, scope in result["scope"].items()
    ]
    return tables.markdown(["set", "rows out of scope", "who", "recall out of scope", "accuracy in scope"], rows)


def coverage_table(results: dict) -> str:
    header = ["set", "promise", "rows to certify", *names()]
    rows = [
        [name, promised(result), f"{result['Sprat']['n']:,}", *(certified(result[who]) for who in names())]
        for name, found in results.items()
        for result in found["selective"]
    ]
    return tables.markdown(header, rows)


def promised(result: dict) -> str:
    return f"{round(100 * (1 - result['max_error']))}%"


def certified(result: dict) -> str:
    if result["status"] != "certified":
        return result["status"]
    return f"{result['accepted'] / result['n']:.3f} ({result['bad']} of {result['accepted']:,} wrong)"


def devtest_table(results: dict) -> str:
    def cell(result: dict) -> str:
        coverage, right = result["devtest"]
        return "–" if right is None else f"{coverage:.3f}, {tables.percent(1 - right)} wrong"

    header = ["set", "promise", *names()]
    rows = [
        [name, promised(result), *(cell(result[who]) for who in names())]
        for name, found in results.items()
        for result in found["selective"]
    ]
    return tables.markdown(header, rows)


def targets_table(results: dict) -> str:
    """The design's targets for the linear rung that these sets decide, met or not."""
    rows = []

    def at_least(what: str, wanted: float, found: float) -> None:
        rows.append([what, f"{wanted:.3f}", f"{found:.3f}", "met" if found >= wanted else f"not met, by {wanted - found:.3f}"])

    if "banking77" in results:
        at_least("Banking77 accuracy", 0.925, results["banking77"]["accuracy"]["Sprat"])
        [at95] = [result for result in results["banking77"]["selective"] if result["max_error"] == 0.05]
        share = {who: at95[who]["accepted"] / at95[who]["n"] for who in names()}
        at_least("Banking77 coverage at 95%: 2 points above the SVM", share["SVM"] + 0.02, share["Sprat"])
    if "clinc150" in results:
        at_least("CLINC150 accuracy in scope", 0.93, results["clinc150"]["scope"]["Sprat"]["in_scope_accuracy"])
    for name in ("davidson_hate", "sst2", "headlines_gold"):
        if name in results:
            ours, theirs = (results[name]["accuracy"][who] for who in ("Sprat", "SVM"))
            p = results[name]["mcnemar"][2]
            verdict = "met" if ours >= theirs else "not met: worse" if p < 0.05 else f"met: no difference by McNemar (p = {p:.2f})"
            rows.append([f"{name} accuracy: not worse than the SVM", f"{theirs:.3f}", f"{ours:.3f}", verdict])
    return tables.markdown(["target", "wanted", "found", ""], rows)
