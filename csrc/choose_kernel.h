// The search of choose.h, written once over the Lanes of an instruction set I (see scan_kernel.h)
// and W, the words of a section. I::Lanes are kLanes int32, kLanes a divisor of 16, with
//
//     load, store, splat, numbers      numbers: lane i holds i
//     widened                          load of int16
//     add, sub, min, max               modulo 2^32; signed
//     add_products(a, b)               of the two int16 in each lane, added modulo 2^32
//     kTileRows                        rows that are multiplied with a tile of words together
//     halved(n)                        n times, rounding down
//     less(a, b), equal(a, b)          masks, one truth per lane
//     select(mask, a, b)               a where the mask holds, else b
//     least()                          the least lane
#pragma once

#include <cstring>

#include "scan.h"

namespace qama {

constexpr std::int32_t kNever = 0x7FFFFFFF; // above every cost
constexpr int kTileVectors = 2;             // vectors of words that are multiplied together

// A whole vector is written, because a vector load would wait for a narrower store to finish.
template <class I>
static inline void put_lane(std::int32_t* values, int index, std::int32_t value) {
    using L = typename I::Lanes;
    std::int32_t* at = values + index / L::kLanes * L::kLanes;
    const auto here = L::equal(L::numbers(), L::splat(index % L::kLanes));
    L::select(here, L::splat(value), L::load(at)).store(at);
}

static inline std::int32_t pair_at(const std::int16_t* row, int pair) {
    std::int32_t both;
    std::memcpy(&both, row + 2 * pair, sizeof both);
    return both;
}

// Products of R rows behind each other with the words of one tile: kTileVectors vectors from
// `column` on, of words in pairs of entries (see Choice.pairs).
template <class I, int R>
static inline void products_of_tile(const std::int32_t* pairs, int dims, const std::int16_t* rows,
                                    int column, typename I::Lanes (&sums)[R][kTileVectors]) {
    using L = typename I::Lanes;
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < kTileVectors; ++v) sums[r][v] = L::splat(0);
    const std::int32_t* words = pairs + std::int64_t{column} / kPairedWords * (dims / 2) *
                                            kPairedWords + column % kPairedWords;
    for (int k = 0; k < dims / 2; ++k, words += kPairedWords)
        for (int r = 0; r < R; ++r) {
            const L entries = L::splat(pair_at(rows + std::int64_t{r} * dims, k));
            for (int v = 0; v < kTileVectors; ++v)
                sums[r][v] = sums[r][v].add_products(L::load(words + v * L::kLanes), entries);
        }
}

// Calls take(r, at, products) with the products of row r and the words from `at` on: all words,
// `count` rows. A tile of words serves all rows from the cache.
template <class I, class Take>
static inline void all_products(const std::int32_t* pairs, int dims, int width,
                                const std::int16_t* rows, std::int64_t count, Take take) {
    using L = typename I::Lanes;
    constexpr int V = kTileVectors, R = L::kTileRows;
    for (int column = 0; column < width; column += V * L::kLanes) {
        std::int64_t r = 0;
        for (; r + R <= count; r += R) {
            L sums[R][V];
            products_of_tile<I, R>(pairs, dims, rows + r * dims, column, sums);
            for (int i = 0; i < R; ++i)
                for (int v = 0; v < V; ++v) take(r + i, column + v * L::kLanes, sums[i][v]);
        }
        for (; r < count; ++r) {
            L sums[1][V];
            products_of_tile<I, 1>(pairs, dims, rows + r * dims, column, sums);
            for (int v = 0; v < V; ++v) take(r, column + v * L::kLanes, sums[0][v]);
        }
    }
}

template <class I> static void multiply(const Products& p, Range rows) {
    for (std::int64_t i = rows.first; i < rows.last; i += kChoiceRows) {
        const std::int64_t count = rows.last - i < kChoiceRows ? rows.last - i : kChoiceRows;
        std::int32_t* out = p.products + i * p.width;
        all_products<I>(p.pairs, p.dims, p.width, p.rows + i * p.dims, count,
                        [&](std::int64_t r, int at, typename I::Lanes products) {
                            products.store(out + r * p.width + at);
                        });
    }
}

