"""Sprat through its public path: the binary, and the small example programs beside it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from .data import DataSet, Rows, write_csv

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
WORK = Path("target/bench")
EXAMPLES = {
    "sprat-learn": ["split_rows", "certify_scores", "certify_recall", "rung_answers", "tagger_spans"],
    "sprat-engine": ["engine_speed", "hop"],
    "sprat-models": ["encoder_speed", "encoder_steps", "linear_speed"],
}


class Failed(Exception):
    """A command ended with a fault."""


def build() -> None:
    """Builds the release binary and the examples, unless SPRAT_BENCH_BUILT names the commit whose are there."""
    if os.environ.get("SPRAT_BENCH_BUILT"):
        return
    run(["cargo", "build", "--release", "-p", "sprat"])
    for package, names in EXAMPLES.items():
        features = ["--features", "llama"] if package == "sprat-engine" else []
        run(["cargo", "build", "--release", "-p", package, *features, *(word for name in names for word in ("--example", name))])


def binary() -> Path:
    return (TARGET / "release" / "sprat").resolve()


def example(name: str) -> Path:
    return (TARGET / "release" / "examples" / name).resolve()


def run(command: list, given: str | None = None) -> str:
    done = subprocess.run([str(word) for word in command], input=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode not in (0, None):
        raise Failed(f"{' '.join(str(word) for word in command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout


def asked(command: list, given: str | None = None):
    """Runs a command and reads the JSON it prints."""
    return json.loads(run(command, given))


def version() -> str:
    commit = os.environ.get("SPRAT_BENCH_BUILT") or run(["git", "rev-parse", "--short", "HEAD"]).strip()
    return f"{run([binary(), '--version']).strip()} ({commit})"


class Workspace:
    """A workspace of its own for one data set, made anew."""

    def __init__(self, name: str):
        self.root = (WORK / "workspaces" / name).resolve()
        shutil.rmtree(self.root, ignore_errors=True)
        (self.root / "tasks").mkdir(parents=True)
        self.configure("")

    def configure(self, text: str) -> None:
        (self.root / "sprat.toml").write_text(text, encoding="utf-8")

    def rows(self, name: str, rows: Rows) -> Path:
        path = self.root / f"{name}.csv"
        write_csv(path, rows)
        return path

    def task(self, name: str, found: DataSet, labels: list[str], max_error: float, more: str = "") -> Path:
        (self.root / "tasks" / "labels.txt").write_text("\n".join(labels) + "\n", encoding="utf-8")
        scope = f'out_of_scope = "{found.out_of_scope}"\n' if found.out_of_scope else ""
        multi = "multi = true\n" if found.multi else ""
        path = self.root / "tasks" / f"{name}.toml"
        path.write_text(
            f'kind = "classify"\nlabels_from = "labels.txt"\n{multi}{scope}rungs = ["linear"]\n{more}'
            f"[target]\nmax_error = {max_error}\nconfidence = 0.95\nrisk = \"selective\"\n",
            encoding="utf-8",
        )
        return path

    def sprat(self, *arguments):
        """Runs `sprat ... --json` here and reads what it prints."""
        print(f"   sprat {' '.join(str(Path(word).name) for word in arguments)}", file=sys.stderr, flush=True)
        return asked([binary(), *arguments, "--json", "--workspace", self.root])
