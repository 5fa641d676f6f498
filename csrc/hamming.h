// Hamming distances, plain and of compact pairs.
#pragma once

#include <cstdint>

#include "scan.h"

namespace qama {

struct HammingQueries {
    const std::uint8_t* codes; // (count, columns)
    std::int64_t count;
    int columns; // bytes per query = (bits + 7) / 8
    int bits;    // compared
    int pairs;   // of the first 2 * pairs bits
};

// rows_out, distances_out: (queries, k).
void hamming_topk(const Kernels&, const Blocks&, const Rows&, const HammingQueries&, std::int64_t k,
                  int threads, std::int64_t* rows_out, std::int32_t* distances_out);

// rows, distances_out: (queries, each).
void hamming_rows(const Blocks&, const std::int64_t* rows, std::int64_t each, const HammingQueries&,
                  int threads, std::int32_t* distances_out);

} // namespace qama
