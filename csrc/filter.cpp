#include "filter.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "pool.h"
#include "range_kernel.h"

namespace qama {
namespace {

constexpr std::int64_t kInterleavedHits = 1000; // k above which 64 collectors would be large
constexpr int kFraction = 8; // fractional bits of a field's values, before they are rounded up

// Whether the lookup tables of all high nibbles are split: only then can wide tables be used, which
// look up the two halves of a high nibble apart. Tables of grid codes are split, and so are those
// of codebooks whose codewords are sums of two terms; others need not be.
bool all_split(const TableQueries& q) {
    const std::int64_t size = codeword_count(q.layout),
                       later = first_codeword(q.layout, q.layout.full);
    for (std::int64_t i = 0; i < q.count; ++i)
        for (std::int64_t at = later; at < size; at += byte_codewords(false))
            if (!is_split(q.tables + i * size + at)) return false;
    return true;
}

// The least and the greatest of some entries that lie side by side.
void span(const std::int16_t* entries, int count, std::int16_t& low, std::int16_t& high) {
    for (int i = 0; i < count; ++i) {
        low = entries[i] < low ? entries[i] : low;
        high = entries[i] > high ? entries[i] : high;
    }
}

// The values that one bit field of a code adds to S: `count` entries of a table, `step` apart.
struct Field {
    const std::int16_t* table;
    int step, count;
    std::int32_t least, reach;

    Field(const std::int16_t* entries, int distance, int number)
        : table(entries), step(distance), count(number) {
        std::int16_t low = table[0], high = low;
        if (step == 1) span(table, count, low, high);
        else
            for (int i = 1; i < count; ++i) span(table + step * i, 1, low, high);
        least = low, reach = high - low;
    }
};

// The fields of one query. Those of some neighbouring columns form a group, whose entries the scan
// sums in 8 bits.
struct Fields {
    std::vector<Field> each;
    std::int64_t base;
    std::int64_t reach = 0, most = 0; // of all fields, and of the group with the largest reach

    Fields(const TableArgs& args, std::int64_t query, bool wide)
        : base(args.queries.offsets[query]) {
        const CodebookLayout layout = args.queries.layout;
        const std::int16_t* table = args.queries.tables + query * codeword_count(layout);
        each.reserve(static_cast<std::size_t>(3 * layout.bytes));
        for (int r = 0; r < kRuns; ++r) {
            const Run run = run_of(args, r);
            const std::size_t first = each.size();
            for (int c = run.first; c < run.last; ++c, table += byte_codewords(run.full)) {
                if (run.full) each.emplace_back(table, 1, kByteSize);
                else add_nibbles(table, wide);
            }
            add_up(first, run.full ? kFullGroup : wide ? 9 : 2 * kNarrowGroup);
        }
    }

