// The scans, written once over an instruction set I. Each scan_*.cpp defines its I and
// instantiates them. I offers
//
//     Vector                           64 bytes, one per row: load, store, splat, add,
//                                      and the operators & |, shl1, shr1 (see expand.h)
//     Total                            64 sums of 16 bits: add, load, store, below, reaching
//     column(Vector)                   prepared to be compared with many query bytes
//     pattern(byte)                    a query's byte in the form that add_differing() wants
//     add_differing(column, pattern, counts)
//                                      adds to each row's count how many of its 8 bits differ
//     nibbles(Vector)                  prepared for look-ups
//     look_up(nibbles, entries)        per row: high entry + low entry, in 8 bits
//     add_full(columns, entries, sums) per row of B blocks and query of T: the entries at its
//                                      bytes of G columns, added up in 8 bits; [G][T] tables of 256
//     kWide                            whether it has these three, for tables of 64 entries:
//     tops(columns)                    the top two bits of up to three columns, in six bits
//     wide_table<Kept>(entries)        64 entries, kept in a register where blocks share them
//     find(column, table)              per row: the entry at its low six bits
//     Lanes                            int32 lanes: see choose_kernel.h and nibble_kernel.h
//     kHammingTile, kTableTile         queries that one pass over a block serves
//     kTableBlocks                     blocks that share one pass over the tables of a tile
//     kCost                            of these look-ups, see LookUpCost
#pragma once

#include "choose_kernel.h"
#include "expand.h"
#include "interleaved_kernel.h"
#include "nibble_kernel.h"
#include "norm_kernel.h"
#include "range_kernel.h"

namespace qama {

// ---------------------------------------------------------------------------------- Hamming

template <class I, int T>
static inline void count_column(typename I::Vector column, const std::uint32_t* patterns,
                                typename I::Vector (&counts)[T]) {
    const auto ready = I::column(column);
    for (int t = 0; t < T; ++t) I::add_differing(ready, patterns + t, counts[t]);
}

// Adds the differing bits of as many columns from c on as fit 8 bits together. All bits of the
// columns below `whole` are compared; of a later one, those in `last`.
template <class I, int T>
static QAMA_INLINE void count_columns(const std::uint8_t* block, int c, int width, int whole,
                                      std::uint8_t last, const std::uint32_t* patterns,
                                      typename I::Total (&sums)[T]) {
    const int stop = c + kSpill < width ? c + kSpill : width;
    typename I::Vector counts[T];
    for (int t = 0; t < T; ++t) counts[t] = I::Vector::splat(0);
    if (c < whole) { // the first one apart: adding to 0 costs nothing
        count_column<I, T>(I::Vector::load(block + kRows * c), patterns + c * T, counts);
        ++c;
    }
    for (; c < stop && c < whole; ++c)
        count_column<I, T>(I::Vector::load(block + kRows * c), patterns + c * T, counts);
    for (; c < stop; ++c)
        count_column<I, T>(I::Vector::load(block + kRows * c) & I::Vector::splat(last),
                           patterns + c * T, counts);
    for (int t = 0; t < T; ++t) sums[t].add(counts[t]);
}

template <class I, int T>
static QAMA_INLINE void count_block(const std::uint8_t* block, int width, std::uint8_t last,
                                    const std::uint32_t* patterns, typename I::Total (&sums)[T]) {
    const int whole = last == 0xFF ? width : width - 1;
    count_columns<I, T>(block, 0, width, whole, last, patterns, sums);
    for (int c = kSpill; c < width; c += kSpill)
        count_columns<I, T>(block, c, width, whole, last, patterns, sums);
}

template <class I, int T>
static void hamming_tile(const HammingScan& scan, const TiledGroup& group,
                         const std::uint8_t* expanded, const Ahead* ahead,
                         const Tile<std::uint32_t>& tile) {
    const std::uint8_t last = scan.expands ? 0xFF : scan.expansion.last;
    for (int i = 0; i < group.count; ++i) {
        if (ahead) ahead->at(i);
        const std::uint8_t* block = scan.expands ? expanded + i * scan.width * kRows
                                                 : column_at(scan.blocks, group.blocks[i], 0);
        typename I::Total sums[T] = {};
        count_block<I, T>(block, scan.width, last, tile.entries, sums);
        for (int t = 0; t < T; ++t) {
            const std::uint64_t found = sums[t].below(tile.sinks[t].limit) & group.allowed[i];
            if (found == 0) continue;
            std::uint16_t distances[kRows];
            sums[t].store(distances);
            offer_distances(tile.sinks[t], found, distances, group.blocks[i] * kRows);
        }
    }
}

// `width` is the least power of two that has room for the queries of the tile: below T in the last.
template <class I, int T>
static void hamming_tile_of(int width, const HammingScan& scan, const TiledGroup& group,
                            const std::uint8_t* expanded, const Ahead* ahead,
                            const Tile<std::uint32_t>& tile) {
    if constexpr (T > 1)
        if (width < T) return hamming_tile_of<I, T / 2>(width, scan, group, expanded, ahead, tile);
    hamming_tile<I, T>(scan, group, expanded, ahead, tile);
}

template <class I>
static void expand_group(const HammingScan& scan, const TiledGroup& group, const Ahead* ahead,
                         std::uint8_t* to) {
    for (int i = 0; i < group.count; ++i, to += scan.width * kRows) {
        if (ahead) ahead->at(i);
        expand<typename I::Vector>(scan.expansion, column_at(scan.blocks, group.blocks[i], 0),
                                   kRows, to, kRows);
    }
}

template <class I>
static void hamming_scan(const HammingScan& scan, const Part& part, std::uint8_t* scratch) {
    constexpr int T = I::kHammingTile;
    const std::int64_t size = group_blocks(scan.width, kGroupBytes);
    std::int64_t at = part.blocks.first;
    for (TiledGroup group(scan.rows, at, part.blocks.last, size); group.count > 0;) {
        const TiledGroup next(scan.rows, at, part.blocks.last, size);
        const Ahead ahead(scan.blocks, scan.expansion.columns, group, next);
        const bool fetches = group.sparse(); // the CPU itself prefetches what lies in order
        if (scan.expands) expand_group<I>(scan, group, fetches ? &ahead : nullptr, scratch);
        for (std::int64_t t = part.tiles.first; t < part.tiles.last; ++t) {
            const bool first = t == part.tiles.first && !scan.expands;
            hamming_tile_of<I, T>(tile_width(scan.queries.count - t * T, T), scan, group, scratch,
                                  fetches && first ? &ahead : nullptr,
                                  tile_of(part, t, T, scan.patterns, scan.width));
        }
        group = next;
    }
}

// ----------------------------------------------------------------------------------- tables

// What is prefetched while the columns of a block are read: nothing, or the same columns of a later
// block.
struct FetchNothing {
    FetchNothing of_run(const Blocks&, int) const { return {}; }
    QAMA_INLINE void operator()(const std::uint8_t*) const {}
};

struct FetchColumn {
    std::int64_t from, to; // the block that is read, the block that is prefetched
    std::int64_t distance; // bytes between the same column of both

