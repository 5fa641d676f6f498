// The 8-bit tables by which a scan rejects rows: see "Tables" in docs/kernels.md.
#pragma once

#include <cstdint>
#include <vector>

#include "scan.h"

namespace qama {

// Entries u such that S <= base + scale * (the sum of a row's u) for every row. Each tile of
// queries has its own tables, those of its full columns first: [column][query of the tile][256].
// The tables of later columns are narrow, [column][query of the tile][high, low][16], or wide,
// [three columns][query of the tile][low six bits of each column, then top bits of all][64]. Or all
// tables are interleaved: [entry of full and narrow tables][query of the tile], so that one load
// finds the entries of 64 queries.
class Filter {
  public:
    Filter(const TableArgs&, const Kernels&, std::int64_t k);
    Filter(const Filter&) = delete;

    int tile() const { return tile_; } // queries
    void fill(int threads);
    TableScan scan() const; // with these tables, once they are filled

  private:
    void fill_query(std::int64_t query);
    void interleave(std::int64_t first);

    const TableArgs& args_;
    FilterLayout layout_;
    int tile_;
    std::int64_t tables_, entry_bytes_; // per query
    std::vector<std::uint8_t> memory_;
    std::vector<std::uint8_t> apart_; // the tables of each query, before they are interleaved
    std::uint8_t* entries_;           // in memory_, at the start of a cache line
    std::vector<Bound> bounds_;
};

} // namespace qama
