"""A ladder of the linear rung and an encoder, as `learn` makes it: what each got, what it took, and the certificate."""

import os
import resource
import sys
from pathlib import Path

from . import data, sprat, tables

SETS = ["banking77", "clinc150", "sst2", "davidson_hate"]
BASE = Path(os.environ.get("SPRAT_ENCODER", "target/models/all-MiniLM-L6-v2"))
MAX_ERROR = 0.05


def measure(folder: Path, arguments) -> dict[str, str]:
    require_base()
    wanted = arguments.sets.split(",") if arguments.sets else SETS
    results = {name: of_set(folder, data.named(name)) for name in wanted}
    conditions = tables.conditions("bench/run encoders")
    return {"encoders": f"{tried_table(results)}\n\n{ladder_table(results)}\n\n{conditions}"}


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
    return {"learned": learned, "evaluated": workspace.sprat("eval", "ladder", files[1]), "cpu_s": cpu_s}


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
