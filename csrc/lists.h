// Inverted lists: which blocks a query visits.
#pragma once

#include <cstdint>
#include <vector>

#include "scan.h"

namespace qama {

// The centroids of lists: a mean, what is rough of their differences from it (entries of 4 bits,
// which are sooner read), and what rounding left of these.
struct Centroids {
    const std::int16_t* units; // (count, dims): the centroids, whole
    const std::int16_t* mean;  // (dims)
    NibbleProducts rough;      // without rows and products
    const float* lengths;      // (count): of the rough ones, at least
    const float* left;         // (count): of what rounding left, at least
    float longest;             // of all, the greatest sum of these two
    int dims;
    std::int64_t count;
};

// The blocks of list i are blocks[ends[i - 1]] up to before blocks[ends[i]], ascending.
struct Lists {
    Centroids centroids;
    const std::int64_t* blocks;
    const std::int64_t* ends; // (count)
    const std::int64_t* held; // (count): rows that each list holds
};

// For each query (count, dims) the blocks, ascending, of the `nprobe` lists of greatest product,
// ties to the lower list, and of further ones in that order until they hold `least` rows.
std::vector<std::vector<std::int64_t>> visited_by_each(const Kernels&, const Lists&,
                                                       const std::int16_t* queries,
                                                       std::int64_t count, std::int64_t nprobe,
                                                       std::int64_t least, int threads);

} // namespace qama
