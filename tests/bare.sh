#!/usr/bin/env bash
# What qama can do without extras: in a fresh environment made by `pip install .` alone, byte codes
# are fitted, encoded, saved, loaded, indexed, searched and reported on, and a fit of grid codes
# names the extra that it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq -c constraints.txt .
cd "$folder"  # away from the sources

venv/bin/python - <<'PROGRAM'
import importlib.util
import numpy as np
import qama

assert importlib.util.find_spec("torch") is None
random = np.random.default_rng(0)
X = (random.standard_normal((600, 32)) / (1 + np.arange(32)) ** 0.5).astype(np.float32)
np.save("vectors.npy", X)
codec = qama.fit(X)
codec.save("a.codec")
again = qama.Codec.load("a.codec")
assert (again.encode(X, nbytes=16) == codec.encode(X, nbytes=16)).all()
index = qama.Index(again, nbytes=16)
index.add(X)
index.save("a.index")
found = qama.Index.open("a.index").search(X[:100], k=5)
assert (found.ids[:, 0] == np.arange(100)).mean() > 0.95, found.ids[:, 0]
docs = qama.Documents.create("docs", again, nbytes=16)
docs.add([str(i) for i in range(600)], X, ["text"] * 600, [{"n": i} for i in range(600)])
hits = docs.search(X[7], 1, text="text", where={"n": {"$gt": 5}})
assert hits.ids == ["7"]
for convert in (hits.to_pandas, hits.to_arrow):
    try:
        convert()
    except qama.MissingExtraError as error:
        assert "pip install" in str(error), error
    else:
        raise AssertionError("a frame without its library")
for asked in ({"codes": "grid"}, {"codes": "all"}, {"preset": "paper"}):
    try:
        qama.fit(X, **asked)
    except qama.MissingExtraError as error:
        assert 'pip install "qama[train]"' in str(error), error
    else:
        raise AssertionError("a grid was fitted without PyTorch")
PROGRAM

PATH="$folder/venv/bin:$PATH"
qama fit vectors.npy -o b.codec --max-bytes 16
qama index b.codec vectors.npy -o b.index --nbytes 16
qama search b.index vectors.npy -k 1 > found.tsv
grep -q $'^0\t1\t0\t' found.tsv
qama inspect b.index > /dev/null
qama report vectors.npy --codec b.codec -o report.html > /dev/null
qama report vectors.npy > /dev/null
! qama fit vectors.npy -o c.codec --codes grid 2> refusal.txt
grep -q 'pip install "qama\[train\]"' refusal.txt
venv/bin/python -m pip list 2> /dev/null | tail -n +3 | awk '{print $1}' | paste -sd' ' -
echo "byte codes need no more than this"