// What each word costs alone, |w|^2 - 2 r . w in the units of the search.
template <class I>
static inline void costs_alone(const Choice& c, const std::int16_t* rows, std::int64_t count,
                               std::int32_t* costs) {
    using L = typename I::Lanes;
    const L low = L::splat(-c.limit), high = L::splat(c.limit);
    all_products<I>(c.pairs, c.dims, c.width, rows, count,
                    [&](std::int64_t r, int at, L products) {
                        const L product = products.halved(c.shift).max(low).min(high);
                        L::load(c.squares + at).sub(product).sub(product).store(
                            costs + r * c.width + at);
                    });
}

// The candidate of least cost, the first of equals, among `count` (a multiple of kLanes).
template <class I>
static inline int first_least(const std::int32_t* costs, int count, std::int32_t& least_cost) {
    using L = typename I::Lanes;
    L least = L::load(costs), at = L::numbers(), numbers = at;
    for (int k = L::kLanes; k < count; k += L::kLanes) {
        numbers = numbers.add(L::splat(L::kLanes));
        const L cost = L::load(costs + k);
        at = L::select(L::less(cost, least), numbers, at);
        least = least.min(cost);
    }
    least_cost = least.least();
    return L::select(L::equal(least, L::splat(least_cost)), at, L::splat(kNever)).least();
}

// Prefixes of a choice, cheapest first.
struct Beam {
    std::int32_t totals[kBeam];
    std::uint8_t words[kBeam][kSections];
    int held;
};

// What each word of a section adds to a prefix's total, and the total.
template <class I, int W>
static inline void extended_costs(const Choice& c, const std::int32_t* alone, int section,
                                  const std::uint8_t* prefix, std::int32_t total,
                                  std::int32_t* costs) {
    using L = typename I::Lanes;
    constexpr int N = (W < 64 ? W : 64) / L::kLanes; // sums at a time
    for (int k = 0; k < W; k += N * L::kLanes) {
        const int first = section * W + k;
        L sums[N];
        for (int n = 0; n < N; ++n)
            sums[n] = L::load(alone + first + n * L::kLanes).add(L::splat(total));
        for (int s = 0; s < section; ++s) {
            const std::int16_t* row = c.twice + std::int64_t{s * W + prefix[s]} * c.width + first;
            for (int n = 0; n < N; ++n) sums[n] = sums[n].add(L::widened(row + n * L::kLanes));
        }
        for (int n = 0; n < N; ++n) sums[n].store(costs + k + n * L::kLanes);
    }
}

template <class I, int W>
static inline void extend(const Choice& c, const std::int32_t* alone, int section, const Beam& from,
                          Beam& to) {
    alignas(64) std::int32_t candidates[kBeam * W];
    const int count = from.held * W, wanted = count < c.beam ? count : c.beam;
    for (int b = 0; b < from.held; ++b)
        extended_costs<I, W>(c, alone, section, from.words[b], from.totals[b], candidates + b * W);
    for (to.held = 0; to.held < wanted; ++to.held) {
        const int best = first_least<I>(candidates, count, to.totals[to.held]);
        put_lane<I>(candidates, best, kNever);
        std::memcpy(to.words[to.held], from.words[best / W], static_cast<std::size_t>(section));
        to.words[to.held][section] = static_cast<std::uint8_t>(best % W);
    }
}

template <class I>
static inline void add_row(const Choice& c, int word, std::int32_t* costs) {
    using L = typename I::Lanes;
    const std::int16_t* row = c.twice + std::int64_t{word} * c.width;
    for (int k = 0; k < c.width; k += L::kLanes)
        L::load(costs + k).add(L::widened(row + k)).store(costs + k);
}

