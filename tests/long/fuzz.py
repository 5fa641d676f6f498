"""Coverage-guided fuzzing of the parsers by atheris (libFuzzer).

    pip install atheris
    python tests/long/fuzz.py [--seconds 900]

The first byte of an input chooses the parser: container, index, codec, codes or log. The corpus
begins with the golden files. Anything but a FormatError ends the run.
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


def fuzz(arguments):
    import atheris
    import numpy as np

    from qama import Codec, FormatError, codec, container
    from qama.encoding import bytecode, grid, levels, transform
    from qama.search import base, log

    instrument(codec, container, base, log, bytecode, grid, levels, transform)
    here = Path("fuzzed")

    def one(data):
        if len(data) < 2:
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
