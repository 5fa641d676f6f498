// The table scan by interleaved tables, written once over an instruction set I (see scan_kernel.h).
//
// Here a lane of a vector is a query, not a row. The byte of a row selects one line of its column's
// table, and that line holds the entries of 64 queries. So a look-up is one load, however many
// entries a table has. The tables of a few columns serve all rows of some blocks before those of
// the next columns are read, so that they stay in the cache; meanwhile the rows' sums are in
// memory.
#pragma once

#include "range_kernel.h"

namespace qama {

constexpr int kSummedBlocks = 8;              // whose sums are in memory, 128 bytes per row
constexpr int kFullPass = 8, kNarrowPass = 8; // columns whose tables are read at a time, at most

// Adds the entries of N columns to one row's sums; `at` points at its byte in the first of them.
template <class I, bool Full, int N>
static inline void add_entries(const std::uint8_t* at, const std::uint8_t* entries,
                               typename I::Total& sums) {
    constexpr int group = Full ? kFullGroup : kNarrowGroup, size = byte_codewords(Full);
    for (int first = 0; first < N; first += group) {
        auto total = I::Vector::splat(0);
        for (int c = first; c < N && c < first + group; ++c) {
            const unsigned byte = at[kRows * c];
            const std::uint8_t* table = entries + kInterleaved * size * c;
            const auto line = [table](int i) { return I::Vector::load(table + kInterleaved * i); };
            const auto nibble_lines = [line](unsigned b) {
                return line(high_nibble(b)).add(line(kNibbleSize + low_nibble(b)));
            };
            total = total.add(Full ? line(byte) : nibble_lines(byte));
        }
        sums.add(total);
    }
}

// Adds the entries of the columns from `first` up to `last` to the sums of all rows of some blocks,
// N columns at a time, then those that are left. Returns where the entries of the next column are.
template <class I, bool Full, int N>
static inline const std::uint8_t*
add_columns(const TableScan& scan, const std::int64_t* blocks, int count, int first, int last,
            const std::uint8_t* entries, typename I::Total* sums) {
    constexpr int size = byte_codewords(Full);
    for (; last - first >= N; first += N, entries += kInterleaved * size * N)
        for (int b = 0; b < count; ++b) {
            const std::uint8_t* at = column_at(scan.blocks, blocks[b], first);
            for (int i = 0; i < kRows; ++i)
                add_entries<I, Full, N>(at + i, entries, sums[kRows * b + i]);
        }
    if constexpr (N > 1)
        return add_columns<I, Full, N / 2>(scan, blocks, count, first, last, entries, sums);
    return entries;
}

template <class I>
static inline void add_runs(const TableScan& scan, const std::int64_t* blocks, int count,
                            const std::uint8_t* entries, typename I::Total* sums) {
    for (int r = 0; r < kRuns; ++r) {
        const Run run = scan.runs[r];
        entries = run.full ? add_columns<I, true, kFullPass>(scan, blocks, count, run.first,
                                                             run.last, entries, sums)
                           : add_columns<I, false, kNarrowPass>(scan, blocks, count, run.first,
                                                                run.last, entries, sums);
    }
}

// The least sums of filter entries that 64 queries want of a row, by its inverse norm: the span of
// inverse norms is cut into at most 16 steps of as many floats each.
template <class I> class Limits {
  public:
    Limits(const TableScan& scan, NormSpan span, std::int64_t query, const Sink* sinks)
        : scan_(scan), query_(query), sinks_(sinks), first_(bits_of(span.least)),
          last_(bits_of(span.most)) {
        while (step_of(last_) >= kSteps) ++shift_;
        for (int t = 0; t < kInterleaved; ++t) find(t);
        pack();
    }
    void renew(int t) { // after the floor of query t rose
        find(t);
        pack();
    }
    std::uint64_t reached(const typename I::Total& sums, float norm) const {
        return ~sums.below(packed_[step_of(bits_of(norm))]);
    }

  private:
    static constexpr std::uint32_t kSteps = 16;

    std::uint32_t step_of(std::uint32_t bits) const { return (bits - first_) >> shift_; }

    void find(int t) {
        for (std::uint32_t step = 0; step <= step_of(last_); ++step) {
            const std::uint32_t start = first_ + (step << shift_), end = start + (1u << shift_) - 1;
            const NormSpan span{float_of(start), float_of(end < last_ ? end : last_)};
            const auto least = least_sum(scan_.bounds[query_ + t], span, sinks_[t].floor);
            least_[step][t] = static_cast<std::uint16_t>(least > 0xFFFF ? 0xFFFF : least);
        }
    }
    void pack() {
        for (std::uint32_t step = 0; step <= step_of(last_); ++step)
            packed_[step] = I::Total::load(least_[step]);
    }

    const TableScan& scan_;
    std::int64_t query_;
    const Sink* sinks_;
    std::uint32_t first_, last_; // as bits
    int shift_ = 0;
    std::uint16_t least_[kSteps][kInterleaved];
    typename I::Total packed_[kSteps];
};

template <class I>
static inline void offer_row(const TableScan& scan, const typename I::Total& sums,
                             std::uint64_t found, std::int64_t query, std::int64_t row, Sink* sinks,
                             Limits<I>& limits) {
    std::uint16_t bounds[kInterleaved];
    sums.store(bounds);
    for (; found != 0; found &= found - 1) {
        const int t = lowest_bit(found);
        if (offer_score(sinks[t], bounds[t], scan, query + t, row)) limits.renew(t);
    }
}

using WideGroup = Group<kInterleavedGroupBlocks>;

template <class I>
static void interleaved_tile(const TableScan& scan, const WideGroup& group, NormSpan norms,
                             const Tile<std::uint8_t>& tile) {
    Limits<I> limits(scan, norms, tile.query, tile.sinks);
    typename I::Total sums[kSummedBlocks * kRows];
    for (int i = 0; i < group.count; i += kSummedBlocks) {
        const int left = group.count - i, count = left < kSummedBlocks ? left : kSummedBlocks;
        for (int r = 0; r < kRows * count; ++r) sums[r] = typename I::Total{};
        add_runs<I>(scan, group.blocks + i, count, tile.entries, sums);
        for (int b = 0; b < count; ++b)
            for (int r = 0; r < kRows; ++r) {
                const typename I::Total& sum = sums[kRows * b + r];
                if ((group.allowed[i + b] >> r & 1) == 0) continue;
                const std::int64_t row = group.blocks[i + b] * kRows + r;
                const std::uint64_t found = limits.reached(sum, inverse_norm(scan.norms, row));
                if (found != 0) offer_row<I>(scan, sum, found, tile.query, row, tile.sinks, limits);
            }
    }
}

template <class I> static void interleaved_scan(const TableScan& scan, const Part& part) {
    std::int64_t at = part.blocks.first;
    while (true) {
        const WideGroup group(scan.rows, at, part.blocks.last, kInterleavedGroupBlocks);
        if (group.count == 0) return;
        const NormSpan norms = group_span(scan, group);
        for (std::int64_t t = part.tiles.first; t < part.tiles.last; ++t)
            interleaved_tile<I>(scan, group, norms,
                                tile_of(part, t, kInterleaved, scan.entries, scan.entry_bytes));
    }
}

} // namespace qama
