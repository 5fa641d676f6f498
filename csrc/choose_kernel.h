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
constexpr int kTilePairs = 96;              // pairs of entries that are

template <int N> struct Number {
    static constexpr int value = N;
};

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

// Adds to `sums` the products of R rows, `dims` apart, with kTileVectors vectors of words: of
// `pairs` pairs of entries (see Choice.pairs).
template <class I, int R>
static inline void add_products(const std::int32_t* words, int pairs, const std::int16_t* rows,
                                int dims, typename I::Lanes (&sums)[R][kTileVectors]) {
    using L = typename I::Lanes;
    constexpr int chains = R == 1 ? 4 : 1; // of sums that do not wait for each other
    L some[chains][R][kTileVectors];
    for (int c = 0; c < chains; ++c)
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < kTileVectors; ++v)
                some[c][r][v] = c == 0 ? sums[r][v] : L::splat(0);
    const auto add = [&](int k, L(&to)[R][kTileVectors]) {
        for (int r = 0; r < R; ++r) {
            const L entries = L::splat(pair_at(rows + std::int64_t{r} * dims, k));
            for (int v = 0; v < kTileVectors; ++v)
                to[r][v] = to[r][v].add_products(L::load(words + k * kPairedWords + v * L::kLanes),
                                                 entries);
        }
    };
    int k = 0;
    for (; k + chains <= pairs; k += chains)
        for (int c = 0; c < chains; ++c) add(k + c, some[c]);
    for (; k < pairs; ++k) add(k, some[0]);
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < kTileVectors; ++v) {
            sums[r][v] = some[0][r][v];
            for (int c = 1; c < chains; ++c) sums[r][v] = sums[r][v].add(some[c][r][v]);
        }
}

// The same; `waiting` are the sums of the rows' pairs before `first`, if there are any, and become
// those of all so far. Calls take(r, v, sums) after the last ones.
template <class I, int R, class Take>
static inline void products_of_rows(const std::int32_t* words, int first, int pairs,
                                    const std::int16_t* rows, int dims, std::int32_t* waiting,
                                    Take take) {
    using L = typename I::Lanes;
    constexpr int V = kTileVectors;
    L sums[R][V];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v)
            sums[r][v] = first == 0 ? L::splat(0) : L::load(waiting + (r * V + v) * L::kLanes);
    add_products<I, R>(words + std::int64_t{first} * kPairedWords, pairs, rows + 2 * first, dims,
                       sums);
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v)
            if (2 * (first + pairs) == dims) take(r, v, sums[r][v]);
            else sums[r][v].store(waiting + (r * V + v) * L::kLanes);
}

