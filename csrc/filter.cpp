#include "filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

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

// The values that one bit field of a code adds to S: `count` entries of a table, `step` apart.
struct Field {
    const std::int16_t* table;
    int step, count;
    std::int32_t least, reach;

    Field(const std::int16_t* entries, int distance, int number)
        : table(entries), step(distance), count(number) {
        std::int32_t low = table[0], high = low;
        for (int i = 1; i < count; ++i) {
            low = std::min<std::int32_t>(low, table[step * i]);
            high = std::max<std::int32_t>(high, table[step * i]);
        }
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

// One table of a full column, or the two of a narrow one.
void write(const Field* fields, int count, std::int32_t scale, std::uint8_t* to, int step) {
    std::uint16_t values[kByteSize];
    for (const Field* end = fields + count; fields < end; ++fields) {
        scaled(*fields, scale, values);
        for (int i = 0; i < fields->count; ++i, to += step) *to = rounded_up(values[i]);
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
}

void Filter::fill(std::int64_t query) {
    const bool wide = layout_ == FilterLayout::wide,
               interleaved = layout_ == FilterLayout::interleaved;
    const Fields fields(args_, query, wide);
    const std::int32_t scale = scale_of(fields, tables_);
    const std::int64_t first = query / tile_ * tile_, lane = query - first;
    const int lanes = interleaved ? kInterleaved : tile_width(args_.queries.count - first, tile_);
    const int step = interleaved ? kInterleaved : 1;
    std::uint8_t* tile = entries_ + first * entry_bytes_;
    const auto tables = [&](std::int64_t bytes) { // of this query in the column at `tile`
        std::uint8_t* mine = tile + lane * (interleaved ? 1 : bytes);
        tile += lanes * bytes;
        return mine;
    };
    const Field* field = fields.each.data();
    for (int r = 0; r < kRuns; ++r) {
        const Run run = run_of(args_, r);
        for (int c = run.first; c < run.last;) {
            const int some = !run.full && wide ? std::min(3, run.last - c) : 1;
            if (run.full) write(field, 1, scale, tables(byte_codewords(true)), step);
            else if (wide) write_wide(field, some, scale, tables(kWideSize * (some + 1)));
            else write(field, 2, scale, tables(byte_codewords(false)), step);
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
