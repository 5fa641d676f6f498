// The scans, written once over an instruction set I. Each scan_*.cpp defines its I and
// instantiates them. I offers
//
//     Vector                           64 bytes, one per row: load, store, splat, add,
//                                      and the operators & |, shl1, shr1 (see expand.h)
//     Total                            64 sums of 16 bits: add, store, below
//     column(Vector)                   made ready to be compared with many query bytes
//     word(byte)                       a query's byte in the form that differing() wants
//     differing(column, word)          per row: how many of the 8 bits differ from the query's
//     nibbles(Vector)                  made ready for look-ups
//     look_up(nibbles, entries)        per row: high entry + low entry, in 8 bits
//     add_full(columns, entries, sums) per row of B blocks and query of T: the entries at its bytes
//                                      of G columns, added up in 8 bits; [G][T] tables of 256
//     kWide                            whether it also looks up in tables of 64 entries:
//     tops(columns)                    the top bit pairs of up to three columns, in six bits
//     find(column, entries)            per row: the entry at its low six bits
//     Lanes                            int32 lanes: see choose_kernel.h
//     kHammingTile, kTableTile         queries that one pass over a block serves
//     kTableBlocks                     blocks that a pass over the tables of a tile serves
#pragma once

#include <cstring>

#include "choose_kernel.h"
#include "expand.h"

