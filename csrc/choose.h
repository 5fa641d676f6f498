// Joint choice of the words of an additive code, by beam search and coordinate descent.
#pragma once

#include <cstdint>

#include "scan.h"

namespace qama {

struct ChoiceQueries {
    const std::int16_t* rows;  // (count, dims)
    const std::int16_t* words; // (16 sections, dims)
    const std::int32_t *twice, *squares; // see Choice
    std::int64_t count;
    int dims, sections;
    int beam, sweeps, shift;
    std::int32_t limit;
};

// codes_out: (count, sections / 2); rest_out: (count, dims), the rows less their words.
void choose_words(const Kernels&, const ChoiceQueries&, int threads, std::uint8_t* codes_out,
                  std::int16_t* rest_out);

} // namespace qama
