#include "filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "range_kernel.h"

namespace qama {
namespace {

constexpr std::int64_t kInterleavedHits = 1000; // k above which 64 collectors would be large
constexpr int kFraction = 8; // bits of a part below the point, before an entry is rounded up

// high(4 a + b) = high(4 a) + high(b) - high(0): only then can a wide table split a high nibble.
// Weighted bits and weighted pairs of bits are so; arbitrary tables need not be.
bool splits(const std::int16_t* high) {
    for (int x = 5; x < 16; ++x)
        if (high[x] + high[0] != high[x & 12] + high[x & 3]) return false;
    return true;
}

bool all_split(const TableQueries& q) {
    for (std::int64_t i = 0; i < q.count; ++i)
        for (std::int64_t at = 256 * q.full; at < q.size; at += 32)
            if (!splits(q.tables + i * q.size + at)) return false;
    return true;
}

// The values that one bit field of a code adds to S: `count` entries of a table, `step` apart.
struct Part {
    const std::int16_t* table;
    int step, count;
    std::int32_t least, reach;

    Part(const std::int16_t* entries, int distance, int number)
        : table(entries), step(distance), count(number) {
        std::int32_t low = table[0], high = low;
        for (int i = 1; i < count; ++i) {
            low = std::min<std::int32_t>(low, table[step * i]);
            high = std::max<std::int32_t>(high, table[step * i]);
        }
        least = low, reach = high - low;
    }
};

// The parts of one query, and the tables (of one or more parts) whose entries fit 8 bits together.
struct Parts {
    std::vector<Part> parts;
    std::int64_t base;
    std::int64_t reach = 0, most = 0; // of all, and of the group that reaches farthest

    Parts(const TableQueries& q, std::int64_t query, bool wide) : base(q.offsets[query]) {
        const std::int16_t* table = q.tables + query * q.size;
        parts.reserve(static_cast<std::size_t>(3 * q.columns));
        for (int r = 0; r < kRuns; ++r) {
            const Run run = run_of(q, r);
            const std::size_t first = parts.size();
            for (int c = run.first; c < run.last; ++c, table += run.full ? 256 : 32) {
                if (run.full) parts.emplace_back(table, 1, 256);
                else add_nibbles(table, wide);
            }
            add_up(first, run.full ? kFullGroup : wide ? 9 : 2 * kNarrowGroup);
        }
    }

