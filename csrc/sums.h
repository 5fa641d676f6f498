// For each codeword, the sum of the rows whose codes chose it.
#pragma once

#include <cstdint>

#include "codebooks.h"

namespace qama {

struct Chosen {
    const std::uint8_t* codes; // (count, bytes)
    const std::int16_t* rows;  // (count, dims)
    std::int64_t count;
    CodebookLayout layout;
    int dims;
};

// sums_out: (codewords, dims), zeros when called.
void codeword_sums(const Chosen&, int threads, std::int64_t* sums_out);

} // namespace qama
