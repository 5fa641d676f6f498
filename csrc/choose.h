// Joint choice of the bits of a code, by tabu search over single flips.
#pragma once

#include <cstdint>

#include "scan.h"

namespace qama {

struct ChoiceQueries {
    const std::int32_t* linear; // (count, bits)
    const std::int32_t* gram;   // (bits, bits), symmetric
    std::int64_t count;
    int bits;
    int steps, tenure;
};

// codes_out: (count, bits / 8).
void choose_bits(const Kernels&, const ChoiceQueries&, int threads, std::uint8_t* codes_out);

} // namespace qama
