#!/bin/sh
# Runs a Python script on kernels that were built with address and undefined-behaviour sanitizers
# (Linux, g++); any finding ends it with an error. FOLDER gets an environment of its own.
#
#   tests/sanitized_python.sh FOLDER tests/long/corrupt.py
#   tests/sanitized_python.sh FOLDER bench/trust.py --only fuzz
#
# atheris brings the sanitizers' runtime, with libFuzzer in it, which a compiler's own would hide
# the coverage from. vptr is left out: the kernels have no virtual functions.
set -eu
ROOT=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
FOLDER=$(cd "$1" && pwd)
shift
PYTHON=$FOLDER/venv/bin/python
if [ ! -x "$PYTHON" ]; then
    "${PYTHON3:-python3}" -m venv "$FOLDER/venv"
    "$PYTHON" -m pip install -qq --upgrade pip
    "$PYTHON" -m pip install -qq -c "$ROOT/constraints.txt" \
        atheris numpy rich typer threadpoolctl pyarrow pytrec-eval-terrier
fi
rm -rf "$FOLDER/site"
CXXFLAGS="-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=all -g" \
    "$PYTHON" -m pip install -qq --no-deps --target "$FOLDER/site" \
    -C build-dir="$FOLDER/build" -C cmake.build-type=RelWithDebInfo \
    -C cmake.define.CMAKE_MODULE_LINKER_FLAGS=-fno-sanitize=all "$ROOT"
RUNTIME=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/asan_with_fuzzer.so
export PYTHONPATH="$FOLDER/site" OMP_NUM_THREADS=1 UBSAN_OPTIONS=print_stacktrace=1
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 # NumPy never frees everything
LD_PRELOAD="$RUNTIME:$(g++ -print-file-name=libstdc++.so)" exec "$PYTHON" "$@"
