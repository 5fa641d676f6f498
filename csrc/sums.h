// What the codes of rows say of codewords: sums of the rows that chose each, and how often each two
// were chosen together.
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

// Adds `times` for each of the codes (count, bytes) to counts (codewords, codewords).
void count_pairs(const std::uint8_t* codes, std::int64_t count, CodebookLayout, int times,
                 int threads, std::int32_t* counts);

} // namespace qama