namespace qama {

// The number of the i-th block of a scan.
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

static inline Range group_at(std::int64_t first, std::int64_t size, std::int64_t last) {
    return {first, first + size < last ? first + size : last};
}

// The smallest power of two that holds the queries of a tile.
static inline int tile_width(std::int64_t left, int tile) {
    int width = 1;
    while (width < tile && width < left) width *= 2;
    return width;
}

// ---------------------------------------------------------------------------------- Hamming

// Adds up columns [c, stop), all bits counted, and at most kSpill of them.
template <class I, int T>
static inline void count_columns(const std::uint8_t* block, int c, int stop,
                                 const std::uint32_t* words, typename I::Vector (&counts)[T]) {
    for (; c < stop; ++c) {
        const auto column = I::column(I::Vector::load(block + kRows * c));
        for (int t = 0; t < T; ++t)
            counts[t] = counts[t].add(I::differing(column, words + c * T + t));
    }
}

template <class I, int T>
static inline void count_block(const std::uint8_t* block, int width, std::uint8_t last,
                               const std::uint32_t* words, typename I::Total (&sums)[T]) {
    const int end = width - 1; // its column holds the last bits
    for (int c = 0; c < width; c += kSpill) {
        const bool final = width - c <= kSpill;
        typename I::Vector counts[T];
        for (int t = 0; t < T; ++t) counts[t] = I::Vector::splat(0);
        count_columns<I, T>(block, c, final ? end : c + kSpill, words, counts);
        if (final) {
            const auto x = I::column(I::Vector::load(block + kRows * end) & I::Vector::splat(last));
            for (int t = 0; t < T; ++t)
                counts[t] = counts[t].add(I::differing(x, words + end * T + t));
        }
        for (int t = 0; t < T; ++t) sums[t].add(counts[t]);
    }
}

template <class I, int T>
static void hamming_tile(const HammingScan& scan, Range group, const std::uint8_t* expanded,
                         const std::uint32_t* words, Sink* sinks) {
    const std::uint8_t last = scan.expands ? 0xFF : scan.expansion.last;
    for (std::int64_t i = group.first; i < group.last; ++i) {
        const std::int64_t b = block_at(scan.rows, i);
        const std::uint64_t allowed = allowed_rows(scan.rows, b);
        if (allowed == 0) continue;
        const std::uint8_t* block = scan.expands
                                        ? expanded + (i - group.first) * scan.width * kRows
                                        : scan.blocks + b * scan.stride;
        typename I::Total sums[T] = {};
        count_block<I, T>(block, scan.width, last, words, sums);
        for (int t = 0; t < T; ++t) {
            const std::uint64_t found = sums[t].below(sinks[t].limit) & allowed;
            if (found == 0) continue;
            std::uint16_t distances[kRows];
            sums[t].store(distances);
            offer_distances(sinks[t], found, distances, b * kRows);
        }
    }
}

template <class I, int T>
static void hamming_tile_of(int width, const HammingScan& scan, Range group,
                            const std::uint8_t* expanded, const std::uint32_t* words, Sink* sinks) {
    if constexpr (T > 1)
        if (width < T)
            return hamming_tile_of<I, T / 2>(width, scan, group, expanded, words, sinks);
    hamming_tile<I, T>(scan, group, expanded, words, sinks);
}

template <class I>
static void hamming_scan(const HammingScan& scan, Range blocks, Range tiles, std::int64_t queries,
                         Sink* sinks, std::uint8_t* scratch) {
    constexpr int T = I::kHammingTile;
    const std::int64_t size = group_blocks(scan.width, kGroupBytes);
    for (std::int64_t first = blocks.first; first < blocks.last; first += size) {
        const Range group = group_at(first, size, blocks.last);
        for (std::int64_t i = first; scan.expands && i < group.last; ++i) {
            const std::int64_t b = block_at(scan.rows, i);
            if (allowed_rows(scan.rows, b))
                expand<typename I::Vector>(scan.expansion, scan.blocks + b * scan.stride, kRows,
                                           scratch + (i - first) * scan.width * kRows, kRows);
        }
        for (std::int64_t tile = tiles.first; tile < tiles.last; ++tile)
            hamming_tile_of<I, T>(tile_width(queries - tile * T, T), scan, group, scratch,
                                  scan.words + tile * T * scan.width,
                                  sinks + (tile - tiles.first) * T);
    }
}

// ----------------------------------------------------------------------------------- tables

// Adds up the entries of `Group` columns, in 8 bits, for B blocks and T queries at a time. `at`
// points at the first of these columns in each block.

// Full columns: one of 256 entries per byte.
template <class I, int T, int B, int Group>
static inline void look_up_full(const std::uint8_t* (&at)[B], const std::uint8_t* entries,
                                typename I::Total (&sums)[B][T]) {
    typename I::Vector columns[B][Group];
    for (int b = 0; b < B; at[b++] += Group * kRows)
        for (int g = 0; g < Group; ++g) columns[b][g] = I::Vector::load(at[b] + kRows * g);
    I::add_full(columns, entries, sums);
}

// Narrow tables: one of 16 entries per nibble.
template <class I, int T, int B, int Group>
static inline void look_up_narrow(const std::uint8_t* (&at)[B], const std::uint8_t* entries,
                                  typename I::Total (&sums)[B][T]) {
    typename I::Vector total[B][T];
    for (int g = 0; g < Group; ++g) {
        decltype(I::nibbles(I::Vector::load(nullptr))) nibbles[B];
        for (int b = 0; b < B; ++b) nibbles[b] = I::nibbles(I::Vector::load(at[b] + kRows * g));
        for (int t = 0; t < T; ++t)
            for (int b = 0; b < B; ++b) {
                const auto found = I::look_up(nibbles[b], entries + 32 * (T * g + t));
                total[b][t] = g == 0 ? found : total[b][t].add(found);
            }
    }
    for (int b = 0; b < B; at[b++] += Group * kRows)
        for (int t = 0; t < T; ++t) sums[b][t].add(total[b][t]);
}

// Wide tables: one of 64 entries for the low six bits of each column, one for the top bits of all.
template <class I, int T, int Group>
static inline void look_up_wide(const std::uint8_t* at, const std::uint8_t* entries,
                                typename I::Total (&sums)[T]) {
    typename I::Vector columns[Group];
    for (int g = 0; g < Group; ++g) columns[g] = I::Vector::load(at + kRows * g);
    const auto tops = I::tops(columns);
    for (int t = 0; t < T; ++t, entries += 64 * (Group + 1)) {
        auto total = I::find(tops, entries + 64 * Group);
        for (int g = 0; g < Group; ++g) total = total.add(I::find(columns[g], entries + 64 * g));
        sums[t].add(total);
    }
}

template <class I, int T>
static inline void look_up_wide(const std::uint8_t* at, int columns, const std::uint8_t* entries,
                                typename I::Total (&sums)[T]) {
    for (; columns >= 3; columns -= 3, at += 3 * kRows, entries += 256 * T)
        look_up_wide<I, T, 3>(at, entries, sums);
    if (columns == 2) look_up_wide<I, T, 2>(at, entries, sums);
    if (columns == 1) look_up_wide<I, T, 1>(at, entries, sums);
}

template <class I, int T, int B, bool Wide>
static inline void look_up_blocks(const std::uint8_t* (&at)[B], const TableQueries& q,
                                  const std::uint8_t* entries, typename I::Total (&sums)[B][T]) {
    int columns = q.full;
    for (; columns >= kFullGroup; columns -= kFullGroup, entries += 256 * T * kFullGroup)
        look_up_full<I, T, B, kFullGroup>(at, entries, sums);
    for (; columns > 0; --columns, entries += 256 * T) look_up_full<I, T, B, 1>(at, entries, sums);
    columns = q.columns - q.full;
    if constexpr (Wide) {
        for (int b = 0; b < B; ++b) look_up_wide<I, T>(at[b], columns, entries, sums[b]);
    } else {
        for (; columns >= 2; columns -= 2, entries += 64 * T)
            look_up_narrow<I, T, B, 2>(at, entries, sums);
        if (columns == 1) look_up_narrow<I, T, B, 1>(at, entries, sums);
    }
}

// The least and the greatest factor in a group of blocks.
struct FactorSpan {
    float least, most;
};

// The least sum of filter entries with which a row of these factors may beat the floor: 65536
// where none can. Whatever has fewer is beaten, since bound_score() rises with both arguments.
static inline std::uint32_t least_sum(Bound bound, FactorSpan factors, float floor) {
    if (!(floor == floor)) return 0; // NaN: no floor yet
    const auto beaten = [&](std::uint32_t sum) {
        const float most = highest(bound, sum);
        return most * (most < 0 ? factors.least : factors.most) <= floor;
    };
    const double wanted = double{floor} / double{floor < 0 ? factors.least : factors.most};
    const double guess = (wanted - double{bound.base}) / double{bound.scale} + 2;
    std::uint32_t sum = guess < 0 ? 0 : guess > 65536 ? 65536 : static_cast<std::uint32_t>(guess);
    while (sum > 0 && !beaten(sum - 1)) --sum;
    return sum;
}

// Up to B blocks of a group that have rows which may be returned.
template <int B> struct Together {
    std::int64_t blocks[B];
    std::uint64_t allowed[B];
    int count = 0;

    // Takes blocks from the i-th one on; what is left free reads the first one again.
    Together(const Rows& rows, std::int64_t& i, std::int64_t last) {
        for (; i < last && count < B; ++i) {
            const std::int64_t block = block_at(rows, i);
            const std::uint64_t some = allowed_rows(rows, block);
            if (some != 0) blocks[count] = block, allowed[count++] = some;
        }
        for (int b = count; b < B; ++b) blocks[b] = blocks[0], allowed[b] = 0;
    }
};

template <class I, int T, bool Wide>
static void table_tile(const TableScan& scan, Range group, FactorSpan factors,
                       const std::uint8_t* entries, std::int64_t query, Sink* sinks) {
    constexpr int B = T > 1 ? I::kTableBlocks : 1;
    std::uint32_t least[T];
    for (int t = 0; t < T; ++t)
        least[t] = least_sum(scan.bounds[query + t], factors, sinks[t].floor);
    for (std::int64_t i = group.first; i < group.last;) {
        const Together<B> some(scan.rows, i, group.last);
        if (some.count == 0) break;
        const std::uint8_t* at[B];
        for (int b = 0; b < B; ++b) at[b] = scan.blocks + some.blocks[b] * scan.stride;
        typename I::Total sums[B][T];
        for (auto& of_block : sums)
            for (auto& sum : of_block) sum = typename I::Total{};
        look_up_blocks<I, T, B, Wide>(at, scan.queries, entries, sums);
        for (int b = 0; b < B; ++b)
            for (int t = 0; t < T; ++t) {
                if (least[t] > 0xFFFF) continue;
                const std::uint64_t found = ~sums[b][t].below(least[t]) & some.allowed[b];
                if (found == 0) continue;
                std::uint16_t bounds[kRows];
                sums[b][t].store(bounds);
                if (offer_scores(sinks[t], found, bounds, scan, query + t, some.blocks[b]))
                    least[t] = least_sum(scan.bounds[query + t], factors, sinks[t].floor);
            }
    }
}

template <class I, int T, bool Wide>
static void table_tile_of(int width, const TableScan& scan, Range group, FactorSpan factors,
                          const std::uint8_t* entries, std::int64_t query, Sink* sinks) {
    if constexpr (T > 1)
        if (width < T)
            return table_tile_of<I, T / 2, Wide>(width, scan, group, factors, entries, query,
                                                 sinks);
    table_tile<I, T, Wide>(scan, group, factors, entries, query, sinks);
}

// Positive floats are ordered like the integers of their bits, and loops over those vectorise.
static inline FactorSpan span_of(const float* values, std::int64_t count) {
    std::uint32_t span[2] = {0xFFFFFFFF, 0};
    for (std::int64_t i = 0; i < count; ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, values + i, sizeof bits);
        span[0] = bits < span[0] ? bits : span[0];
        span[1] = bits > span[1] ? bits : span[1];
    }
    FactorSpan out;
    std::memcpy(&out, span, sizeof out);
    return out;
}

