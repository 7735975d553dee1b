"""bench/run: which measurements, on which data."""

import argparse
import importlib
import os
import sys
from pathlib import Path

from . import data, sprat, tables

PARTS = ["classification", "moderation", "extraction", "speed", "encoder", "cascades", "bulk", "encoders", "few_shot", "training", "decoder", "hop"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench/run", description="Measure Sprat beside other libraries.")
    parser.add_argument("part", nargs="?", default="all", choices=[*PARTS, "all"])
    parser.add_argument("--data", type=Path, help="the folder of data sets; $SPRAT_DATA, else ../shared/data")
    parser.add_argument("--sets", help="only these sets of classification, extraction, encoders and few_shot, separated by commas")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the bulk run")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/benchmarks.md")
    arguments = parser.parse_args()
    folder = arguments.data or Path(os.environ.get("SPRAT_DATA", "../shared/data"))
    try:
        data.require(folder)
        sprat.build()
        for part in PARTS if arguments.part == "all" else [arguments.part]:
            print(f"== {part}", file=sys.stderr, flush=True)
            sections = importlib.import_module(f".{part}", __package__).measure(folder, arguments)
            for name, text in sections.items():
                tables.keep(name, text)
                if arguments.write:
                    tables.write(name, text)
    except (data.Missing, sprat.Failed) as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
