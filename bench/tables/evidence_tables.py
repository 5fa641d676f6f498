"""Tables of docs/evidence/: what the long ones of the laboratory notes say, in few lines."""

import json
from collections import Counter, defaultdict
from pathlib import Path

from paper_verdicts import claims
from target_tables import quality_targets

RESULTS = Path(__file__).parent.parent / "results"

__all__ = ["claims_counted", "latency_brief", "targets_counted", "targets_missed"]

KINDS = {  # of claims, by what they begin with or hold
    "of 384 dims keeps": "quality, 384 dims (all-MiniLM)",
    "of 768 dims keeps": "quality, 768 dims (LSA for ModernBERT)",
    "earlier report": "quality, of an earlier report",
    "float16 keeps": "quality of float16 and int8",
    "int8 keeps": "quality of float16 and int8",
    "naive": "naive dims lose far more",
    "ablation": "each part of the recipe helps",
    "without": "leaving a part out costs more than 5 %",
    "time of": "time beside float32",
    "advice": "advice on what to choose",
}
WORDS = ("better", "holds", "does not hold")
SHOWN = (  # engine and setting
    ("qama", "24 B"), ("qama", "48 B"), ("qama", "64 B"), ("qama, lists", "48 B, 16 read"),
    ("FAISS PQ fast-scan", ""), ("FAISS IVF PQ fast-scan", "nprobe 16"),
    ("FAISS IVF RaBitQ fast-scan", "nprobe 16"), ("ScaNN", "16 leaves"),
    ("RaBitQ library, 1 bit", "16 read"), ("RaBitQ library, 2 bit", "16 read"),
)  # fmt: skip


def claims_counted():
    """How many claims of each kind hold: as the paper searches, and with a float query."""
    counts = defaultdict(Counter)
    for claim, result, *more in claims():
        kind = next(kind for begin, kind in KINDS.items() if begin in claim)
        if result is not None:
            counts[kind]["hamming", result[0]] += 1
        if more and more[0]:
            counts[kind]["float", more[0][0]] += 1
    lines = [
        "| claims | better | hold | do not | with a float query: better | hold | do not |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind, found in counts.items():
        asked = {side for side, _ in found}
        cells = [
            str(found[side, word]) if side in asked else ""
            for side in ("hamming", "float")
            for word in WORDS
        ]
        lines.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _targets():
    """Every target: whose, what, asked, measured, whether it was met."""
    for line in quality_targets().splitlines()[2:]:
        name, asked, measured, word = (cell.strip() for cell in line.strip("|").split("|"))
        if measured:
            yield "quality and fitting", name, asked, measured, word == "met"
    for row in json.loads((RESULTS / "speed.json").read_text())["targets"]:
        if row["met"] is not None:
            yield "search time", row["target"], row["wanted"], f"{row['measured']:.2f}", row["met"]


def targets_counted():
    """How many targets were met."""
    counts = Counter((whose, met) for whose, *_, met in _targets())
    lines = ["| targets of | met | missed |", "|---|--:|--:|"]
    for whose in dict.fromkeys(key[0] for key in counts):
        lines.append(f"| {whose} | {counts[whose, True]} | {counts[whose, False]} |")
    return "\n".join(lines)


def targets_missed():
    """Every target that was missed."""
    lines = ["| missed | asked | measured |", "|---|--:|--:|"]
    lines += [f"| {what} | {asked} | {got} |" for _, what, asked, got, met in _targets() if not met]
    return "\n".join(lines)


def latency_brief():
    """Some of the engines of docs/kernels.md, over all vectors that were at hand."""
    rows = json.loads((RESULTS / "latency.json").read_text())["results"]
    most = max(row["rows"] for row in rows)
    found = {(row["engine"], row["setting"]): row for row in rows if row["rows"] == most}
    lines = [
        f"| {most:,} vectors | bytes a row | of the ten nearest | ms, one query | ms, of 64 |",
        "|---|--:|--:|--:|--:|",
    ]
    for engine, setting in SHOWN:
        row = found[engine, setting]
        name = f"{engine}, {setting}" if setting else engine
        lines.append(
            f"| {name} | {row['bytes']:g} | {row['recall']:.2f} | {row['ms of 1']:.2f} "
            f"| {row['ms of 64']:.3f} |"
        )
    return "\n".join(lines)
