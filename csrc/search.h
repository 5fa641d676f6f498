// Top k of many queries over many blocks: splits the work, runs the scans, merges.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "scan.h"
#include "topk.h"

namespace qama {

struct Search {
    std::int64_t blocks;
    std::int64_t queries;
    std::int64_t k;
    int tile;    // queries per tile of the scan
    int threads; // 0: as many as there are cores, fewer for little work
    double work; // bytes compared, all queries together, see thread_count()
};

using Scan = std::function<void(const Part&)>;

// How many rows may be returned.
std::int64_t allowed_count(const Rows&);

// Calls write(query, hits) once per query, with at most k hits in order. The result does not
// depend on the number of threads: a hit's place is decided by its key and row alone.
void search(const Search&, const Scan&,
            const std::function<void(std::int64_t, const std::vector<Hit>&)>& write);

} // namespace qama
