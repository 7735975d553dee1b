"""How fast local language models answer: Sprat's engine and llama.cpp's own loop on the same files, by turns in one run."""

import json
import statistics
from pathlib import Path

from . import sprat, tables

PEER = Path(__file__).parent.with_name("llama_peer")
BUILT = Path("target/llama-peer")
MODELS = Path("target/bench/decoders")
THREADS, LEAST = 2, 0.95
# The larger one takes minutes a turn.
TURNS = {"smollm2-135m": 3, "tinyllama-1.1b": 2}
STORED = "q4_0"
# Twenty prompts apart take the larger one too long.
LABELS_OF = "smollm2-135m"


def measure(folder: Path, arguments) -> dict[str, str]:
    peer, version = built()
    rows, short = [], []
    for shape, turns in TURNS.items():
        file = model(shape)
        ours, theirs, ours_first, theirs_first = [], [], [], []
        for _ in range(turns):
            ours.append(sprat.asked([sprat.example("engine_speed"), "time", file, THREADS]))
            tokens, few = ours[-1]["prefill_tokens"], ours[-1]["short_tokens"]
            theirs.append(sprat.asked([peer, "time", file, THREADS, tokens, few]))
            first = sprat.asked([sprat.example("engine_speed"), "first", file, THREADS])
            ours_first.append(first["ms"])
            theirs_first.append(sprat.asked([peer, "first", file, THREADS, first["tokens"], 0])["ms"])
        name = f"{shape}, {STORED}"
        median = lambda found, key: statistics.median(run[key] for run in found)
        for what, key in [
            (f"reading {tokens} tokens, tokens/s", "prefill_tokens_per_s"),
            ("writing, tokens/s", "decode_tokens_per_s"),
            ("8 at once, tokens/s in all", "parallel_tokens_per_s"),
        ]:
            own, other = median(ours, key), median(theirs, key)
            rows.append([f"{name}: {what}", f"{own:.1f}", f"{other:.1f}", f"{own / other:.2f}", told(own / other >= LEAST, "at least 0.95")])
        own, other = statistics.median(ours_first), statistics.median(theirs_first)
        rows.append([f"{name}: cold start to the first token, ms", f"{own:.0f}", f"{other:.0f}", f"{own / other:.2f}", told(own <= 1.2 * other, "at most 1.2")])
        if shape == LABELS_OF:
            found = sprat.asked([sprat.example("engine_speed"), "labels", file, THREADS])
            together, apart = found["together_ms"], found["apart_ms"]
            verdict = told(apart >= 8 * together, "at least 8")
            short.append([f"{name}: 20 labels of about 8 tokens behind 256, ms", f"{together:.0f}", f"{apart:.0f}", f"{apart / together:.1f}", verdict])
        resident = median(ours, "resident_mib")
        short.append([f"{name}: resident with a context of 2,048, MiB", f"{resident:.0f}", "", "", told(resident < 1000, "under 1 GB") if "1.1b" in shape else ""])
    header = [f"{THREADS} threads", "Sprat's engine", "llama.cpp's loop", "ratio", "target"]
    other = ["", "together", "20 prompts", "ratio", "target"]
    text = f"{tables.markdown(header, rows)}\n\n{tables.markdown(other, short)}"
    return {"decoder": f"{text}\n\n{tables.conditions('bench/run decoder', ())}, llama.cpp of llama-cpp-sys-2 {version}"}


def built() -> tuple[Path, str]:
    """The peer, built for this machine from the source that the crate has, and the crate's version."""
    known = json.loads(sprat.run(["cargo", "metadata", "--format-version", "1", "--locked"]))["packages"]
    crate = next(package for package in known if package["name"] == "llama-cpp-sys-2")
    source = Path(crate["manifest_path"]).parent / "llama.cpp"
    sprat.run(["cmake", "-S", PEER, "-B", BUILT, f"-DLLAMA_SOURCE={source}", "-DCMAKE_BUILD_TYPE=Release"])
    sprat.run(["cmake", "--build", BUILT, "--target", "llama_peer", "--parallel", "2"])
    return (BUILT / "llama_peer").resolve(), crate["version"]


def told(is_met: bool, target: str) -> str:
    return f"{target}: {'met' if is_met else 'not met'}"


def model(shape: str) -> Path:
    """A model of numbers drawn by lot in this shape, made smaller."""
    MODELS.mkdir(parents=True, exist_ok=True)
    file = (MODELS / f"{shape}-{STORED}.gguf").resolve()
    if not file.exists():
        whole = (MODELS / f"{shape}.gguf").resolve()
        sprat.run([sprat.example("engine_speed"), "make", shape, whole])
        sprat.run([sprat.binary(), "models", "quantize", f"path:{whole}", file, "--to", STORED])
        whole.unlink()
    return file
