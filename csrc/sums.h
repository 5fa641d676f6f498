// What the rows that chose a codeword add up to.
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

// sums_out: (codewords, dims), zero at first.
void codeword_sums(const Chosen&, int threads, std::int64_t* sums_out);

} // namespace qama
