#!/bin/sh
# Builds the kernels with address and undefined-behaviour sanitizers, and with the thread sanitizer,
# and runs tests/kernel_check.cpp: any finding ends it with an error.
set -eu
cd "$(dirname "$0")/.."
CXX=${CXX:-g++}
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

build() { # NAME SANITIZERS
    for source in csrc/*.cpp tests/kernel_check.cpp; do
        [ "$source" = csrc/module.cpp ] && continue
        flags=
        case "$(uname -m)-$source" in
            x86_64-*scan_avx2.cpp) flags="-mavx2 -mfma" ;;
            x86_64-*scan_avx512.cpp)
                flags="-mavx512f -mavx512bw -mavx512vl -mavx512vbmi -mavx512bitalg -mavx512vnni" ;;
            x86_64-*scan_amx.cpp)
                flags="-mavx512f -mavx512bw -mavx512vl -mavx512vbmi -mavx512bitalg -mavx512vnni"
                flags="$flags -mamx-tile -mamx-int8" ;;
        esac
        # shellcheck disable=SC2086
        $CXX -std=c++17 -O1 -g -ffp-contract=off -fno-sanitize-recover=all -fsanitize="$2" $flags \
            -c "$source" -o "$OUT/$1-$(basename "$source").o"
    done
    $CXX -fsanitize="$2" "$OUT/$1"-*.o -lpthread -o "$OUT/$1"
}

build memory address,undefined
echo "address and undefined behaviour:"
"$OUT/memory" "${CASES:-200}"
build threads thread
echo "threads:"
"$OUT/threads" "${CASES:-60}"
echo "no findings"
