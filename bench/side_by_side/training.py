"""How long a step of fine-tuning takes: Sprat and PyTorch on the same weights and shapes, by turns in one run."""

import os
import statistics
from pathlib import Path

from . import data, sprat, tables

MODEL = Path("target/models/all-MiniLM-L6-v2")
PEER = Path(__file__).with_name("torch_peer.py")
# An environment of its own: PyTorch is larger than everything else together.
PYTHON = Path(os.environ.get("SPRAT_TORCH_PYTHON", "target/bench-torch-venv/bin/python"))
THREADS, ROUNDS, MOST = 2, 3, 1.2
# Tokens of each of 32 rows, and steps of a round.
SHAPES = [(16, 20), (32, 12), (128, 4)]


def measure(folder: Path, arguments) -> dict[str, str]:
    if not (MODEL / "model.safetensors").exists():
        raise data.Missing(f"{MODEL} is not there; `make minilm` fetches it")
    if not PYTHON.exists():
        raise data.Missing(
            f"{PYTHON} is not there: `python3 -m venv target/bench-torch-venv && "
            "target/bench-torch-venv/bin/pip install -r bench/requirements-torch.txt` (some gigabytes)"
        )
    commands = {"Sprat": [sprat.example("encoder_steps")], "PyTorch": [PYTHON, PEER]}
    rows, peer = [], ""
    for tokens, steps in SHAPES:
        taken = {name: [] for name in commands}
        for _ in range(ROUNDS):
            for name, command in commands.items():
                found = sprat.asked([*command, MODEL, THREADS, tokens, steps])
                taken[name] += found["ms"]
                peer = found.get("torch", peer)
        medians = {name: statistics.median(ms) for name, ms in taken.items()}
        ratio = medians["Sprat"] / medians["PyTorch"]
        verdict = f"at most {MOST}: {'met' if ratio <= MOST else 'not met'}"
        rows.append([f"32 x {tokens} tokens, ms", *(f"{ms:.0f}" for ms in medians.values()), f"{ratio:.2f}", verdict])
    header = [f"one step of all-MiniLM-L6-v2, {THREADS} threads", *commands, "Sprat to PyTorch", "target"]
    return {"training": f"{tables.markdown(header, rows)}\n\n{tables.conditions('bench/run training', ())}, PyTorch {peer}"}
