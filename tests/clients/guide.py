"""The snippets of docs/guides/point-your-client.md, so that each suite also runs those of its client."""

import re

from house import ROOT

GUIDE = ROOT / "docs" / "guides" / "point-your-client.md"
HEADINGS = {"python": ["curl", "Python"], "node": ["Node"], "langchain": ["LangChain"], "litellm": ["LiteLLM"]}


def snippets(suite, folder):
    """The commands that run a client's snippets, each with its heading."""
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", GUIDE.read_text(), re.S | re.M))
    for heading in HEADINGS[suite]:
        code = re.findall(r"^```(sh|python|js)\n(.*?)^```", sections[heading], re.S | re.M)
        if not code:
            raise SystemExit(f"{GUIDE.name} has nothing to run under `{heading}`")
        for language, text in code:
            yield heading, command(language, text, folder)


def command(language, text, folder):
    match language:
        case "sh":
            return ["bash", "-euc", text.replace("curl -si", "curl -sif")]
        case "python":
            return [folder / "bin" / "python", "-c", text]
        case "js":
            return ["node", "--input-type=module", "-e", text]