// Calls take(r, at, products) with the products of row r and the words from `at` on: all words,
// `count` rows, at most kChoiceRows. Of a tile of words some entries at a time serve all rows from
// the L1 cache.
template <class I, class Take>
static inline void all_products(const std::int32_t* pairs, int dims, int width,
                                const std::int16_t* rows, std::int64_t count, Take take) {
    using L = typename I::Lanes;
    constexpr int V = kTileVectors, R = L::kTileRows, tile = V * L::kLanes;
    alignas(64) std::int32_t waiting[kChoiceRows * tile];
    for (int column = 0; column < width; column += tile) {
        const std::int32_t* words =
            pairs + std::int64_t{column} / kPairedWords * (dims / 2) * kPairedWords +
            column % kPairedWords;
        for (int first = 0; first < dims / 2; first += kTilePairs) {
            const int some = dims / 2 - first < kTilePairs ? dims / 2 - first : kTilePairs;
            const auto products = [&](auto number, std::int64_t r) {
                products_of_rows<I, decltype(number)::value>(
                    words, first, some, rows + r * dims, dims, waiting + r * tile,
                    [&](int i, int v, L sums) { take(r + i, column + v * L::kLanes, sums); });
            };
            std::int64_t r = 0;
            for (; r + R <= count; r += R) products(Number<R>{}, r);
            for (; r < count; ++r) products(Number<1>{}, r);
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
    all_products<I>(c.pairs, c.dims, c.width, rows, count, [&](std::int64_t r, int at, L products) {
        const L product = products.halved(c.shift).max(low).min(high);
        L::load(c.squares + at).sub(product).sub(product).store(costs + r * c.width + at);
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
    std::uint8_t parents[kBeam][kSections]; // which prefix each section's word was added to
    int held;
};

// What each word of a section costs beside words of the sections [from, to): `start` and what it
// has in common with them.
template <class I, int W>
static inline void costs_beside(const Choice& c, int section, const std::uint8_t* words, int from,
                                int to, const std::int32_t* start, std::int32_t total,
                                std::int32_t* costs) {
    using L = typename I::Lanes;
    constexpr int N = (W < 64 ? W : 64) / L::kLanes; // sums at a time
    for (int k = 0; k < W; k += N * L::kLanes) {
        const int first = section * W + k;
        L sums[N];
        for (int n = 0; n < N; ++n)
            sums[n] = L::load(start + k + n * L::kLanes).add(L::splat(total));
        for (int s = from; s < to; ++s) {
            const std::int16_t* row = c.twice + std::int64_t{s * W + words[s]} * c.width + first;
            for (int n = 0; n < N; ++n) sums[n] = sums[n].add(L::widened(row + n * L::kLanes));
        }
        for (int n = 0; n < N; ++n) sums[n].store(costs + k + n * L::kLanes);
    }
}

// Asks for what costs_beside() will read: tables of 256 words lie far away.
template <int W>
static QAMA_INLINE void fetch_beside(const Choice& c, int section, const std::uint8_t* words,
                                     int from, int to) {
    if (W != kByteSize || section >= c.sections) return;
    for (int s = from; s < to; ++s) {
        const std::int16_t* row = c.twice + std::int64_t{s * W + words[s]} * c.width + section * W;
        for (int k = 0; k < W; k += 32) QAMA_PREFETCH(row + k);
    }
}

// `candidates` becomes the total of each prefix with each word of the section.
template <class I, int W>
static inline void extend(const Choice& c, const std::int32_t* alone, int section, const Beam& from,
                          Beam& to, std::int32_t* candidates) {
    const int count = from.held * W, wanted = count < c.beam ? count : c.beam;
    for (int b = 0; b < from.held; ++b) fetch_beside<W>(c, section + 1, from.words[b], 0, section);
    for (int b = 0; b < from.held; ++b)
        costs_beside<I, W>(c, section, from.words[b], 0, section, alone + section * W,
                           from.totals[b], candidates + b * W);
    int best[kBeam];
    for (to.held = 0; to.held < wanted; ++to.held) {
        int& now = best[to.held];
        now = first_least<I>(candidates, count, to.totals[to.held]);
        put_lane<I>(candidates, now, kNever);
        const auto size = static_cast<std::size_t>(section);
        std::memcpy(to.words[to.held], from.words[now / W], size);
        std::memcpy(to.parents[to.held], from.parents[now / W], size);
        to.words[to.held][section] = static_cast<std::uint8_t>(now % W);
        to.parents[to.held][section] = static_cast<std::uint8_t>(now / W);
    }
    for (int i = 0; i < wanted; ++i) put_lane<I>(candidates, best[i], to.totals[i]);
}

// Adds to the costs of some words what a new word has in common with them, and takes off the old.
template <class I>
static inline void replace_word(const std::int16_t* before, const std::int16_t* now, int first,
                                int last, std::int32_t* costs) {
    using L = typename I::Lanes;
    for (int k = first; k < last; k += L::kLanes)
        L::load(costs + k).add(L::widened(now + k).sub(L::widened(before + k))).store(costs + k);
}

// Each section in turn takes its best word given the others, until nothing changes. `costs` are
// those of each word beside the words of all other sections, and a constant for each section.
template <class I, int W>
static inline void sweep(const Choice& c, std::int32_t* costs, std::uint8_t* words) {
    bool changed = true;
    for (int turn = 0; turn < c.sweeps && changed; ++turn) {
        changed = false;
        for (int section = 0; section < c.sections; ++section) {
            const int first = section * W;
            std::int32_t least;
            const int now = words[section], best = first_least<I>(costs + first, W, least);
            if (best == now) continue;
            const std::int16_t* before = c.twice + std::int64_t{first + now} * c.width;
            const std::int16_t* after = c.twice + std::int64_t{first + best} * c.width;
            replace_word<I>(before, after, 0, first, costs);
            replace_word<I>(before, after, first + W, c.width, costs);
            words[section] = static_cast<std::uint8_t>(best);
            changed = true;
        }
    }
}

// Asks for what leave_rest() will read, unless sweeps change it.
static QAMA_INLINE void fetch_words(const Choice& c, const std::uint8_t* words) {
    for (int section = 0; section < c.sections; ++section) {
        const int word = section * c.section_words + words[section];
        for (int k = 0; k < c.dims; k += 32)
            QAMA_PREFETCH(c.words + std::int64_t{word} * c.dims + k);
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
        rest[k] = static_cast<std::int16_t>(sums[k] < -32768  ? -32768
                                            : sums[k] > 32767 ? 32767
                                                              : sums[k]);
}

// Row `i`; `alone` holds its costs. `candidates` holds beam * width integers.
template <class I, int W>
static inline void choose_row(const Choice& c, std::int64_t i, std::int32_t* alone,
                              std::int32_t* candidates, std::int32_t* sums) {
    Beam beams[2];
    beams[0].totals[0] = 0, beams[0].held = 1;
    for (int section = 0; section < c.sections; ++section)
        extend<I, W>(c, alone, section, beams[section % 2], beams[(section + 1) % 2],
                     candidates + c.beam * section * W);
    Beam& found = beams[c.sections % 2];
    std::uint8_t* words = found.words[0];
    fetch_words(c, words);
    if (c.sweeps > 0) {
        std::int32_t* costs = alone; // these serve no longer
        for (int section = 0; section < c.sections; ++section) {
            fetch_beside<W>(c, section + 1, words, section + 2, c.sections);
            costs_beside<I, W>(c, section, words, section + 1, c.sections,
                               candidates + (c.beam * section + found.parents[0][section]) * W, 0,
                               costs + section * W);
        }
        sweep<I, W>(c, costs, words);
    }
    leave_rest(c, c.rows + i * c.dims, words, sums, c.rest + i * c.dims);
    std::uint8_t* codes = c.codes + i * c.sections / (W == kNibbleSize ? 2 : 1);
    if (W == kByteSize) std::memcpy(codes, words, static_cast<std::size_t>(c.sections));
    else
        for (int k = 0; k < c.sections / 2; ++k)
            codes[k] = joined_nibbles(words[2 * k], words[2 * k + 1]);
}

// `scratch` holds kChoiceRows + beam rows of `width` integers, then `dims` integers.
template <class I> static void choose_rows(const Choice& c, Range rows, std::int32_t* scratch) {
    constexpr int R = kChoiceRows;
    std::int32_t* candidates = scratch + std::int64_t{R} * c.width;
    std::int32_t* sums = candidates + std::int64_t{c.beam} * c.width;
    for (std::int64_t i = rows.first; i < rows.last; i += R) {
        const std::int64_t count = rows.last - i < R ? rows.last - i : R;
        costs_alone<I>(c, c.rows + i * c.dims, count, scratch);
        for (std::int64_t r = 0; r < count; ++r)
            if (c.section_words == kByteSize)
                choose_row<I, kByteSize>(c, i + r, scratch + r * c.width, candidates, sums);
            else choose_row<I, kNibbleSize>(c, i + r, scratch + r * c.width, candidates, sums);
    }
}

} // namespace qama
