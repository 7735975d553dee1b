"""Extraction sets: the tagger beside a conditional random field of python-crfsuite on the same rows and the same words."""

import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import data, sprat, tables

Span = tuple[str, int, int]

# As crates/task/src/extract/words.rs cuts a text: numbers keep what joins their digits, punctuation stands alone.
WORD = re.compile(r"(?:[^\W_]|(?<=\d)[.,:/-](?=\d))+|[^\w\s]|_")


@dataclass
class Row:
    text: str
    spans: list[Span]
    fields: dict[str, str] | None = None


def measure(folder: Path, arguments) -> dict[str, str]:
    wanted = arguments.sets.split(",") if arguments.sets else list(SETS)
    results = {}
    for name in wanted:
        print(f"-- {name}", file=sys.stderr, flush=True)
        taught, asked = SETS[name](folder)
        results[name] = of_records(name, taught, asked) if taught[0].fields else of_spans(name, taught, asked)
        (sprat.WORK / "extraction.json").write_text(json.dumps(results, indent=1), encoding="utf-8")
    conditions = tables.conditions("bench/run extraction", ["sklearn-crfsuite", "python-crfsuite"])
    return {"extraction": f"{table(results)}\n\n{conditions}"}


def of_spans(name: str, taught: list[Row], asked: list[Row]) -> dict:
    ours = tagger(name, taught, asked, "list")
    found = [{tuple(span) for span in row["spans"]} for row in ours["found"]]
    theirs = Crf(taught)
    right = [set(row.spans) for row in asked]
    return judged(name, taught, asked, right, {"Sprat": found, "CRF": [set(theirs.spans(row.text)) for row in asked]}, ours, theirs)


def of_records(name: str, taught: list[Row], asked: list[Row]) -> dict:
    """Fields without places: both find them in the texts by themselves; a value is right but for case and white space."""
    ours = tagger(name, taught, asked, "text")
    theirs = Crf([Row(row.text, placed(row)) for row in taught])

    def as_set(record: dict) -> set:
        return {(field, folded(value)) for field, value in record.items()}

    right = [as_set(row.fields) for row in asked]
    said = {"Sprat": [as_set(row["record"]) for row in ours["found"]], "CRF": [as_set(theirs.record(row.text)) for row in asked]}
    return judged(name, taught, asked, right, said, ours, theirs)


def judged(name, taught, asked, right, said, ours, theirs) -> dict:
    result = {
        "rows": [len(taught), len(asked)],
        "f1": {who: f1(right, found) for who, found in said.items()},
        "exact": {who: sum(one == other for one, other in zip(right, found)) / len(right) for who, found in said.items()},
        "fit_s": {"Sprat": ours["fit_s"], "CRF": theirs.fit_s},
        "us_a_row": ours["us_a_row"],
        "bytes": ours["bytes"],
    }
    print(f"   {name} {result}", file=sys.stderr, flush=True)
    return result


def f1(right: list[set], found: list[set]) -> float:
    hits = sum(len(one & other) for one, other in zip(right, found))
    return 2 * hits / max(sum(map(len, right)) + sum(map(len, found)), 1)


def tagger(name: str, taught: list[Row], asked: list[Row], kind: str) -> dict:
    root = (sprat.WORK / "workspaces" / f"extract-{name}").resolve()
    root.mkdir(parents=True, exist_ok=True)
    fields = sorted({field for row in taught + asked for field in (row.fields or [span[0] for span in row.spans])})
    declared = "".join(f'[[fields]]\nname = "{field}"\ntype = "{kind}"\n' for field in fields)
    (root / "task.toml").write_text(f'kind = "extract"\n{declared}', encoding="utf-8")
    files = [root / "asked.jsonl", root / "taught.jsonl"]
    for path, rows in zip(files, [asked, taught]):
        with open(path, "w", encoding="utf-8") as lines:
            for row in rows:
                lines.write(json.dumps(as_line(row)) + "\n")
    return sprat.asked([sprat.example("tagger_spans"), root / "task.toml", *files])


def as_line(row: Row) -> dict:
    if row.fields is not None:
        return {"text": row.text, "fields": row.fields}
    return {"text": row.text, "spans": [{"field": field, "start": start, "end": end} for field, start, end in row.spans]}


class Crf:
    """L-BFGS with the features and penalties of sklearn-crfsuite's own tutorial, two words to each side."""

    def __init__(self, rows: list[Row]):
        import sklearn_crfsuite

        self.model = sklearn_crfsuite.CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100, all_possible_transitions=True)
        begun = time.perf_counter()
        cut = [words(row.text) for row in rows]
        self.model.fit([features(row.text, found) for row, found in zip(rows, cut)], [tags(row, found) for row, found in zip(rows, cut)])
        self.fit_s = time.perf_counter() - begun

    def spans(self, text: str) -> list[Span]:
        found = words(text)
        return spans_of(found, self.model.predict_single(features(text, found))) if found else []

    def record(self, text: str) -> dict[str, str]:
        """The first span of each field."""
        record: dict[str, str] = {}
        for field, start, end in self.spans(text):
            record.setdefault(field, text[start:end])
        return record


def words(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in WORD.finditer(text)]


def tags(row: Row, found: list[tuple[int, int]]) -> list[str]:
    tagged = ["O"] * len(found)
    for field, start, end in row.spans:
        inside = [at for at, (begin, behind) in enumerate(found) if begin >= start and behind <= end]
        for place, at in enumerate(inside):
            tagged[at] = ("I-" if place else "B-") + field
    return tagged