static inline FactorSpan span_of(const Factors& factors, std::int64_t row, std::int64_t count) {
    if (!factors.values) return {1.0f, 1.0f};
    if (!factors.indices) return span_of(factors.values + row, count);
    if (!factors.ascending) return span_of(factors.values, 256);
    std::uint8_t least = 255, most = 0;
    for (const std::uint8_t *at = factors.indices + row, *end = at + count; at < end; ++at) {
        least = *at < least ? *at : least;
        most = *at > most ? *at : most;
    }
    return {factors.values[least], factors.values[most]};
}

// The factors of a group, which are looked at in runs of blocks that follow each other.
static inline FactorSpan group_span(const TableScan& scan, Range group) {
    FactorSpan all{};
    for (std::int64_t i = group.first, j; i < group.last; i = j) {
        const std::int64_t first = block_at(scan.rows, i);
        for (j = i + 1; j < group.last && block_at(scan.rows, j) == first + j - i;) ++j;
        const std::int64_t left = scan.rows.count - first * kRows, held = (j - i) * kRows;
        const FactorSpan run = span_of(scan.factors, first * kRows, left < held ? left : held);
        if (i == group.first || run.least < all.least) all.least = run.least;
        if (i == group.first || run.most > all.most) all.most = run.most;
    }
    return all;
}

