#!/bin/sh
# Runs tests/kernel_check.cpp on CPUs that this machine is not, under qemu-user: 64-bit ARM with
# NEON, x86 before AVX, and x86 with AVX2 but without AVX-512. On Debian it needs
#     apt-get install qemu-user g++ g++-aarch64-linux-gnu
# and says what it skips where a tool is missing.
set -eu
cd "$(dirname "$0")/.."
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT
CASES=${CASES:-60}

build() { # COMPILER NAME: the same flags for each file as CMakeLists.txt
    for source in csrc/*.cpp tests/kernel_check.cpp; do
        [ "$source" = csrc/module.cpp ] && continue
        flags=
        case "$2-$source" in
            x86-*scan_avx2.cpp) flags="-mavx2 -mfma" ;;
            x86-*scan_avx512.cpp)
                flags="-mavx512f -mavx512bw -mavx512vl -mavx512vbmi -mavx512bitalg -mavx512vnni" ;;
            x86-*scan_amx.cpp)
                flags="-mavx512f -mavx512bw -mavx512vl -mavx512vbmi -mavx512bitalg -mavx512vnni"
                flags="$flags -mamx-tile -mamx-int8" ;;
        esac
        # shellcheck disable=SC2086
        "$1" -std=c++17 -O2 -ffp-contract=off $flags -c "$source" \
            -o "$OUT/$2-$(basename "$source").o"
    done
    "$1" -static "$OUT/$2"-*.o -lpthread -o "$OUT/$2"
}

run() { # TITLE PATH COMMAND...: the named path must have run
    title=$1 path=$2
    shift 2
    if ! command -v "$1" > /dev/null; then
        echo "$title: skipped, $1 is missing"
        return
    fi
    said=$("$@" "$CASES")
    echo "$title: $said"
    case "$said" in *" $path"*) ;; *) echo "the path $path did not run" && exit 1 ;; esac
}

if command -v aarch64-linux-gnu-g++ > /dev/null; then
    build aarch64-linux-gnu-g++ arm
    run "64-bit ARM" neon qemu-aarch64 "$OUT/arm"
else
    echo "64-bit ARM: skipped, aarch64-linux-gnu-g++ is missing"
fi
if [ "$(uname -m)" = x86_64 ]; then
    build g++ x86
    run "x86 without AVX (Nehalem)" portable qemu-x86_64 -cpu Nehalem "$OUT/x86"
    run "x86 with AVX2 (Haswell)" avx2 qemu-x86_64 \
        -cpu Haswell,-pcid,-x2apic,-tsc-deadline,-hle,-rtm,-invpcid "$OUT/x86"
fi
