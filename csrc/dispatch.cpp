#include "dispatch.h"

#include <stdexcept>

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

} // namespace

std::vector<const Kernels*> available_kernels() {
    std::vector<const Kernels*> found;
    auto add = [&](const Kernels* kernels, bool runs) {
        if (kernels && runs) found.push_back(kernels);
    };
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
