"""Coverage-guided fuzzing of the parsers by atheris (libFuzzer).

    pip install atheris
    python tests/long/fuzz.py [--seconds 900]

The first byte of an input chooses the parser: container, index, codec, codes, log, or the JSON
lines and judgements of a BEIR folder, whose three files are parted by a byte 30. The corpus begins
with the golden files and a small folder. Anything but a FormatError, and of a folder a ValueError,
ends the run.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

GOLDEN = Path(__file__).parent.parent / "golden"
SEEDS = {0: "container.qama", 1: "index-1.qama", 2: "codec.qama", 3: "codes-1.qama",
         4: "index-2.qama.log"}  # fmt: skip
FOLDER = 5
RECORDS = (
    b'{"_id": "a", "title": "t", "text": "x"}\n{"_id": "b", "text": "y", "n": [1, {"k": null}]}\n',
    b'{"_id": "q", "text": "z"}\n\n{"_id": "r\\u00e9", "text": ""}\n',
    b"query-id\tcorpus-id\tscore\nq\ta\t1\nq\tb\t-2\n",
)
PARTS = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")


def signed(raw):
    """Make the checksums of headers right, which no mutation would find."""
    if raw[:8] == b"\x93QAMALOG":
        return raw[:12] + zlib.crc32(raw[16:64]).to_bytes(4, "little") + raw[16:]
    end = 24 + int.from_bytes(raw[16:24], "little")
    return raw[:12] + zlib.crc32(raw[24:end]).to_bytes(4, "little") + raw[16:]


def instrument(*modules):
    """Let libFuzzer see the branches of the modules' functions and methods."""
    import atheris

    for module in modules:
        for value in vars(module).values():
            for found in vars(value).values() if inspect.isclass(value) else (value,):
                if inspect.isfunction(found) and found.__module__ == module.__name__:
                    atheris.instrument_func(found)


def use_folder(folder, raw):
    """Read a BEIR folder and judge its judgements."""
    import numpy as np

    from qama.evaluation.beir import load_collection
    from qama.evaluation.judge import judge

    for name, part in zip(PARTS, [*raw.split(b"\x1e"), b"", b""][:3], strict=True):
        (folder / name).write_bytes(part)
    try:
        found = load_collection(folder)
    except ValueError:
        return
    judge(np.zeros((len(found.query_ids), 1), dtype=np.int64), found)


def fuzz(arguments):
    import atheris
    import numpy as np

    from qama import Codec, FormatError, codec, container
    from qama.encoding import bytecode, grid, levels, transform
    from qama.evaluation import beir, judge
    from qama.search import base, log

    instrument(codec, container, base, log, bytecode, grid, levels, transform, beir, judge)
    here = Path("fuzzed")
    folder = Path(tempfile.mkdtemp())
    (folder / "qrels").mkdir()

    def one(data):
        if len(data) < 2:
            return
        if data[0] & 7 == FOLDER:
            use_folder(folder, data[1:])
            return
        raw = np.frombuffer(signed(data[1:]) if data[0] & 8 else data[1:], dtype=np.uint8)
        try:
            which = data[0] & 7
            if which == 0:
                container.parse(here, raw, "test", 7).check_sections()
            elif which == 1:
                base.parse(container.parse(here, raw, base.KIND, base.FORMAT, base.OLDEST))
            elif which == 2:
                contents = container.parse(here, raw, "codec", 1)
                try:
                    Codec.from_parts(contents.meta, contents.arrays)
                except (KeyError, TypeError, ValueError, IndexError, OverflowError):
                    return  # what Codec.load turns into a FormatError
            elif which == 3:
                container.parse(here, raw, "codes", 1)
            else:
                log.read(raw, here)
                log.salvage(raw, 6)
        except FormatError:
            return

    atheris.Setup(arguments, one)
    atheris.Fuzz()


def run(seconds):
    """Fuzz in a process of its own; returns counts, raises if it found something."""
    with tempfile.TemporaryDirectory() as folder:
        for which, name in SEEDS.items():
            raw = (GOLDEN / name).read_bytes()
            for flag in (0, 8):
                (Path(folder) / f"{which}{flag}").write_bytes(bytes([which | flag]) + raw)
        (Path(folder) / "folder").write_bytes(bytes([FOLDER]) + b"\x1e".join(RECORDS))
        done = subprocess.run(
            [sys.executable, __file__, "--fuzz", folder, f"-max_total_time={seconds}", "-timeout=5",
             "-rss_limit_mb=1024", "-max_len=20000", f"-artifact_prefix={folder}/"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        runs = re.findall(r"#(\d+)\s+DONE\s+cov: (\d+)", done.stderr)[-1]
        return {"seconds": seconds, "inputs": int(runs[0]), "coverage": int(runs[1]),
                "corpus": len(list(Path(folder).iterdir()))}  # fmt: skip


if __name__ == "__main__":
    if "--fuzz" in sys.argv:
        fuzz([sys.argv[0], *sys.argv[2:]])
    else:
        parser = argparse.ArgumentParser()
        parser.add_argument("--seconds", type=int, default=900)
        print(json.dumps(run(parser.parse_args().seconds), indent=1))
