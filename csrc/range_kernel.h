// What all scans share: which blocks they visit and prefetch, and the least sum of filter entries
// with which a row can be among the best.
#pragma once

#include <cstring>

#include "scan.h"

namespace qama {

// The number of the i-th block to scan.
static inline std::int64_t block_at(const Rows& rows, std::int64_t i) {
    return rows.visited ? rows.visited[i] : i;
}

static inline std::uint64_t allowed_rows(const Rows& rows, std::int64_t block) {
    const std::int64_t left = rows.count - block * kRows;
    const std::uint64_t real = left >= kRows ? ~0ull : (1ull << left) - 1;
    return rows.mask ? rows.mask[block] & real : real;
}

static inline std::int64_t group_blocks(std::int64_t columns, std::int64_t bytes) {
    const std::int64_t fitting = bytes / (columns * kRows);
    return fitting < 1 ? 1 : fitting > kMaxGroupBlocks ? kMaxGroupBlocks : fitting;
}

// The number of the lowest bit that is set.
static inline int lowest_bit(std::uint64_t bits) {
#if defined(__GNUC__)
    return __builtin_ctzll(bits);
#else
    int i = 0;
    while (!(bits >> i & 1)) ++i;
    return i;
#endif
}

// The least power of two, at most `tile`, that has room for the queries that are left.
static inline int tile_width(std::int64_t left, int tile) {
    int width = 1;
    while (width < tile && width < left) width *= 2;
    return width;
}

// The queries that one pass over a group of blocks serves.
template <class Entry> struct Tile {
    std::int64_t query;   // the first one's number
    const Entry* entries; // what the pass reads of them: filter tables, or patterns to compare
    Sink* sinks;
};

// The t-th tile of `width` queries; `entries` holds `size` for each query.
template <class Entry>
static inline Tile<Entry> tile_of(const Part& part, std::int64_t t, int width, const Entry* entries,
                                  std::int64_t size) {
    return {t * width, entries + t * width * size, part.sinks + (t - part.tiles.first) * width};
}

// The least and the greatest inverse norm in a group of blocks.
struct NormSpan {
    float least, most;
};

// The least sum of filter entries with which a row of these inverse norms may beat the floor: 65536
// where none can. A row with a smaller sum cannot, since highest() rises with the sum.
static inline std::uint32_t least_sum(Bound bound, NormSpan norms, float floor) {
    if (!(floor == floor)) return 0; // NaN: no floor yet
    const auto beaten = [&](std::uint32_t sum) {
        const float most = highest(bound, sum);
        return most * (most < 0 ? norms.least : norms.most) <= floor;
    };
    const double wanted = double{floor} / double{floor < 0 ? norms.least : norms.most};
    const double guess = (wanted - double{bound.base}) / double{bound.scale} + 2;
    std::uint32_t sum = guess < 0 ? 0 : guess > 65536 ? 65536 : static_cast<std::uint32_t>(guess);
    while (sum > 0 && !beaten(sum - 1)) --sum;
    return sum;
}

// Up to Most blocks with rows that may be returned, and which rows these are.
template <int Most> struct Group {
    std::int64_t blocks[Most];
    std::uint64_t allowed[Most];
    int count = 0;

    // Takes up to `size` blocks from the i-th one on, and moves `i` behind them.
    Group(const Rows& rows, std::int64_t& i, std::int64_t last, std::int64_t size) {
        for (; i < last && count < size; ++i) {
            const std::int64_t block = block_at(rows, i);
            const std::uint64_t some = allowed_rows(rows, block);
            if (some != 0) blocks[count] = block, allowed[count++] = some;
        }
    }
    // Whether so many blocks are left out that the CPU cannot predict which one comes next.
    bool sparse() const { return 4 * count <= 3 * (blocks[count - 1] - blocks[0] + 1); }
};

using TiledGroup = Group<kMaxGroupBlocks>;

// Prefetches the columns of a block.
static QAMA_INLINE void fetch(const Blocks& blocks, std::int64_t block, int columns) {
    for (int c = 0; c < columns; ++c) QAMA_PREFETCH(column_at(blocks, block, c));
}

// Whether the scan of one query prefetches column by column, between its look-ups, or a whole block
// at once. A whole block is faster for blocks in order that are of middle length: of a short one
// there is little to wait for, and of a long one more than a CPU fetches at a time.
static inline bool fetched_by_column(int columns, bool sparse) {
    if (sparse) return columns > kShortCode;
    return columns <= 32 || columns > 100;
}

// Which blocks a scan will come to soon, and prefetching them.
class Ahead {
  public:
    Ahead(const Blocks& blocks, int columns, const TiledGroup& group, const TiledGroup& next)
        : blocks_(blocks), columns_(columns),
          blocks_ahead_(static_cast<int>(group_blocks(columns, kAheadBytes)) + 1), group_(group),
          next_(next) {}
    // The block to prefetch while the scan is at the i-th block of the group, or -1.
    QAMA_INLINE std::int64_t block(int i) const {
        const int next = i + blocks_ahead_ - group_.count;
        if (next >= next_.count) return -1;
        return next < 0 ? group_.blocks[i + blocks_ahead_] : next_.blocks[next];
    }
    QAMA_INLINE void at(int i) const { // prefetches all of it
        if (const std::int64_t next = block(i); next >= 0) fetch(blocks_, next, columns_);
    }

  private:
    static constexpr std::int64_t kAheadBytes = 12 << 10;

    const Blocks& blocks_;
    int columns_, blocks_ahead_;
    const TiledGroup &group_, &next_;
};

// Positive floats are ordered like the integers of their bits, and loops over those vectorise.
static inline std::uint32_t bits_of(float value) {
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(std::uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

static inline NormSpan span_of(const float* values, std::int64_t count) {
    std::uint32_t span[2] = {0xFFFFFFFF, 0};
    for (std::int64_t i = 0; i < count; ++i) {
        const std::uint32_t bits = bits_of(values[i]);
        span[0] = bits < span[0] ? bits : span[0];
        span[1] = bits > span[1] ? bits : span[1];
    }
    return {float_of(span[0]), float_of(span[1])};
}

static inline NormSpan span_of(const InverseNorms& norms, std::int64_t row, std::int64_t count) {
    if (!norms.values) return {1.0f, 1.0f};
    if (!norms.indices) return span_of(norms.values + row, count);
    if (!norms.ascending) return span_of(norms.values, 256);
    std::uint8_t least = 255, most = 0;
    for (const std::uint8_t *at = norms.indices + row, *end = at + count; at < end; ++at) {
        least = *at < least ? *at : least;
        most = *at > most ? *at : most;
    }
    return {norms.values[least], norms.values[most]};
}

// The span of a whole group, which is read in runs of neighbouring blocks.
template <int Most>
static inline NormSpan group_span(const TableScan& scan, const Group<Most>& group) {
    NormSpan all{};
    for (int i = 0, j; i < group.count; i = j) {
        const std::int64_t first = group.blocks[i];
        for (j = i + 1; j < group.count && group.blocks[j] == first + j - i;) ++j;
        const std::int64_t left = scan.rows.count - first * kRows,
                           held = std::int64_t{j - i} * kRows;
        const NormSpan run = span_of(scan.norms, first * kRows, left < held ? left : held);
        if (i == 0 || run.least < all.least) all.least = run.least;
        if (i == 0 || run.most > all.most) all.most = run.most;
    }
    return all;
}

} // namespace qama
