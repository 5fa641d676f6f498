// The scans, written once over an instruction set I. Each scan_*.cpp defines its I and
// instantiates them. I offers
//
//     Vector                           64 bytes, one per row: load, store, splat, add,
//                                      and the operators & |, shl1, shr1 (see expand.h)
//     Total                            64 sums of 16 bits: add, store, below, beating
//     column(Vector)                   made ready to be compared with many query bytes
//     differing(column, word)          per row: how many of the 8 bits differ from the query's
//     nibbles(Vector)                  made ready for look-ups
//     look_up(nibbles, entries)        per row: high entry + low entry, in 8 bits
//     arrange(from, to)                64 factors in the order in which Total::beating wants them
//     Lanes                            int32 lanes: see choose_kernel.h
//     kHammingTile, kTableTile         queries that one pass over a block serves
#pragma once

#include "choose_kernel.h"
#include "expand.h"

namespace qama {

static inline std::uint64_t allowed_rows(const Rows& rows, std::int64_t block) {
    const std::int64_t left = rows.count - block * kRows;
    const std::uint64_t real = left >= kRows ? ~0ull : (1ull << left) - 1;
    return rows.mask ? rows.mask[block] & real : real;
}

static inline std::int64_t group_blocks(std::int64_t columns) {
    const std::int64_t fitting = kGroupBytes / (columns * kRows);
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
    int c = 0;
    for (; width - c > kSpill; c += kSpill) {
        typename I::Vector counts[T];
        for (int t = 0; t < T; ++t) counts[t] = I::Vector::splat(0);
        count_columns<I, T>(block, c, c + kSpill, words, counts);
        for (int t = 0; t < T; ++t) sums[t].add(counts[t]);
    }
    typename I::Vector counts[T];
    const int end = width - 1;
    const auto column = I::column(I::Vector::load(block + kRows * end) & I::Vector::splat(last));
    for (int t = 0; t < T; ++t) counts[t] = I::differing(column, words + end * T + t);
    count_columns<I, T>(block, c, end, words, counts);
    for (int t = 0; t < T; ++t) sums[t].add(counts[t]);
}

template <class I, int T>
static void hamming_tile(const HammingScan& scan, Range group, const std::uint8_t* expanded,
                         const std::uint32_t* words, Sink* sinks) {
    const std::uint8_t last = scan.expands ? 0xFF : scan.expansion.last;
    for (std::int64_t b = group.first; b < group.last; ++b) {
        const std::uint64_t allowed = allowed_rows(scan.rows, b);
        if (allowed == 0) continue;
        const std::uint8_t* block = scan.expands
                                        ? expanded + (b - group.first) * scan.width * kRows
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
    const std::int64_t size = group_blocks(scan.width);
    for (std::int64_t first = blocks.first; first < blocks.last; first += size) {
        const Range group = group_at(first, size, blocks.last);
        for (std::int64_t b = first; scan.expands && b < group.last; ++b)
            if (allowed_rows(scan.rows, b))
                expand<typename I::Vector>(scan.expansion, scan.blocks + b * scan.stride, kRows,
                          scratch + (b - first) * scan.width * kRows, kRows);
        for (std::int64_t tile = tiles.first; tile < tiles.last; ++tile)
            hamming_tile_of<I, T>(tile_width(queries - tile * T, T), scan, group, scratch,
                                  scan.words + tile * T * scan.width,
                                  sinks + (tile - tiles.first) * T);
    }
}

// ----------------------------------------------------------------------------------- tables

template <class I, int T, int Group>
static inline void look_up_columns(const std::uint8_t* block, int c, const std::uint8_t* entries,
                                   typename I::Total (&sums)[T]) {
    typename I::Vector total[T];
    for (int g = 0; g < Group; ++g) {
        const auto nibbles = I::nibbles(I::Vector::load(block + kRows * (c + g)));
        const std::uint8_t* at = entries + 32 * T * (c + g);
        for (int t = 0; t < T; ++t) {
            const auto found = I::look_up(nibbles, at + 32 * t);
            total[t] = g == 0 ? found : total[t].add(found);
        }
    }
    for (int t = 0; t < T; ++t) sums[t].add(total[t]);
}

template <class I, int T>
static inline void look_up_block(const std::uint8_t* block, int columns,
                                 const std::uint8_t* entries, typename I::Total (&sums)[T]) {
    int c = 0;
    for (; c + kTableGroup <= columns; c += kTableGroup)
        look_up_columns<I, T, kTableGroup>(block, c, entries, sums);
    for (; c < columns; ++c) look_up_columns<I, T, 1>(block, c, entries, sums);
}

template <class I, int T>
static void table_tile(const TableScan& scan, Range group, const float* factors,
                       std::int64_t query, Sink* sinks) {
    const std::uint8_t* entries = scan.entries + query * scan.columns * 32;
    for (std::int64_t b = group.first; b < group.last; ++b) {
        const std::uint64_t allowed = allowed_rows(scan.rows, b);
        if (allowed == 0) continue;
        typename I::Total sums[T] = {};
        look_up_block<I, T>(scan.blocks + b * scan.stride, scan.columns, entries, sums);
        const float* arranged = factors + (scan.factors.values ? (b - group.first) * kRows : 0);
        for (int t = 0; t < T; ++t) {
            const std::uint64_t found =
                sums[t].beating(scan.bounds[query + t], arranged, sinks[t].floor) & allowed;
            if (found) offer_scores(sinks[t], found, scan, query + t, b);
        }
    }
}

template <class I, int T>
static void table_tile_of(int width, const TableScan& scan, Range group, const float* factors,
                          std::int64_t query, Sink* sinks) {
    if constexpr (T > 1)
        if (width < T) return table_tile_of<I, T / 2>(width, scan, group, factors, query, sinks);
    table_tile<I, T>(scan, group, factors, query, sinks);
}

// The factors of one block; rows past the last get 1.
static inline void gather_factors(const TableScan& scan, std::int64_t block, float* to) {
    const std::int64_t row = block * kRows, left = scan.rows.count - row;
    const float* values = scan.factors.values;
    const std::uint8_t* indices = scan.factors.indices;
    const int real = left < kRows ? static_cast<int>(left) : kRows;
    if (indices)
        for (int i = 0; i < real; ++i) to[i] = values[indices[row + i]];
    else
        for (int i = 0; i < real; ++i) to[i] = values[row + i];
    for (int i = real; i < kRows; ++i) to[i] = 1.0f;
}

// The factors of a group in the order of I; where there are none, ones for a single block.
template <class I>
static void arrange_factors(const TableScan& scan, Range group, float* to) {
    float block[kRows];
    if (!scan.factors.values) {
        for (int i = 0; i < kRows; ++i) to[i] = 1.0f;
        return;
    }
    for (std::int64_t b = group.first; b < group.last; ++b, to += kRows) {
        gather_factors(scan, b, block);
        I::arrange(block, to);
    }
}

template <class I>
static void table_scan(const TableScan& scan, Range blocks, Range tiles, std::int64_t queries,
                       Sink* sinks, std::uint8_t*) {
    constexpr int T = I::kTableTile;
    const std::int64_t size = group_blocks(scan.columns);
    alignas(64) float factors[kMaxGroupBlocks * kRows];
    for (std::int64_t first = blocks.first; first < blocks.last; first += size) {
        const Range group = group_at(first, size, blocks.last);
        if (scan.factors.values || first == blocks.first) arrange_factors<I>(scan, group, factors);
        for (std::int64_t tile = tiles.first; tile < tiles.last; ++tile)
            table_tile_of<I, T>(tile_width(queries - tile * T, T), scan, group, factors, tile * T,
                                sinks + (tile - tiles.first) * T);
    }
}

template <class I> static constexpr Kernels kernels_of(const char* name) {
    return {name,           I::kHammingTile, I::kTableTile, &hamming_scan<I>, &table_scan<I>,
            &choose_rows<I>};
}

} // namespace qama