  private:
    void add_nibbles(const std::int16_t* table, bool wide) {
        if (wide) {
            parts.emplace_back(table, 4, 4); // top bits of the high nibble
            parts.emplace_back(table, 1, 4); // its low bits, with the top ones zero
            base -= table[0];                // which both of them hold
        } else {
            parts.emplace_back(table, 1, 16);
        }
        parts.emplace_back(table + 16, 1, 16);
    }
    void add_up(std::size_t first, std::size_t group) {
        for (std::size_t i = first; i < parts.size(); i += group) {
            std::int64_t sum = 0;
            for (std::size_t j = i; j < std::min(i + group, parts.size()); ++j)
                sum += parts[j].reach, base += parts[j].least;
            reach += sum;
            most = std::max(most, sum);
        }
    }
};

// The least scale for which no sum of the scan can overflow: the tables of a group stay within
// 255 and all of them within 65535. A table adds less than reach / scale + 1 + 1/64.
std::int32_t scale_of(const Parts& parts, std::int64_t tables) {
    const auto enough = [](std::int64_t reach, std::int64_t limit) {
        return static_cast<std::int32_t>((reach + limit - 1) / limit);
    };
    return std::max({1, enough(parts.most, 255 - 5), enough(parts.reach, 65535 - 2 * tables)});
}

// ceil(256 (value - least) / scale) of each value. Multiplying by 2^44 / scale, rounded up, divides
// exactly, since numerator * scale < 2^44; the quotient is below 2^16, the product below 2^61.
void scaled(const Part& part, std::int32_t scale, std::uint16_t* to) {
    const std::uint64_t inverse = ((std::uint64_t{1} << 44) + scale - 1) / scale;
    for (int i = 0; i < part.count; ++i) {
        const std::int32_t value = part.table[part.step * i] - part.least;
        to[i] = static_cast<std::uint16_t>(((value << kFraction) + scale - 1) * inverse >> 44);
    }
}

std::uint8_t rounded_up(int value) {
    return static_cast<std::uint8_t>((value + (1 << kFraction) - 1) >> kFraction);
}

float not_below(std::int64_t value) {
    const float rounded = static_cast<float>(value);
    const bool below = static_cast<double>(rounded) < static_cast<double>(value);
    return below ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
}

// One table of a full column, or the two of a narrow one.
void write(const Part* parts, int count, std::int32_t scale, std::uint8_t* to, int step) {
    std::uint16_t values[256];
    for (const Part* end = parts + count; parts < end; ++parts) {
        scaled(*parts, scale, values);
        for (int i = 0; i < parts->count; ++i, to += step) *to = rounded_up(values[i]);
    }
}

// One table of 64 entries per column for its low six bits, then one for the top bits of all.
void write_wide(const Part* parts, int columns, std::int32_t scale, std::uint8_t* to) {
    std::uint16_t tops[3][4] = {}, high[4], low[16];
    for (int c = 0; c < columns; ++c, parts += 3, to += 64) {
        scaled(parts[0], scale, tops[c]);
        scaled(parts[1], scale, high);
        scaled(parts[2], scale, low);
        for (int i = 0; i < 64; ++i) to[i] = rounded_up(high[i >> 4] + low[i & 15]);
    }
    for (int i = 0; i < 64; ++i)
        to[i] = rounded_up(tops[0][i & 3] + tops[1][i >> 2 & 3] + tops[2][i >> 4]);
}

// Interleaved tables cost the same for 1 to 64 queries, shuffles are paid by each.
bool interleaves(const TableQueries& q, const Kernels& kernels, std::int64_t k) {
    const std::int64_t tiles = (q.count + kInterleaved - 1) / kInterleaved;
    const std::int64_t shuffles = std::int64_t{kernels.cost.full} * q.full +
                                  std::int64_t{kernels.cost.nibbles} * (q.columns - q.full);
    return k <= kInterleavedHits && 100 * tiles * kInterleaved * q.columns < q.count * shuffles;
}

Layout layout_of(const TableQueries& q, const Kernels& kernels, std::int64_t k) {
    if (interleaves(q, kernels, k)) return Layout::interleaved;
    return kernels.wide && all_split(q) ? Layout::wide : Layout::narrow;
}

} // namespace

Filter::Filter(const TableQueries& q, const Kernels& kernels, std::int64_t k)
    : queries_(q), layout_(layout_of(q, kernels, k)),
      tile_(layout_ == Layout::interleaved ? kInterleaved : kernels.table_tile) {
    const std::int64_t padded = (q.count + tile_ - 1) / tile_ * tile_;
    const bool wide = layout_ == Layout::wide;
    std::int64_t nibble_tables = 0;
    for (int r = 0; r < kRuns; ++r)
        if (const Run run = run_of(q, r); !run.full)
            nibble_tables += wide ? wide_tables(run.columns()) : 2 * run.columns();
    tables_ = q.full + nibble_tables;
    entry_bytes_ = 256 * q.full + (wide ? 64 : 16) * nibble_tables;
    memory_.resize(static_cast<std::size_t>(padded * entry_bytes_ + 64));
    entries_ = memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64) % 64;
    bounds_.assign(static_cast<std::size_t>(padded), Bound{1.0f, 0.0f});
}

void Filter::fill(std::int64_t query) {
    const TableQueries& q = queries_;
    const bool wide = layout_ == Layout::wide, interleaved = layout_ == Layout::interleaved;
    const Parts parts(q, query, wide);
    const std::int32_t scale = scale_of(parts, tables_);
    const std::int64_t first = query / tile_ * tile_, lane = query - first;
    const int lanes = interleaved ? kInterleaved : tile_width(q.count - first, tile_);
    const int step = interleaved ? kInterleaved : 1;
    std::uint8_t* tile = entries_ + first * entry_bytes_;
    const auto tables = [&](std::int64_t bytes) { // of this query in the column at `tile`
        std::uint8_t* mine = tile + lane * (interleaved ? 1 : bytes);
        tile += lanes * bytes;
        return mine;
    };
    const Part* part = parts.parts.data();
    for (int r = 0; r < kRuns; ++r) {
        const Run run = run_of(q, r);
        for (int c = run.first; c < run.last;) {
            const int some = !run.full && wide ? std::min(3, run.last - c) : 1;
            if (run.full) write(part, 1, scale, tables(256), step);
            else if (wide) write_wide(part, some, scale, tables(64 * (some + 1)));
            else write(part, 2, scale, tables(32), step);
            part += run.full ? 1 : wide ? 3 * some : 2;
            c += some;
        }
    }
    bounds_[static_cast<std::size_t>(query)] = {static_cast<float>(scale), not_below(parts.base)};
}

void Filter::describe(TableScan& scan) const {
    scan.layout = layout_;
    scan.entry_bytes = entry_bytes_;
    scan.entries = entries_;
    scan.bounds = bounds_.data();
}

} // namespace qama