    FetchColumn of_run(const Blocks& blocks, int first) const {
        return {from, to, column_at(blocks, to, first) - column_at(blocks, from, first)};
    }
    QAMA_INLINE void operator()(const std::uint8_t* at) const { QAMA_PREFETCH(at + distance); }
};

// How a tile prefetches the blocks that it comes to soon: whole, or column by column.
struct FetchBlocks {
    const Ahead* ahead; // or null

    template <int B> FetchNothing at(int i, std::int64_t) const {
        for (int b = 0; ahead && b < B; ++b) ahead->at(i + b);
        return {};
    }
};

struct FetchColumns {
    const Ahead* ahead;

    template <int B> FetchColumn at(int i, std::int64_t block) const {
        const std::int64_t later = ahead->block(i);
        return {block, later < 0 ? block : later, 0};
    }
};

template <class I, class Fetch>
static QAMA_INLINE typename I::Vector loaded(const std::uint8_t* at, Fetch fetch) {
    fetch(at);
    return I::Vector::load(at);
}

// The look_up functions add up the filter entries of `Group` columns, in 8 bits, for B blocks and T
// queries at a time. `at` points at the first of these columns in each block. The B blocks share
// each load of a table, since loads are what look-ups wait for.

// Full columns: one of 256 entries per byte.
template <class I, int T, int B, int Group, class Fetch>
static inline void look_up_full(const std::uint8_t* (&at)[B], Fetch fetch,
                                const std::uint8_t* entries, typename I::Total (&sums)[B][T]) {
    typename I::Vector columns[B][Group];
    for (int b = 0; b < B; at[b++] += Group * kRows)
        for (int g = 0; g < Group; ++g) columns[b][g] = loaded<I>(at[b] + kRows * g, fetch);
    I::add_full(columns, entries, sums);
}

// Narrow tables: one of 16 entries per nibble.
template <class I, int T, int B, int Group, class Fetch>
static inline void look_up_narrow(const std::uint8_t* (&at)[B], Fetch fetch,
                                  const std::uint8_t* entries, typename I::Total (&sums)[B][T]) {
    typename I::Vector total[B][T];
    for (int g = 0; g < Group; ++g) {
        decltype(I::nibbles(I::Vector::load(nullptr))) nibbles[B];
        for (int b = 0; b < B; ++b) nibbles[b] = I::nibbles(loaded<I>(at[b] + kRows * g, fetch));
        for (int t = 0; t < T; ++t)
            for (int b = 0; b < B; ++b) {
                const auto found =
                    I::look_up(nibbles[b], entries + byte_codewords(false) * (T * g + t));
                total[b][t] = g == 0 ? found : total[b][t].add(found);
            }
    }
    for (int b = 0; b < B; at[b++] += Group * kRows)
        for (int t = 0; t < T; ++t) sums[b][t].add(total[b][t]);
}

// Wide tables, of 64 entries: one for the low six bits of each column, one for the top bits of all.
template <class I, int T, int B, int Group, class Fetch>
static inline void look_up_wide(const std::uint8_t* (&at)[B], Fetch fetch,
                                const std::uint8_t* entries, typename I::Total (&sums)[B][T]) {
    typename I::Vector columns[B][Group + 1];
    for (int b = 0; b < B; at[b++] += Group * kRows) {
        typename I::Vector some[Group];
        for (int g = 0; g < Group; ++g)
            columns[b][g] = some[g] = loaded<I>(at[b] + kRows * g, fetch);
        columns[b][Group] = I::tops(some);
    }
    for (int t = 0; t < T; ++t, entries += kWideSize * (Group + 1)) {
        typename I::Vector total[B];
        for (int g = 0; g <= Group; ++g) {
            const auto table = I::template wide_table<(B > 1)>(entries + kWideSize * g);
            for (int b = 0; b < B; ++b) {
                const auto found = I::find(columns[b][g], table);
                total[b] = g == 0 ? found : total[b].add(found);
            }
        }
        for (int b = 0; b < B; ++b) sums[b][t].add(total[b]);
    }
}

template <class I, int T, int B, class Fetch>
static inline void look_up_wide(const std::uint8_t* (&at)[B], Fetch fetch, int columns,
                                const std::uint8_t* entries, typename I::Total (&sums)[B][T]) {
    for (; columns >= 3; columns -= 3, entries += kWideSize * 4 * T)
        look_up_wide<I, T, B, 3>(at, fetch, entries, sums);
    if (columns == 2) look_up_wide<I, T, B, 2>(at, fetch, entries, sums);
    if (columns == 1) look_up_wide<I, T, B, 1>(at, fetch, entries, sums);
}

// Looks up the columns of a run; returns where the entries of the next run are.
template <class I, int T, int B, bool Wide, class Fetch>
static inline const std::uint8_t* look_up_run(const std::uint8_t* (&at)[B], Fetch fetch,
                                              const Run& run, const std::uint8_t* entries,
                                              typename I::Total (&sums)[B][T]) {
    int columns = run.columns();
    if (run.full) {
        constexpr int group = kFullGroup, size = byte_codewords(true) * T;
        for (; columns >= group; columns -= group, entries += size * group)
            look_up_full<I, T, B, group>(at, fetch, entries, sums);
        for (; columns > 0; --columns, entries += size)
            look_up_full<I, T, B, 1>(at, fetch, entries, sums);
    } else if constexpr (Wide) {
        look_up_wide<I, T, B>(at, fetch, columns, entries, sums);
        entries += kWideSize * T * wide_tables(columns);
    } else {
        constexpr int group = kNarrowGroup, size = byte_codewords(false) * T;
        for (; columns >= group; columns -= group, entries += size * group)
            look_up_narrow<I, T, B, group>(at, fetch, entries, sums);
        for (; columns > 0; --columns, entries += size)
            look_up_narrow<I, T, B, 1>(at, fetch, entries, sums);
    }
    return entries;
}

template <class I, int T, int B, bool Wide, class Fetch>
static inline void look_up_blocks(const TableScan& scan, const std::int64_t (&blocks)[B],
                                  Fetch fetch, const std::uint8_t* entries,
                                  typename I::Total (&sums)[B][T]) {
    for (int r = 0; r < kRuns; ++r) {
        const Run run = scan.runs[r];
        if (run.columns() == 0) continue;
        const std::uint8_t* at[B];
        for (int b = 0; b < B; ++b) at[b] = column_at(scan.blocks, blocks[b], run.first);
        entries = look_up_run<I, T, B, Wide>(at, fetch.of_run(scan.blocks, run.first), run, entries,
                                             sums);
    }
}

// Returns whether the sink's floor rose.
static inline bool offer_rows(const TableScan& scan, std::uint64_t rows, const std::uint16_t* sums,
                              std::int64_t query, std::int64_t block, Sink& sink) {
    bool rose = false;
    for (; rows != 0; rows &= rows - 1) {
        const int i = lowest_bit(rows);
        rose |= offer_score(sink, sums[i], scan, query, block * kRows + i);
    }
    return rose;
}

template <class I, int T, int B, bool Wide, class Fetch>
static void table_tile(const TableScan& scan, const TiledGroup& group, Fetch fetch, NormSpan norms,
                       const Tile<std::uint8_t>& tile) {
    const auto [query, entries, sinks] = tile;
    const Bound* bounds = scan.bounds + query;
    std::uint32_t least[T];
    for (int t = 0; t < T; ++t) least[t] = least_sum(bounds[t], norms, sinks[t].floor);
    for (int i = 0; i < group.count; i += B) {
        std::int64_t blocks[B]; // where the group ends, the first of them again
        for (int b = 0; b < B; ++b) blocks[b] = group.blocks[i + b < group.count ? i + b : i];
        typename I::Total sums[B][T];
        for (auto& of_block : sums)
            for (auto& sum : of_block) sum = typename I::Total{};
        look_up_blocks<I, T, B, Wide>(scan, blocks, fetch.template at<B>(i, blocks[0]), entries,
                                      sums);
        for (int b = 0; b < B && i + b < group.count; ++b)
            for (int t = 0; t < T; ++t) {
                if (least[t] > 0xFFFF) continue;
                const std::uint64_t found = sums[b][t].reaching(least[t]) & group.allowed[i + b];
                if (found == 0) continue;
                std::uint16_t stored[kRows];
                sums[b][t].store(stored);
                if (offer_rows(scan, found, stored, query + t, blocks[b], sinks[t]))
                    least[t] = least_sum(bounds[t], norms, sinks[t].floor);
            }
    }
}

// Several blocks share the table loads of a single query only where blocks are short: from several
// long ones the CPU cannot fetch in time.
template <class I, bool Wide, class Fetch>
static void lone_tile(const TableScan& scan, const TiledGroup& group, Fetch fetch, NormSpan norms,
                      const Tile<std::uint8_t>& tile) {
    constexpr int few = I::kTableBlocks > 1 ? 2 * I::kTableBlocks : 1;
    if (scan.queries.layout.bytes > kShortCode)
        table_tile<I, 1, 1, Wide>(scan, group, fetch, norms, tile);
    else table_tile<I, 1, few, Wide>(scan, group, fetch, norms, tile);
}

// See hamming_tile_of().
template <class I, int T, bool Wide>
static void table_tile_of(int width, const TableScan& scan, const TiledGroup& group,
                          const Ahead* ahead, NormSpan norms, const Tile<std::uint8_t>& tile) {
    if constexpr (T == 1) {
        if (ahead && fetched_by_column(scan.queries.layout.bytes, group.sparse()))
            return lone_tile<I, Wide>(scan, group, FetchColumns{ahead}, norms, tile);
        lone_tile<I, Wide>(scan, group, FetchBlocks{ahead}, norms, tile);
    } else {
        if (width < T) return table_tile_of<I, T / 2, Wide>(width, scan, group, ahead, norms, tile);
        table_tile<I, T, I::kTableBlocks, Wide>(scan, group, FetchBlocks{ahead}, norms, tile);
    }
}

template <class I, bool Wide> static void table_scan_of(const TableScan& scan, const Part& part) {
    constexpr int T = I::kTableTile;
    const int columns = scan.queries.layout.bytes;
    const std::int64_t size = group_blocks(columns, kTableGroupBytes);
    std::int64_t at = part.blocks.first;
    for (TiledGroup group(scan.rows, at, part.blocks.last, size); group.count > 0;) {
        const TiledGroup next(scan.rows, at, part.blocks.last, size);
        const Ahead ahead(scan.blocks, columns, group, next);
        const NormSpan norms = group_span(scan, group);
        for (std::int64_t t = part.tiles.first; t < part.tiles.last; ++t)
            table_tile_of<I, T, Wide>(tile_width(scan.queries.count - t * T, T), scan, group,
                                      t == part.tiles.first ? &ahead : nullptr, norms,
                                      tile_of(part, t, T, scan.entries, scan.entry_bytes));
        group = next;
    }
}

template <class I> static void table_scan(const TableScan& scan, const Part& part) {
    if constexpr (I::kCost.gains())
        if (scan.layout == FilterLayout::interleaved) return interleaved_scan<I>(scan, part);
    if constexpr (I::kWide)
        if (scan.layout == FilterLayout::wide) return table_scan_of<I, true>(scan, part);
    table_scan_of<I, false>(scan, part);
}

template <class I> static constexpr Kernels kernels_of(const char* name) {
    return {name,
            I::kHammingTile,
            I::kTableTile,
            I::kWide,
            I::kCost,
            &I::pattern,
            &hamming_scan<I>,
            &table_scan<I>,
            &choose_rows<I>,
            &multiply<I>,
            &multiply_nibbles<I>,
            &round_tables<I>,
            &norms_of_sums<I>};
}

} // namespace qama