  private:
    void add_nibbles(const std::int16_t* table, bool wide) {
        if (wide) {
            each.emplace_back(table, kSplitSize, kSplitSize); // top bits of the high nibble
            each.emplace_back(table, 1, kSplitSize);          // its low bits, the top ones zero
            base -= table[0];                                 // which both of them hold
        } else {
            each.emplace_back(table, 1, kNibbleSize);
        }
        each.emplace_back(table + kNibbleSize, 1, kNibbleSize);
    }
    void add_up(std::size_t first, std::size_t group) {
        for (std::size_t i = first; i < each.size(); i += group) {
            std::int64_t sum = 0;
            for (std::size_t j = i; j < std::min(i + group, each.size()); ++j)
                sum += each[j].reach, base += each[j].least;
            reach += sum;
            most = std::max(most, sum);
        }
    }
};

// The least scale for which no sum of the scan can overflow: the tables of a group stay within
// 255 and all of them within 65535. A table adds less than reach / scale + 1 + 1/64.
std::int32_t scale_of(const Fields& fields, std::int64_t tables) {
    const auto enough = [](std::int64_t reach, std::int64_t limit) {
        return static_cast<std::int32_t>((reach + limit - 1) / limit);
    };
    return std::max({1, enough(fields.most, 255 - 5), enough(fields.reach, 65535 - 2 * tables)});
}

// ceil(256 (value - least) / scale) of each value. Multiplying by 2^44 / scale, rounded up, divides
// exactly, since numerator * scale < 2^44; the quotient is below 2^16, the product below 2^61.
void scaled(const Field& field, std::int32_t scale, std::uint16_t* to) {
    const std::uint64_t inverse = ((std::uint64_t{1} << 44) + scale - 1) / scale;
    for (int i = 0; i < field.count; ++i) {
        const std::int32_t value = field.table[field.step * i] - field.least;
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

// A whole number above (value - least) / scale, by less than 1 + 1/64, of each entry.
void write(const Field& field, std::int32_t scale, std::uint8_t* to) {
    const std::int16_t* const from = field.table;
    const int count = field.count; // read once, as bytes may be written over anything
    const auto least = static_cast<std::uint16_t>(field.least);
    if (scale == 1) {
        for (int i = 0; i < count; ++i) to[i] = static_cast<std::uint8_t>(from[i] - least);
        return;
    }
    int shift = 0; // for which 2^(16 + shift) / scale, rounded up, has 16 bits
    while (4 << shift <= scale) ++shift;
    const auto inverse = static_cast<std::uint16_t>(((1 << (16 + shift)) + scale - 1) / scale);
    for (int i = 0; i < count; ++i) {
        const auto above = static_cast<std::uint16_t>(static_cast<std::uint16_t>(from[i]) - least);
        const auto high = static_cast<std::uint16_t>(std::uint32_t{above} * inverse >> 16);
        to[i] = static_cast<std::uint8_t>((high >> shift) + 1);
    }
}

// One table of 64 entries per column for its low six bits, then one for the top bits of all.
void write_wide(const Field* fields, int columns, std::int32_t scale, std::uint8_t* to) {
    std::uint16_t tops[3][kSplitSize] = {}, high[kSplitSize], low[kNibbleSize];
    for (int c = 0; c < columns; ++c, fields += 3, to += kWideSize) {
        scaled(fields[0], scale, tops[c]);
        scaled(fields[1], scale, high);
        scaled(fields[2], scale, low);
        for (int i = 0; i < kWideSize; ++i) to[i] = rounded_up(high[i >> 4] + low[i & 15]);
    }
    for (int i = 0; i < kWideSize; ++i)
        to[i] = rounded_up(tops[0][i & 3] + tops[1][i >> 2 & 3] + tops[2][i >> 4]);
}

// Swaps the bits of `mask` in a, `shift` further up, with those in b.
void swap_bits(std::uint64_t& a, std::uint64_t& b, int shift, std::uint64_t mask) {
    const std::uint64_t other = (a >> shift ^ b) & mask;
    b ^= other, a ^= other << shift;
}

// Writes byte i of row j as byte j of row i, 8 by 8.
void transpose(const std::uint8_t* from, std::int64_t step, std::uint8_t* to, std::int64_t out) {
    std::uint64_t rows[8];
    for (int i = 0; i < 8; ++i) std::memcpy(rows + i, from + step * i, 8);
    for (int i = 0; i < 4; ++i) swap_bits(rows[i], rows[i + 4], 32, 0x00000000FFFFFFFF);
    for (int i : {0, 1, 4, 5}) swap_bits(rows[i], rows[i + 2], 16, 0x0000FFFF0000FFFF);
    for (int i : {0, 2, 4, 6}) swap_bits(rows[i], rows[i + 1], 8, 0x00FF00FF00FF00FF);
    for (int i = 0; i < 8; ++i) std::memcpy(to + out * i, rows + i, 8);
}

// A tile of interleaved tables costs the same for 1 to 64 queries; other look-ups cost each query.
bool interleaves(const TableQueries& q, const Kernels& kernels, std::int64_t k) {
    const std::int64_t tiles = (q.count + kInterleaved - 1) / kInterleaved;
    const auto [columns, full] = q.layout;
    const std::int64_t shuffles = std::int64_t{kernels.cost.full} * full +
                                  std::int64_t{kernels.cost.nibbles} * (columns - full);
    return k <= kInterleavedHits && 100 * tiles * kInterleaved * columns < q.count * shuffles;
}

FilterLayout layout_of(const TableQueries& q, const Kernels& kernels, std::int64_t k) {
    if (interleaves(q, kernels, k)) return FilterLayout::interleaved;
    return kernels.wide && all_split(q) ? FilterLayout::wide : FilterLayout::narrow;
}

} // namespace

Filter::Filter(const TableArgs& args, const Kernels& kernels, std::int64_t k)
    : args_(args), layout_(layout_of(args.queries, kernels, k)),
      tile_(layout_ == FilterLayout::interleaved ? kInterleaved : kernels.table_tile) {
    const std::int64_t padded = (args.queries.count + tile_ - 1) / tile_ * tile_;
    const std::int64_t full = args.queries.layout.full;
    const bool wide = layout_ == FilterLayout::wide;
    std::int64_t nibble_tables = 0;
    for (int r = 0; r < kRuns; ++r)
        if (const Run run = run_of(args, r); !run.full)
            nibble_tables += wide ? wide_tables(run.columns()) : 2 * run.columns();
    tables_ = full + nibble_tables;
    entry_bytes_ = kByteSize * full + (wide ? kWideSize : kNibbleSize) * nibble_tables;
    memory_.resize(static_cast<std::size_t>(padded * entry_bytes_ + 64));
    entries_ = memory_.data() + (64 - reinterpret_cast<std::uintptr_t>(memory_.data()) % 64) % 64;
    bounds_.assign(static_cast<std::size_t>(padded), Bound{1.0f, 0.0f});
    if (layout_ == FilterLayout::interleaved)
        apart_.resize(static_cast<std::size_t>(padded * entry_bytes_));
}

void Filter::fill(int threads) {
    parallel_for(args_.queries.count, threads, [&](std::int64_t query) { fill_query(query); });
    if (layout_ != FilterLayout::interleaved) return;
    parallel_for(static_cast<std::int64_t>(bounds_.size()) / kInterleaved, threads,
                 [&](std::int64_t tile) { interleave(tile * kInterleaved); });
}

// The tables of 64 queries from those of each. There are 16 entries or more, and no other number
// than a multiple of that.
void Filter::interleave(std::int64_t first) {
    const std::uint8_t* from = apart_.data() + first * entry_bytes_;
    std::uint8_t* to = entries_ + first * entry_bytes_;
    for (std::int64_t entry = 0; entry < entry_bytes_; entry += 8)
        for (int query = 0; query < kInterleaved; query += 8)
            transpose(from + query * entry_bytes_ + entry, entry_bytes_,
                      to + entry * kInterleaved + query, kInterleaved);
}

void Filter::fill_query(std::int64_t query) {
    const bool wide = layout_ == FilterLayout::wide,
               interleaved = layout_ == FilterLayout::interleaved;
    const Fields fields(args_, query, wide);
    const std::int32_t scale = scale_of(fields, tables_);
    const std::int64_t first = interleaved ? query : query / tile_ * tile_, lane = query - first;
    const int lanes = interleaved ? 1 : tile_width(args_.queries.count - first, tile_);
    std::uint8_t* tile = (interleaved ? apart_.data() : entries_) + first * entry_bytes_;
    const auto tables = [&](std::int64_t bytes) { // of this query in the column at `tile`
        std::uint8_t* mine = tile + lane * bytes;
        tile += lanes * bytes;
        return mine;
    };
    const Field* field = fields.each.data();
    for (int r = 0; r < kRuns; ++r) {
        const Run run = run_of(args_, r);
        for (int c = run.first; c < run.last;) {
            const int some = !run.full && wide ? std::min(3, run.last - c) : 1;
            if (run.full) {
                write(*field, scale, tables(byte_codewords(true)));
            } else if (wide) {
                write_wide(field, some, scale, tables(kWideSize * (some + 1)));
            } else {
                std::uint8_t* to = tables(byte_codewords(false));
                write(field[0], scale, to);
                write(field[1], scale, to + kNibbleSize);
            }
            field += run.full ? 1 : wide ? 3 * some : 2;
            c += some;
        }
    }
    bounds_[static_cast<std::size_t>(query)] = {static_cast<float>(scale), not_below(fields.base)};
}

TableScan Filter::scan() const {
    return {args_,    {run_of(args_, 0), run_of(args_, 1), run_of(args_, 2)},
            layout_,  entry_bytes_,
            entries_, bounds_.data()};
}

} // namespace qama