template <class I, bool Wide>
static void table_scan_of(const TableScan& scan, Range blocks, Range tiles, std::int64_t queries,
                          Sink* sinks) {
    constexpr int T = I::kTableTile;
    const std::int64_t size = group_blocks(scan.queries.columns, kTableGroupBytes);
    for (std::int64_t first = blocks.first; first < blocks.last; first += size) {
        const Range group = group_at(first, size, blocks.last);
        const FactorSpan factors = group_span(scan, group);
        for (std::int64_t tile = tiles.first; tile < tiles.last; ++tile)
            table_tile_of<I, T, Wide>(tile_width(queries - tile * T, T), scan, group, factors,
                                      scan.entries + tile * T * scan.entry_bytes, tile * T,
                                      sinks + (tile - tiles.first) * T);
    }
}

template <class I>
static void table_scan(const TableScan& scan, Range blocks, Range tiles, std::int64_t queries,
                       Sink* sinks) {
    if constexpr (I::kWide)
        if (scan.wide) return table_scan_of<I, true>(scan, blocks, tiles, queries, sinks);
    table_scan_of<I, false>(scan, blocks, tiles, queries, sinks);
}

template <class I> static constexpr Kernels kernels_of(const char* name) {
    return {name,      I::kHammingTile,  I::kTableTile,  I::kWide,
            &I::word, &hamming_scan<I>, &table_scan<I>, &choose_rows<I>,
            &multiply<I>};
}

} // namespace qama
