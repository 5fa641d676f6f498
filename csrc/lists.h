// Inverted lists: which blocks a query visits.
#pragma once

#include <cstdint>
#include <vector>

namespace qama {

// The blocks of list i are blocks[ends[i - 1]] up to before blocks[ends[i]], ascending.
struct Lists {
    const std::int64_t* blocks;
    const std::int64_t* ends; // (count)
    const std::int64_t* held; // (count): rows that each list holds
    std::int64_t count;
};

// The blocks, ascending, of the `nprobe` lists of greatest product, ties to the lower list, and of
// further ones in that order until they hold `least` rows.
std::vector<std::int64_t> blocks_to_visit(const Lists&, const std::int32_t* products,
                                          std::int64_t nprobe, std::int64_t least);

// The same of each query; its products begin `stride` after those of the one before.
std::vector<std::vector<std::int64_t>> visited_by_each(const Lists&, const std::int32_t* products,
                                                       std::int64_t stride, std::int64_t queries,
                                                       std::int64_t nprobe, std::int64_t least,
                                                       int threads);

} // namespace qama
