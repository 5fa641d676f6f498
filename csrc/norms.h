// Lengths of what codes stand for.
#pragma once

#include <cstdint>

namespace qama {

struct Decoding {
    const std::int16_t* words; // (2 columns, 16, dims)
    const std::int16_t* start; // (dims)
    int columns, dims;
};

// norms_out: |start + the sum of a code's words|^2 of each of `count` codes (count, columns).
void squared_norms(const Decoding&, const std::uint8_t* codes, std::int64_t count, int threads,
                   std::int64_t* norms_out);

} // namespace qama
