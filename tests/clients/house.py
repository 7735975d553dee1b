"""What a suite needs around it: the mock upstream, a workspace with a certified task, and `sprat serve` on free ports."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from upstream import KEY, Upstream

ROOT = Path(__file__).resolve().parents[2]
TICKETS = ROOT / "examples" / "tickets"

# `large` is tried again by Sprat itself, as by default; `once` is not, so that what the client does can be seen.
# Nobody listens where `gone` is.
MODELS = """
[models.{name}]
kind = "remote"
provider = "compatible"
model = "gpt-mock-{name}"
base_url = "{url}/v1"
api_key = {{ env = "MOCK_OF_THE_UPSTREAM_KEY" }}
price = {{ input = 0.25, output = 2.0 }}
max_retries = {retries}
max_concurrency = 64
"""
NOBODY = "http://127.0.0.1:9"
MATCH = """
[match]
system_prompt_contains = "Which team should handle this ticket first?"
input = "last_user_message"
"""


def sprat():
    return os.environ.get("SPRAT", str(ROOT / "target" / "debug" / "sprat"))


def workspace(folder, upstream):
    """A workspace over the mock, with `tickets` learned from the labelled rows of the example, and certified."""
    models = [("large", upstream.url, 3), ("once", upstream.url, 0), ("gone", NOBODY, 0)]
    text = "".join(MODELS.format(name=name, url=url, retries=retries) for name, url, retries in models)
    (folder / "sprat.toml").write_text(text)
    (folder / "tasks").mkdir()
    task = (TICKETS / "tasks" / "tickets.toml").read_text()
    (folder / "tasks" / "tickets.toml").write_text(task + MATCH)
    command = [sprat(), "learn", "tickets", str(TICKETS / "rows.jsonl"), "--require-certified"]
    learned = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True)
    if learned.returncode != 0:
        raise SystemExit(f"sprat learn failed:\n{learned.stdout}{learned.stderr}")


def environment():
    return os.environ | {"MOCK_OF_THE_UPSTREAM_KEY": KEY}


@contextlib.contextmanager
def serving():
    """Starts all of it; gives the variables that a suite finds it by; stops all of it."""
    folder = Path(tempfile.mkdtemp(prefix="sprat-clients-"))
    upstream = Upstream()
    try:
        workspace(folder, upstream)
        command = [sprat(), "serve", "--json", "--listen", "127.0.0.1:0", "--management", "127.0.0.1:0"]
        served = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
        try:
            said = json.loads(read_object(served))
            yield {
                "OPENAI_BASE_URL": said["base_url"],
                "OPENAI_API_KEY": "sk-of-the-client",
                "SPRAT_MANAGEMENT": said["management_url"],
                "MOCK_URL": upstream.url,
                "TICKETS": str(TICKETS / "rows.jsonl"),
            }
        finally:
            served.send_signal(signal.SIGINT)
            if served.wait(timeout=30) != 0:
                raise SystemExit(f"sprat serve ended with status {served.returncode}")
    finally:
        upstream.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def read_object(process):
    """The JSON object that a command prints before it goes on running."""
    text = ""
    for line in process.stdout:
        text += line
        with contextlib.suppress(ValueError):
            json.loads(text)
            return text
    raise SystemExit(f"sprat serve said nothing that could be read: {text}")
