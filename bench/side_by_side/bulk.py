"""`sprat run` over many short texts, with the ledger on: time and memory."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

from . import data, sprat, tables


def measure(folder: Path, arguments) -> dict[str, str]:
    found = data.named("banking77")
    train = data.read(folder, found.train, found.label)
    workspace = sprat.Workspace("bulk")
    labels = data.all_labels(found, train)
    workspace.task("bulk", found, labels, 0.05)
    workspace.sprat("learn", "bulk", workspace.rows("train", train), "--promote")
    texts = _texts(workspace.root / "texts.csv", train.texts, arguments.rows)
    done = _run([sprat.binary(), "run", "bulk", texts, "-o", workspace.root / "answers.csv", "--json", "--workspace", workspace.root])
    written = sum(1 for _ in open(workspace.root / "answers.csv", encoding="utf-8")) - 1
    if written != arguments.rows:
        raise sprat.Failed(f"{arguments.rows:,} texts went in and {written:,} answers came out")
    ledger = sum(file.stat().st_size for file in (workspace.root / ".sprat").glob("*.db*"))
    rows = [
        ["texts", f"{arguments.rows:,}"],
        ["wall, s", f"{done['wall_s']:.1f}"],
        ["texts a second", f"{arguments.rows / done['wall_s']:,.0f}"],
        ["CPU, s", f"{done['cpu_s']:.1f}"],
        ["CPU a text, µs", f"{1e6 * done['cpu_s'] / arguments.rows:.0f}"],
        ["largest memory, MB", f"{done['peak_mb']:.0f}"],
        ["input, MB", f"{texts.stat().st_size / 1e6:.0f}"],
        ["store with the ledger afterwards, MB", f"{ledger / 1e6:.0f}"],
    ]
    for file in (texts, workspace.root / "answers.csv"):
        file.unlink()
    return {"bulk": f"{tables.markdown(['`sprat run`, ledger on', ''], rows)}\n\n{tables.conditions('bench/run bulk')}"}


def _texts(path: Path, texts: list[str], rows: int) -> Path:
    """Short texts of 4 to 15 words drawn from the training texts' words, as often as they stand there."""
    draw = random.Random(0)
    words = [word.replace('"', "") for text in texts for word in text.split()]
    with open(path, "w", encoding="utf-8") as file:
        file.write("text\n")
        for _ in range(rows):
            file.write('"' + " ".join(draw.choices(words, k=draw.randint(4, 15))) + '"\n')
    return path


def _run(command: list) -> dict:
    """Runs a command and gives its wall time, CPU time and largest resident memory."""
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=sys.stderr)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise sprat.Failed(f"sprat run ended with {process.returncode}")
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mb": used.ru_maxrss / 1e3,
    }