def spans_of(found: list[tuple[int, int]], tagged: list[str]) -> list[Span]:
    spans, current = [], None
    for (start, end), tag in zip(found, tagged):
        if current and tag == "I-" + current[0]:
            current = (current[0], current[1], end)
            continue
        if current:
            spans.append(current)
        current = None if tag == "O" else (tag[2:], start, end)
    return spans + [current] if current else spans


def features(text: str, found: list[tuple[int, int]]) -> list[dict]:
    cut = [text[start:end] for start, end in found]

    def seen(word: str, name: str) -> dict:
        return {f"{name}lower": word.lower(), f"{name}title": word.istitle(), f"{name}upper": word.isupper(), f"{name}shape": shape(word)}

    def of(at: int) -> dict:
        word = cut[at]
        result = {"bias": 1.0, "digit": word.isdigit(), **seen(word, "")}
        for length in (2, 3):
            result[f"prefix{length}"], result[f"suffix{length}"] = word[:length].lower(), word[-length:].lower()
        for by in (-2, -1, 1, 2):
            other = at + by
            result.update(seen(cut[other], f"{by}:") if 0 <= other < len(cut) else {f"{by}:edge": True})
        return result

    return [of(at) for at in range(len(cut))]


def shape(word: str) -> str:
    return re.sub(r"[^\W\d_]", lambda found: "X" if found.group().isupper() else "x", re.sub(r"\d", "d", word))


def placed(row: Row) -> list[Span]:
    """The first place of each value in the text, whatever its case and white space."""
    at = [place for place, character in enumerate(row.text) if not character.isspace()]
    text = folded(row.text)
    spans: list[Span] = []
    for field, value in row.fields.items():
        start = text.find(folded(value)) if len(text) == len(at) else -1
        if start >= 0 and folded(value):
            spans.append((field, at[start], at[start + len(folded(value)) - 1] + 1))
    return spans


def folded(text: str) -> str:
    return "".join(text.split()).lower()


def lines(folder: Path, file: str) -> list[dict]:
    path = folder / file
    if not path.exists():
        raise data.Missing(f"{path} is missing")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def slots(folder: Path, file: str) -> list[Row]:
    return [Row(row["text"], [(slot["slot"], slot["start"], slot["end"]) for slot in row["slots"]]) for row in lines(folder, file)]


def tagged(rows: list[dict]) -> list[Row]:
    """Words with tags, joined by spaces. Where no `B-` begins an entity, a change of field does."""

    def row(tokens: list[str], marks: list[str]) -> Row:
        spans, current, text = [], None, ""
        for token, mark in zip(tokens, marks):
            start = len(text) + bool(text)
            text += (" " if text else "") + token
            if current and mark == "I-" + current[0]:
                current = (current[0], current[1], len(text))
                continue
            if current:
                spans.append(current)
            current = None if mark == "O" else (mark[2:], start, len(text))
        return Row(text, spans + [current] if current else spans)

    return [row(found["tokens"], found["tags"]) for found in rows if found["tokens"] and found["tokens"] != ["-DOCSTART-"]]


def agreements(folder: Path) -> tuple[list[Row], list[Row]]:
    """Whole agreements are asked about: the last of every four."""
    documents: list[list[dict]] = []
    for row in lines(folder, "sec_agreements/train.jsonl"):
        if row["tokens"] == ["-DOCSTART-"] or not documents:
            documents.append([])
        documents[-1].append(row)
    parts = ([], [])
    for number, document in enumerate(documents):
        parts[number % 4 == 3].extend(tagged(document))
    return parts


def receipts(folder: Path) -> tuple[list[Row], list[Row]]:
    parts = ([], [])
    for number, row in enumerate(lines(folder, "sroie_receipts/receipts.jsonl")):
        fields = {field: value for field, value in row["fields"].items() if value.strip()}
        parts[number % 3 == 2].append(Row("\n".join(row["lines"]), [], fields))
    return parts


SETS = {
    "snips": lambda folder: (slots(folder, "snips/train.jsonl"), slots(folder, "snips/devtest.jsonl")),
    "restaurant8k": lambda folder: (slots(folder, "restaurant8k/train.jsonl"), slots(folder, "restaurant8k/devtest.jsonl")),
    "wnut17": lambda folder: (tagged(lines(folder, "wnut17/train.jsonl")), tagged(lines(folder, "wnut17/devtest.jsonl"))),
    "sec_agreements": agreements,
    "sroie_receipts": receipts,
}


def table(results: dict) -> str:
    header = ["extraction", "rows taught", "rows asked", "entity F1: Sprat", "CRF", "exactly right: Sprat", "CRF", "fit: Sprat", "CRF", "one text", "model"]
    rows = []
    for name, result in results.items():
        pairs = [tables.share(result[what][who]) for what in ("f1", "exact") for who in ("Sprat", "CRF")]
        fits = [f"{result['fit_s'][who]:.1f} s" for who in ("Sprat", "CRF")]
        size = f"{result['bytes'] / 1e6:.1f} MB"
        rows.append([name, *(f"{count:,}" for count in result["rows"]), *pairs, *fits, f"{result['us_a_row']:.0f} µs", size])
    return tables.markdown(header, rows)
