#include "dispatch.h"

#include <stdexcept>

#if defined(__linux__) && defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace qama {
namespace {

// __builtin_cpu_supports also asks XGETBV whether the system saves the wide registers. Features
// are named, never CPU models: a list of models takes an unlisted CPU for the oldest one.
#if (defined(__GNUC__) || defined(__clang__)) && (defined(__x86_64__) || defined(__i386__))
bool runs_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("avx512bitalg") && __builtin_cpu_supports("avx512vnni");
}
bool runs_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
bool runs_avx512() { return false; }
bool runs_avx2() { return false; }
#endif

#if defined(__linux__) && defined(__x86_64__)
// Linux gives a process tiles when it asks for them: https://docs.kernel.org/arch/x86/xstate.html
bool asked_for_tiles() {
    constexpr long kAsk = 0x1023, kTileData = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    constexpr unsigned kTilesOfBytes = 3u << 24;  // AMX-TILE and AMX-INT8
    unsigned a = 0, b = 0, c = 0, d = 0;
    return runs_avx512() && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (d & kTilesOfBytes) == kTilesOfBytes && syscall(SYS_arch_prctl, kAsk, kTileData) == 0;
}
#else
bool asked_for_tiles() { return false; }
#endif

bool runs_amx() {
    static const bool runs = asked_for_tiles();
    return runs;
}

} // namespace

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> found;
    auto add = [&](const Kernels* kernels, bool runs) {
        if (kernels && runs) found.push_back(kernels);
    };
    add(runs_amx() ? amx_kernels() : nullptr, true);
    add(avx512_kernels(), runs_avx512());
    add(avx2_kernels(), runs_avx2());
    add(neon_kernels(), true);
    add(portable_kernels(), true);
    return found;
}

const Kernels& kernels_named(const std::string& name) {
    for (const Kernels* kernels : available_kernels())
        if (name == kernels->name) return *kernels;
    throw std::invalid_argument("kernel path '" + name + "' is not available here");
}

} // namespace qama