// Each section in turn takes its best word given the others, until nothing changes.
template <class I, int W>
static inline void sweep(const Choice& c, std::int32_t* costs, std::uint8_t* words) {
    using L = typename I::Lanes;
    alignas(64) std::int32_t others[W]; // costs without the section's own word
    for (int section = 0; section < c.sections; ++section)
        add_row<I>(c, section * W + words[section], costs);
    bool changed = true;
    for (int turn = 0; turn < c.sweeps && changed; ++turn) {
        changed = false;
        for (int section = 0; section < c.sections; ++section) {
            const int first = section * W, now = first + words[section];
            const std::int16_t* own = c.twice + std::int64_t{now} * c.width;
            for (int k = 0; k < W; k += L::kLanes)
                L::load(costs + first + k).sub(L::widened(own + first + k)).store(others + k);
            std::int32_t least;
            const int best = first_least<I>(others, W, least);
            if (first + best == now) continue;
            const std::int16_t* row = c.twice + std::int64_t{first + best} * c.width;
            for (int k = 0; k < c.width; k += L::kLanes)
                L::load(costs + k)
                    .add(L::widened(row + k).sub(L::widened(own + k)))
                    .store(costs + k);
            words[section] = static_cast<std::uint8_t>(best);
            changed = true;
        }
    }
}

// The row less its words, clamped to int16; `sums` holds `dims` integers.
static inline void leave_rest(const Choice& c, const std::int16_t* row, const std::uint8_t* words,
                              std::int32_t* sums, std::int16_t* rest) {
    const int dims = c.dims;
    for (int k = 0; k < dims; ++k) sums[k] = row[k];
    for (int section = 0; section < c.sections; ++section) {
        const std::int16_t* entries =
            c.words + std::int64_t{section * c.section_words + words[section]} * dims;
        for (int k = 0; k < dims; ++k) sums[k] -= entries[k];
    }
    for (int k = 0; k < dims; ++k)
        rest[k] = static_cast<std::int16_t>(
            sums[k] < -32768 ? -32768 : sums[k] > 32767 ? 32767 : sums[k]);
}

// Row `i`; `alone` holds its costs.
template <class I, int W>
static inline void choose_row(const Choice& c, std::int64_t i, std::int32_t* alone,
                              std::int32_t* sums) {
    Beam beams[2];
    beams[0].totals[0] = 0, beams[0].held = 1;
    for (int section = 0; section < c.sections; ++section)
        extend<I, W>(c, alone, section, beams[section % 2], beams[(section + 1) % 2]);
    std::uint8_t* words = beams[c.sections % 2].words[0];
    if (c.sweeps > 0) sweep<I, W>(c, alone, words);
    leave_rest(c, c.rows + i * c.dims, words, sums, c.rest + i * c.dims);
    std::uint8_t* codes = c.codes + i * c.sections / (W == kFewWords ? 2 : 1);
    if (W == kManyWords) std::memcpy(codes, words, static_cast<std::size_t>(c.sections));
    else
        for (int k = 0; k < c.sections / 2; ++k)
            codes[k] = static_cast<std::uint8_t>(words[2 * k] << 4 | words[2 * k + 1]);
}

// `scratch` holds kChoiceRows rows of `width` integers, then `dims` integers.
template <class I>
static void choose_rows(const Choice& c, Range rows, std::int32_t* scratch) {
    constexpr int R = kChoiceRows;
    std::int32_t* sums = scratch + std::int64_t{R} * c.width;
    for (std::int64_t i = rows.first; i < rows.last; i += R) {
        const std::int64_t count = rows.last - i < R ? rows.last - i : R;
        costs_alone<I>(c, c.rows + i * c.dims, count, scratch);
        for (std::int64_t r = 0; r < count; ++r)
            if (c.section_words == kManyWords)
                choose_row<I, kManyWords>(c, i + r, scratch + r * c.width, sums);
            else choose_row<I, kFewWords>(c, i + r, scratch + r * c.width, sums);
    }
}

} // namespace qama
