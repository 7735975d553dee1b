"""How good are answers? One label a row, or several joined by `|`."""

from collections import Counter

from scipy.stats import binom


def accuracy(right: list[str], said: list[str]) -> float:
    """Share of rows answered exactly right; of several labels, with exactly the right set."""
    return sum(one == other for one, other in zip(right, said)) / max(len(right), 1)


def _sets(lines: list[str]) -> list[set[str]]:
    return [{label for label in line.split("|") if label} for line in lines]


def f1(right: list[str], said: list[str]) -> tuple[float, float]:
    """Macro-F1 over the labels that are right or said anywhere, and micro-F1 (one label a row: accuracy)."""
    hits, given, wanted = Counter(), Counter(), Counter()
    for true, answered in zip(_sets(right), _sets(said)):
        hits.update(true & answered)
        given.update(answered)
        wanted.update(true)
    labels = set(given) | set(wanted)
    macro = sum(2 * hits[label] / (given[label] + wanted[label]) for label in labels) / max(len(labels), 1)
    micro = 2 * hits.total() / max(given.total() + wanted.total(), 1)
    return macro, micro


def mcnemar(right: list[str], one: list[str], other: list[str]) -> tuple[int, int, float]:
    """Rows only `one` has right, rows only `other` has right, and the exact mid-p value of no difference."""
    pairs = [(true == a, true == b) for true, a, b in zip(right, one, other)]
    only_one, only_other = pairs.count((True, False)), pairs.count((False, True))
    trials, fewer = only_one + only_other, min(only_one, only_other)
    if trials == 0:
        return 0, 0, 1.0
    return only_one, only_other, min(1.0, 2 * binom.cdf(fewer, trials, 0.5) - binom.pmf(fewer, trials, 0.5))


def scope(right: list[str], said: list[str], label: str) -> dict:
    """How well rows out of scope are recognised, and how good the answers to the others are."""
    outside = [place for place, true in enumerate(right) if true == label]
    inside = [place for place, true in enumerate(right) if true != label]
    return {
        "rows": len(outside),
        "recall": sum(said[place] == label for place in outside) / max(len(outside), 1),
        "in_scope_accuracy": sum(said[place] == right[place] for place in inside) / max(len(inside), 1),
    }
