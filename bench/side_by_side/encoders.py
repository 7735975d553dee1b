"""A ladder of the linear rung and an encoder, as `learn` makes it: what each got, what it took, and the certificate; beside what others make
of the same rows and the same encoder."""

import json
import os
import resource
import sys
from pathlib import Path

from . import classification, data, measures, minilm_peers, peers, sprat, tables

SETS = ["banking77", "clinc150", "sst2", "davidson_hate"]
BASE = Path(os.environ.get("SPRAT_ENCODER", "target/models/all-MiniLM-L6-v2"))
MAX_ERROR = 0.05
# Fine-tuned once more with no rows kept to certify on: as long again as `learn`.
ON_ALL = ["banking77"]


def measure(folder: Path, arguments) -> dict[str, str]:
    require_base()
    wanted = arguments.sets.split(",") if arguments.sets else SETS
    minilm_peers.Vectors.model = BASE
    results = {}
    for name in wanted:
        results[name] = of_set(folder, data.named(name))
        (sprat.WORK / "encoders.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    conditions = tables.conditions("bench/run encoders", ("scikit-learn", "onnxruntime", "numpy"))
    found = [tried_table(results), ladder_table(results), beside_table(results), on_all_table(results), conditions]
    return {"encoders": "\n\n".join(part for part in found if part)}


def require_base() -> None:
    if not (BASE / "model.safetensors").exists():
        raise data.Missing(f"{BASE}/model.safetensors is missing: `make minilm` fetches it, or SPRAT_ENCODER names another folder")


def model(settings: str = "") -> str:
    """The encoder as `sprat.toml` declares it."""
    return f'[models.encoder]\nkind = "encoder"\nsource = "path:{BASE.resolve()}"\n{settings}'


def of_set(folder: Path, found: data.DataSet) -> dict:
    print(f"-- {found.name}", file=sys.stderr, flush=True)
    train, devtest = (data.read(folder, files, found.label) for files in (found.train, found.devtest))
    labels = data.all_labels(found, train, devtest)
    workspace = sprat.Workspace(f"{found.name}_encoder")
    workspace.configure(model())
    files = workspace.rows("train", train), workspace.rows("devtest", devtest)
    task = workspace.task("ladder", found, labels, MAX_ERROR)
    task.write_text(task.read_text(encoding="utf-8").replace('rungs = ["linear"]', 'rungs = ["linear", "encoder"]'), encoding="utf-8")
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    learned = workspace.sprat("learn", "ladder", files[0])
    cpu_s = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    evaluated = workspace.sprat("eval", "ladder", files[1])
    split = sprat.asked([sprat.example("split_rows"), task, files[0]])
    result = {"learned": learned, "evaluated": evaluated, "cpu_s": cpu_s}
    result["beside"] = {peer.name: beside(peer, train, split, devtest, labels, found) for peer in minilm_peers.PEERS}
    if found.name in ON_ALL:
        said = {"Sprat": fitted_on_all(task, *files)}
        said |= {peer.name: peers.on_all(peer, train, devtest, labels, found.multi) for peer in minilm_peers.PEERS}
        result["on_all"] = {name: measures.accuracy(devtest.labels, answers) for name, answers in said.items()}
        result["mcnemar"] = measures.mcnemar(devtest.labels, said["Sprat"], said[minilm_peers.SvmAndVectors.name])
        result["asked"] = len(devtest)
    return result


def beside(peer, train, split, devtest, labels, found) -> dict:
    """A peer on the very rows that `learn` taught and certified with."""
    judged = peers.selective(peer, train, split, devtest, labels, found.multi)
    accuracy = sum(right for _, right in judged["devtest"]) / len(devtest)
    return {**classification.of_peer(judged, MAX_ERROR), "devtest_accuracy": accuracy}


def fitted_on_all(task: Path, train: Path, devtest: Path) -> list[str]:
    """The encoder, blended with its linear model, with no rows kept to certify on."""
    answers = sprat.asked([sprat.example("rung_answers"), BASE.resolve(), task, devtest, train])["answers"]
    return [answer if answer is not None else "" for answer in answers]


def tried_table(results: dict) -> str:
    """What was compared in training, on training rows held out."""
    header = ["right, on rows held out in training", "rows", "linear", "frozen head", "frozen, blended", "fine-tuned", "fine-tuned, blended", "chosen"]
    rows = []
    for name, result in results.items():
        tried = result["learned"]["evidence"]["rungs"][1]["told"]["tried"]
        # Pairs are tried of few rows alone, and none of these sets is small.
        shares = [tables.share(found["accuracy"]) for found in tried] + ["–"] * (5 - len(tried))
        chosen = "fine-tuned" if any(found["chosen"] for found in tried[3:]) else "frozen"
        rows.append([name, f"{tried[0]['rows']:,}", *shares, chosen])
    return tables.markdown(header, rows)


def ladder_table(results: dict) -> str:
    """The ladder on its certification rows, and on devtest."""
    header = [
        "ladder", "taught", "certification rows", "linear alone", "encoder alone", "answered at 95%", "of these wrong",
        "devtest accuracy", "devtest answered", "of these wrong", "out-of-scope recall", "in scope", "CPU s of `learn`",
    ]
    rows = []
    for name, result in results.items():
        evidence, evaluated = result["learned"]["evidence"], result["evaluated"]
        linear, encoder = evidence["rungs"]
        certificate, scope = evidence["certificate"], evaluated.get("out_of_scope") or {}
        certified = certificate["status"] == "certified"
        wrong = evaluated["selective_accuracy"]
        rows.append([
            name, f"{evidence['rows']['train']:,}", f"{certificate['n']:,}", tables.share(linear["accuracy"]), tables.share(encoder["accuracy"]),
            tables.share(certificate["accepted"] / certificate["n"]) if certified else certificate["status"],
            f"{certificate['bad']:,}" if certified else "–",
            tables.share(evaluated["accuracy"]), tables.share(evaluated["coverage"]), tables.percent(None if wrong is None else 1 - wrong),
            tables.share(scope.get("recall")), tables.share(scope.get("in_scope_accuracy")), f"{result['cpu_s']:,.0f}",
        ])
    return tables.markdown(header, rows)


def beside_table(results: dict) -> str:
    """Everybody on the same rows, certified by the same procedure."""
    header = ["same rows, same procedure", "who", "right on certification rows", "answered at 95%", "of these wrong", "devtest accuracy"]
    rows = []
    for name, result in results.items():
        evidence = result["learned"]["evidence"]
        ladder = {**evidence["certificate"], "accuracy": evidence["ladder"]["accuracy"], "devtest_accuracy": result["evaluated"]["accuracy"]}
        for who, found in {"**Sprat's ladder**": ladder, **result["beside"]}.items():
            certified = found["status"] == "certified"
            rows.append([
                name, who, tables.share(found["accuracy"]), tables.share(found["accepted"] / found["n"]) if certified else found["status"],
                f"{found['bad']:,}" if certified else "–", tables.share(found["devtest_accuracy"]),
            ])
    return tables.markdown(header, rows)


def on_all_table(results: dict) -> str:
    """Everybody taught with all rows."""
    taught = {name: result for name, result in results.items() if "on_all" in result}
    if not taught:
        return ""
    who = [peer.name for peer in minilm_peers.PEERS]
    header = ["devtest accuracy, taught with all rows", "rows asked", "Sprat's encoder", *who, "only Sprat / only SVM + MiniLM right", "p (McNemar)"]
    rows = []
    for name, result in taught.items():
        one, other, p = result["mcnemar"]
        shares = [tables.share(result["on_all"][each]) for each in ["Sprat", *who]]
        rows.append([name, f"{result['asked']:,}", *shares, f"{one} / {other}", f"{p:.3f}" if p >= 0.001 else "< .001"])
    return tables.markdown(header, rows)
