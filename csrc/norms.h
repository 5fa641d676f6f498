// Squared norms of the vectors that codes stand for.
#pragma once

#include <cstdint>

#include "codebooks.h"
#include "scan.h"

namespace qama {

struct Decoding {
    const std::int16_t* codewords; // (codewords, dims)
    const std::int16_t* start;     // (dims)
    CodebookLayout layout;
    int dims;
};

// norms_out: |start + the sum of a code's codewords|^2 of each of `count` codes (count, bytes).
void squared_norms(const Kernels&, const Decoding&, const std::uint8_t* codes, std::int64_t count,
                   int threads, std::int64_t* norms_out);

} // namespace qama
