"""How a table looks, under what conditions it was measured, and where it goes."""

import datetime
import os
import platform
from importlib.metadata import version
from pathlib import Path

from . import sprat

PAGE = Path("docs/benchmarks.md")


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table; every column but the first is aligned right."""
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [header, rule, *rows])


def share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}%"


def spread(values: list[float], form: str = "{:.3f}") -> str:
    """The mean, and the least and the most where they differ."""
    least, mean, most = (form.format(value) for value in (min(values), sum(values) / len(values), max(values)))
    return mean if least == most else f"{mean} ({least} to {most})"


def conditions(command: str, names: tuple[str, ...] = ("scikit-learn", "fasttext-wheel", "numpy")) -> str:
    """The command, the machine, the day and the versions, in one paragraph."""
    versions = ", ".join([sprat.version(), *(f"{name} {version(name)}" for name in names)])
    load = os.getloadavg()[0]
    return (
        f"`{command}` · {os.cpu_count()} cores, {_processor()} · {datetime.date.today().isoformat()} · "
        f"{versions}, Python {platform.python_version()} · load average {load:.1f} when it ended"
    )


def keep(name: str, text: str) -> None:
    folder = sprat.WORK
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text + "\n", encoding="utf-8")
    print(text, "\n", flush=True)


def write(name: str, text: str) -> None:
    """Replaces what stands between the section's marks in docs/benchmarks.md."""
    begin, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    page = PAGE.read_text(encoding="utf-8")
    if begin not in page or end not in page:
        raise sprat.Failed(f"{PAGE} has no section {begin} ... {end}")
    before, rest = page.split(begin, 1)
    after = rest.split(end, 1)[1]
    PAGE.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in found:
        return platform.processor() or platform.machine()
    return f"{found['model name']} (family {found.get('cpu family', '?')}, model {found.get('model', '?')})"
