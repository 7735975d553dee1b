#!/usr/bin/env python3
"""Runs suites that others' clients make, against `sprat serve`: run.py [python] [node] [langchain] [litellm]

Each gets an environment of its own under target/clients, made again when its pinned versions change. One mock upstream,
one workspace and one server are started for all of them, and stopped at the end. SPRAT names another binary.
"""

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from guide import snippets
from house import ROOT, serving

HERE = Path(__file__).resolve().parent
MADE = ROOT / "target" / "clients"
# No caches beside the tests; and LiteLLM's prices from its package, not from the network.
QUIET = {"PYTHONDONTWRITEBYTECODE": "1", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
SUITES = ["python", "node", "langchain", "litellm"]


def main():
    suites = sys.argv[1:] or SUITES
    unknown = [suite for suite in suites if suite not in SUITES]
    if unknown:
        raise SystemExit(f"there is no suite {', '.join(unknown)}; there are: {', '.join(SUITES)}")
    commands = {suite: node() if suite == "node" else python(suite) for suite in suites}
    with serving() as variables:
        failed = [suite for suite in suites if not passes(suite, *commands[suite], variables)]
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def passes(suite, command, folder, variables):
    environment = os.environ | variables | QUIET
    print(f"== {suite}", flush=True)
    failed = [suite] if run(command, folder, environment) else []
    for heading, command in snippets(suite, MADE / suite):
        print(f"-- the guide's snippet for {heading}", flush=True)
        failed += [heading] if run(command, MADE / suite, environment) else []
        print()
    return not failed


def run(command, folder, environment):
    return subprocess.run(command, cwd=folder, env=environment).returncode


def python(suite):
    folder, pinned = MADE / suite, HERE / suite / "requirements.txt"
    if outdated(folder, pinned):
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "-r", pinned], check=True)
        made_from(folder, pinned)
    said = ["-q", "-rfExXs", "--tb=short", "--disable-warnings"]
    return [folder / "bin" / "python", "-m", "pytest", "-p", "no:cacheprovider", *said], HERE / suite


def node():
    """Modules are found from where a file lies, so that the tests are copied to where they are installed."""
    folder, suite = MADE / "node", HERE / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for file in suite.iterdir():
        shutil.copy(file, folder)
    pinned = suite / "package-lock.json"
    if outdated(folder, pinned):
        subprocess.run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], cwd=folder, check=True)
        made_from(folder, pinned)
    return ["node", "--test", "--test-reporter=spec", *sorted(file.name for file in suite.glob("*.test.mjs"))], folder


def outdated(folder, pinned):
    stamp = folder / "made-from"
    return not stamp.exists() or stamp.read_bytes() != pinned.read_bytes()


def made_from(folder, pinned):
    shutil.copy(pinned, folder / "made-from")


if __name__ == "__main__":
    main()
