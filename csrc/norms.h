// Lengths of what codes stand for.
#pragma once

#include <cstdint>

namespace qama {

struct Decoding {
    const std::int16_t* words; // 256 of each full column, then 16 of each nibble, of `dims` each
    const std::int16_t* start; // (dims)
    int columns, full, dims;   // the first `full` columns are one word a byte, the others two
};

// norms_out: |start + the sum of a code's words|^2 of each of `count` codes (count, columns).
void squared_norms(const Decoding&, const std::uint8_t* codes, std::int64_t count, int threads,
                   std::int64_t* norms_out);

} // namespace qama
