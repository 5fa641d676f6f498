"""qama fit, base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from qama import heldout
from qama.cli import options
from qama.console import check_output, command, emit, fit_progress, say
from qama.sources import open_vectors


@command
def fit(
    vectors: options.Vectors,
    output: options.Output,
    preset: Annotated[str, typer.Option(help="Recipe: default or paper.")] = "default",
    seed: options.Seed = 0,
    codes: Annotated[
        str | None,
        typer.Option(help="bytes, grid or all (default: bytes, with preset paper grid)."),
    ] = None,
    dims: Annotated[
        str | None, typer.Option(help="Dims of grid codes, for instance 384,192,96.")
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Levels of grid codes, for instance 1,2 (default: all).")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="For a grid: a sample of real queries.")
    ] = None,
    pairs: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="For a grid: queries, and row by row what answers them."),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(help="A codec to start from: its file, or the model that `qama base` made."),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(help="Length of the longest byte code (default 256 or d).")
    ] = None,
    codeword_bits: Annotated[
        int | None,
        typer.Option(help="Of a codeword's entries: 4 (fast queries) or 16."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Least number of steps of a grid's training.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="Where a grid is trained: auto, cpu, cuda or mps.")
    ] = "auto",
    threads: options.Threads = 0,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Of a grid: file to resume from if it exists, and to write.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Name of the vectors' model, to be recorded.")
    ] = None,
    json: options.Json = False,
) -> None:
    """Fit a codec on unlabelled vectors."""
    import qama

    check_output(output, vectors, base, queries, *(pairs or ()), checkpoint)
    if checkpoint is not None:
        check_output(checkpoint, vectors, base, queries, *(pairs or ()), option="--checkpoint")
    chosen: dict[str, Any] = {} if steps is None else {"steps": steps, "epochs": 0}
    if max_bytes is not None:
        chosen["max_bytes"] = max_bytes
    if codeword_bits is not None:
        chosen["codeword_bits"] = codeword_bits
    with fit_progress("fitting") as callback:
        codec = qama.fit(
            vectors,
            preset=preset,
            seed=seed,
            codes=codes,
            dims=None if dims is None else [_whole(part) for part in dims.split(",")],
            levels=None if levels is None else [part.strip() for part in levels.split(",")],
            queries=None if queries is None else open_vectors(queries),
            pairs=None if pairs is None else (open_vectors(pairs[0]), open_vectors(pairs[1])),
            base=None if base is None else _base(base),
            device=device,
            threads=threads,
            checkpoint=checkpoint,
            model=model,
            callbacks=[callback],
            **chosen,
        )
    codec.save(output)
    facts = {k: v for k, v in codec.facts.items() if k != "config"}
    if json:
        emit({"codec": str(output), "fingerprint": codec.fingerprint, **facts})
    else:
        say(
            f"{output}: codec {codec.fingerprint}, fitted on {facts['rows_used']} of "
            f"{facts['rows']} rows in {facts['seconds']} s{_errors(facts)}{_agreement(facts)}"
        )


@command
def base(
    model: Annotated[str, typer.Argument(help="The model's name, such as all-MiniLM-L6-v2.")],
    texts: Annotated[
        list[Path] | None,
        typer.Option(help="Files of general texts, one a line (default: docstrings found here)."),
    ] = None,
    embed: options.Embed = None,
    most: Annotated[int, typer.Option(min=1000, help="Texts that are embedded.")] = 50_000,
    seed: options.Seed = 0,
    threads: options.Threads = 0,
) -> None:
    """Fit a codec of a model on general text, once; `fit --base MODEL` starts from it.

    Without --embed the model is loaded by sentence-transformers.
    """
    from qama import bases

    path = bases.base_path(model)
    embedder = options.embedder(embed, None if embed is not None else model)
    some = _lines(texts, most, seed) if texts else _docstrings(most, seed)
    codec = bases.make_base(model, embedder, some, seed=seed, threads=threads, max_rows=most)
    say(f"{path}: base codec {codec.fingerprint} of {model}, fitted on {len(some)} texts")


def _lines(files: list[Path], most: int, seed: int) -> list[str]:
    """Return lines that say something, an even draw of so many."""
    read = (file.read_text(encoding="utf-8") for file in files)
    lines = [line.strip() for text in read for line in text.splitlines() if line.strip()]
    if len(lines) <= most:
        return lines
    picked = np.random.default_rng(seed).choice(len(lines), most, replace=False)
    return [lines[i] for i in np.sort(picked)]


def _docstrings(most: int, seed: int) -> list[str]:
    from qama.examples.docstrings import collect

    return [entry.body for entry in collect(most, seed)]


def _base(given: Path) -> Any:
    """Return the codec of a file, or the base of a model.

    Raises:
        ValueError: neither is there.
    """
    import qama

    if given.exists():
        return qama.Codec.load(given)
    try:
        return qama.base(str(given))
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"--base is {given}, which is no file, and {error}") from error


def _errors(facts: dict[str, Any]) -> str:
    """Say what byte codes leave of rows that the fit saw, and of others."""
    found = facts.get(heldout.FACT)
    return "" if found is None else f"; {heldout.Errors(**found)}"


def _agreement(facts: dict[str, Any]) -> str:
    """Say what training gained on validation rows, where anything was trained."""
    if "agreement_best" not in facts:
        return ""
    return (
        f"; validation agreement {facts['agreement_start']} untrained, {facts['agreement_best']} "
        f"as shipped (step {facts['best_step']})"
    )


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"--dims holds {text!r}; give whole numbers with commas") from None
