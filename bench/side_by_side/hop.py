"""How long is the way to an engine's process and back, with nothing reckoned there?"""

from pathlib import Path

from . import sprat, tables

RUNS, MOST = 3, 100


def measure(folder: Path, arguments) -> dict[str, str]:
    runs = [sprat.asked([sprat.example("hop")]) for _ in range(RUNS)]
    rows = [[f"run {number}", *(f"{run[key]:.1f}" for key in ("p50_us", "p90_us", "p99_us"))] for number, run in enumerate(runs, 1)]
    met = "met" if all(run["p50_us"] < MOST for run in runs) else "not met"
    header = [f"one message and its answer, µs, {runs[0]['round_trips']:,} times (half under {MOST}: {met})", "half within", "90%", "99%"]
    return {"hop": f"{tables.markdown(header, rows)}\n\n{tables.conditions('bench/run hop', ())}"}
