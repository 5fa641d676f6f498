// The search of choose.h, written once over the Lanes of an instruction set I (see scan_kernel.h)
// and W, the number of codewords in a codebook. I::Lanes are kLanes int32, kLanes a divisor of 16,
// with
//
//     load, store, splat, numbers      numbers: lane i holds i
//     widened                          load of int16
//     add, sub, min, max               modulo 2^32; signed
//     add_products(a, b)               of the two int16 in each lane, added modulo 2^32
//     kTileRows                        rows that are multiplied with a tile of codewords together
//     halved(n)                        n times, rounding down
//     less(a, b), equal(a, b)          masks: true or false per lane
//     select(mask, a, b)               a where the mask holds, else b
//     least()                          the least lane
#pragma once

#include <cstring>

#include "scan.h"

namespace qama {

constexpr std::int32_t kNever = 0x7FFFFFFF; // above every cost
constexpr int kTileVectors = 2;             // vectors of codewords in a tile
constexpr int kTileDimPairs = 96;           // dim pairs that are read of a tile at a time

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

static inline std::int32_t dim_pair_at(const std::int16_t* row, int number) {
    std::int32_t both;
    std::memcpy(&both, row + 2 * number, sizeof both);
    return both;
}

// Adds to `sums` the products of R rows with the codewords of a tile, in so many dim pairs (see
// Choice.panels). The rows lie `dims` apart.
template <class I, int R>
static inline void add_products(const std::int32_t* codewords, int dim_pairs,
                                const std::int16_t* rows, int dims,
                                typename I::Lanes (&sums)[R][kTileVectors]) {
    using L = typename I::Lanes;
    constexpr int chains = R == 1 ? 4 : 1; // sums that need not wait for each other
    L some[chains][R][kTileVectors];
    for (int c = 0; c < chains; ++c)
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < kTileVectors; ++v)
                some[c][r][v] = c == 0 ? sums[r][v] : L::splat(0);
    const auto add = [&](int k, L(&to)[R][kTileVectors]) {
        for (int r = 0; r < R; ++r) {
            const L entries = L::splat(dim_pair_at(rows + std::int64_t{r} * dims, k));
            for (int v = 0; v < kTileVectors; ++v)
                to[r][v] =
                    to[r][v].add_products(L::load(codewords + k * kPanel + v * L::kLanes), entries);
        }
    };
    int k = 0;
    for (; k + chains <= dim_pairs; k += chains)
        for (int c = 0; c < chains; ++c) add(k + c, some[c]);
    for (; k < dim_pairs; ++k) add(k, some[0]);
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < kTileVectors; ++v) {
            sums[r][v] = some[0][r][v];
            for (int c = 1; c < chains; ++c) sums[r][v] = sums[r][v].add(some[c][r][v]);
        }
}

// The same for dim pairs from `first` on. `waiting` keeps the sums between calls, unless these
// are the last ones: then take(r, v, sums) is called for each row r and vector v.
template <class I, int R, class Take>
static inline void products_of_rows(const std::int32_t* codewords, int first, int dim_pairs,
                                    const std::int16_t* rows, int dims, std::int32_t* waiting,
                                    Take take) {
    using L = typename I::Lanes;
    constexpr int V = kTileVectors;
    L sums[R][V];
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v)
            sums[r][v] = first == 0 ? L::splat(0) : L::load(waiting + (r * V + v) * L::kLanes);
    add_products<I, R>(codewords + std::int64_t{first} * kPanel, dim_pairs, rows + 2 * first, dims,
                       sums);
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v)
            if (2 * (first + dim_pairs) == dims) take(r, v, sums[r][v]);
            else sums[r][v].store(waiting + (r * V + v) * L::kLanes);
}

// Calls take(r, at, products) with the products of row r and the vector of codewords from `at` on,
// for all codewords and `count` rows, at most kChoiceRows. Some dim pairs of a tile at a
// time serve all rows, so that they stay in the L1 cache.
template <class I, class Take>
static inline void lane_products(const std::int32_t* panels, int dims, int width,
                                 const std::int16_t* rows, std::int64_t count, Take take) {
    using L = typename I::Lanes;
    constexpr int V = kTileVectors, R = L::kTileRows, tile = V * L::kLanes;
    alignas(64) std::int32_t waiting[kChoiceRows * tile];
    for (int column = 0; column < width; column += tile) {
        const std::int32_t* codewords =
            panels + std::int64_t{column} / kPanel * (dims / 2) * kPanel + column % kPanel;
        for (int first = 0; first < dims / 2; first += kTileDimPairs) {
            const int some = dims / 2 - first < kTileDimPairs ? dims / 2 - first : kTileDimPairs;
            const auto products = [&](auto number, std::int64_t r) {
                products_of_rows<I, decltype(number)::value>(
                    codewords, first, some, rows + r * dims, dims, waiting + r * tile,
                    [&](int i, int v, L sums) { take(r + i, column + v * L::kLanes, sums); });
            };
            std::int64_t r = 0;
            for (; r + R <= count; r += R) products(Number<R>{}, r);
            for (; r < count; ++r) products(Number<1>{}, r);
        }
    }
}

// The same, in the way that is fastest with I; scan_amx.cpp has another one.
template <class I> struct AllProducts {
    template <class Take>
    static void of(const std::int32_t* panels, int dims, int width, const std::int16_t* rows,
                   std::int64_t count, Take take) {
        lane_products<I>(panels, dims, width, rows, count, take);
    }
};

template <class I> static void multiply(const Products& p, Range rows) {
    for (std::int64_t i = rows.first; i < rows.last; i += kChoiceRows) {
        const std::int64_t count = rows.last - i < kChoiceRows ? rows.last - i : kChoiceRows;
        std::int32_t* out = p.products + i * p.width;
        AllProducts<I>::of(p.panels, p.dims, p.width, p.rows + i * p.dims, count,
                           [&](std::int64_t r, int at, typename I::Lanes products) {
                               products.store(out + r * p.width + at);
                           });
    }
}

// What each codeword costs alone: |w|^2 - 2 r . w, halved and clamped as Choice says.
template <class I>
static inline void costs_alone(const Choice& c, const std::int16_t* rows, std::int64_t count,
                               std::int32_t* costs) {
    using L = typename I::Lanes;
    const L low = L::splat(-c.limit), high = L::splat(c.limit);
    AllProducts<I>::of(
        c.panels, c.dims, c.width, rows, count, [&](std::int64_t r, int at, L products) {
            const L product = products.halved(c.shift).max(low).min(high);
            L::load(c.squares + at).sub(product).sub(product).store(costs + r * c.width + at);
        });
}

// The number of the cheapest candidate, the first of equals, among `count` (a multiple of kLanes).
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

// The cheapest prefixes of a choice so far, cheapest first.
struct Beam {
    std::int32_t totals[kBeam];
    std::uint8_t codewords[kBeam][kMostCodebooks];
    std::uint8_t parents[kBeam]
                        [kMostCodebooks]; // which prefix each codebook's codeword was added to
    int held;
};

// What each codeword of a codebook costs beside the chosen ones of the codebooks [from, to):
// `start`, `total` and twice its products with them.
template <class I, int W>
static inline void costs_beside(const Choice& c, int codebook, const std::uint8_t* codewords,
                                int from, int to, const std::int32_t* start, std::int32_t total,
                                std::int32_t* costs) {
    using L = typename I::Lanes;
    constexpr int N = (W < 64 ? W : 64) / L::kLanes; // sums at a time
    for (int k = 0; k < W; k += N * L::kLanes) {
        const int first = codebook * W + k;
        L sums[N];
        for (int n = 0; n < N; ++n)
            sums[n] = L::load(start + k + n * L::kLanes).add(L::splat(total));
        for (int s = from; s < to; ++s) {
            const std::int16_t* row =
                c.twice + std::int64_t{s * W + codewords[s]} * c.width + first;
            for (int n = 0; n < N; ++n) sums[n] = sums[n].add(L::widened(row + n * L::kLanes));
        }
        for (int n = 0; n < N; ++n) sums[n].store(costs + k + n * L::kLanes);
    }
}

// Prefetches what costs_beside() will read: products with 256 codewords are too many for a cache.
template <int W>
static QAMA_INLINE void fetch_beside(const Choice& c, int codebook, const std::uint8_t* codewords,
                                     int from, int to) {
    if (W != kByteSize || codebook >= c.codebooks) return;
    for (int s = from; s < to; ++s) {
        const std::int16_t* row =
            c.twice + std::int64_t{s * W + codewords[s]} * c.width + codebook * W;
        for (int k = 0; k < W; k += 32) QAMA_PREFETCH(row + k);
    }
}

// Extends the prefixes by one codebook. `candidates` becomes the total cost of each prefix with
// each codeword.
template <class I, int W>
static inline void extend(const Choice& c, const std::int32_t* alone, int codebook,
                          const Beam& from, Beam& to, std::int32_t* candidates) {
    const int count = from.held * W, wanted = count < c.beam ? count : c.beam;
    for (int b = 0; b < from.held; ++b)
        fetch_beside<W>(c, codebook + 1, from.codewords[b], 0, codebook);
    for (int b = 0; b < from.held; ++b)
        costs_beside<I, W>(c, codebook, from.codewords[b], 0, codebook, alone + codebook * W,
                           from.totals[b], candidates + b * W);
    int best[kBeam];
    for (to.held = 0; to.held < wanted; ++to.held) {
        int& now = best[to.held];
        now = first_least<I>(candidates, count, to.totals[to.held]);
        put_lane<I>(candidates, now, kNever);
        const auto size = static_cast<std::size_t>(codebook);
        std::memcpy(to.codewords[to.held], from.codewords[now / W], size);
        std::memcpy(to.parents[to.held], from.parents[now / W], size);
        to.codewords[to.held][codebook] = static_cast<std::uint8_t>(now % W);
        to.parents[to.held][codebook] = static_cast<std::uint8_t>(now / W);
    }
    for (int i = 0; i < wanted; ++i) put_lane<I>(candidates, best[i], to.totals[i]);
}

// Updates the costs of the codewords [first, last) when a chosen one is replaced: takes off twice
// the products with the old one and adds those with the new one.
template <class I>
static inline void replace_codeword(const std::int16_t* before, const std::int16_t* now, int first,
                                    int last, std::int32_t* costs) {
    using L = typename I::Lanes;
    for (int k = first; k < last; k += L::kLanes)
        L::load(costs + k).add(L::widened(now + k).sub(L::widened(before + k))).store(costs + k);
}

// Coordinate descent: each codebook in turn takes its cheapest codeword given all others, until
// nothing changes. `costs` says what each codeword costs beside the chosen ones of all other
// codebooks, up to a constant per codebook.
template <class I, int W>
static inline void sweep(const Choice& c, std::int32_t* costs, std::uint8_t* codewords) {
    bool changed = true;
    for (int turn = 0; turn < c.sweeps && changed; ++turn) {
        changed = false;
        for (int codebook = 0; codebook < c.codebooks; ++codebook) {
            const int first = codebook * W;
            std::int32_t least;
            const int now = codewords[codebook], best = first_least<I>(costs + first, W, least);
            if (best == now) continue;
            const std::int16_t* before = c.twice + std::int64_t{first + now} * c.width;
            const std::int16_t* after = c.twice + std::int64_t{first + best} * c.width;
            replace_codeword<I>(before, after, 0, first, costs);
            replace_codeword<I>(before, after, first + W, c.width, costs);
            codewords[codebook] = static_cast<std::uint8_t>(best);
            changed = true;
        }
    }
}

// Prefetches what leave_residual() will read, unless sweeps change the choice.
static QAMA_INLINE void fetch_codewords(const Choice& c, const std::uint8_t* codewords) {
    for (int codebook = 0; codebook < c.codebooks; ++codebook) {
        const int codeword = codebook * c.book_size + codewords[codebook];
        for (int k = 0; k < c.dims; k += 32)
            QAMA_PREFETCH(c.codewords + std::int64_t{codeword} * c.dims + k);
    }
}

// The row less its codewords, clamped to int16; `sums` has room for `dims` integers.
static inline void leave_residual(const Choice& c, const std::int16_t* row,
                                  const std::uint8_t* codewords, std::int32_t* sums,
                                  std::int16_t* residual) {
    const int dims = c.dims;
    for (int k = 0; k < dims; ++k) sums[k] = row[k];
    for (int codebook = 0; codebook < c.codebooks; ++codebook) {
        const std::int16_t* entries =
            c.codewords + std::int64_t{codebook * c.book_size + codewords[codebook]} * dims;
        for (int k = 0; k < dims; ++k) sums[k] -= entries[k];
    }
    for (int k = 0; k < dims; ++k)
        residual[k] = static_cast<std::int16_t>(sums[k] < -32768  ? -32768
                                                : sums[k] > 32767 ? 32767
                                                                  : sums[k]);
}

// Chooses for row `i`. `alone` holds what each codeword costs alone; `candidates` has room for
// beam * width integers, `sums` for dims.
template <class I, int W>
static inline void choose_row(const Choice& c, std::int64_t i, std::int32_t* alone,
                              std::int32_t* candidates, std::int32_t* sums) {
    Beam beams[2];
    beams[0].totals[0] = 0, beams[0].held = 1;
    for (int codebook = 0; codebook < c.codebooks; ++codebook)
        extend<I, W>(c, alone, codebook, beams[codebook % 2], beams[(codebook + 1) % 2],
                     candidates + c.beam * codebook * W);
    Beam& found = beams[c.codebooks % 2];
    std::uint8_t* codewords = found.codewords[0];
    fetch_codewords(c, codewords);
    if (c.sweeps > 0) {
        std::int32_t* costs = alone; // which is not needed any more
        for (int codebook = 0; codebook < c.codebooks; ++codebook) {
            fetch_beside<W>(c, codebook + 1, codewords, codebook + 2, c.codebooks);
            costs_beside<I, W>(c, codebook, codewords, codebook + 1, c.codebooks,
                               candidates + (c.beam * codebook + found.parents[0][codebook]) * W, 0,
                               costs + codebook * W);
        }
        sweep<I, W>(c, costs, codewords);
    }
    leave_residual(c, c.rows + i * c.dims, codewords, sums, c.residuals + i * c.dims);
    std::uint8_t* codes = c.codes + i * c.codebooks / (W == kNibbleSize ? 2 : 1);
    if (W == kByteSize) std::memcpy(codes, codewords, static_cast<std::size_t>(c.codebooks));
    else
        for (int k = 0; k < c.codebooks / 2; ++k)
            codes[k] = joined_nibbles(codewords[2 * k], codewords[2 * k + 1]);
}

// See ChooseFn.
template <class I> static void choose_rows(const Choice& c, Range rows, std::int32_t* scratch) {
    constexpr int R = kChoiceRows;
    std::int32_t* candidates = scratch + std::int64_t{R} * c.width;
    std::int32_t* sums = candidates + std::int64_t{c.beam} * c.width;
    for (std::int64_t i = rows.first; i < rows.last; i += R) {
        const std::int64_t count = rows.last - i < R ? rows.last - i : R;
        costs_alone<I>(c, c.rows + i * c.dims, count, scratch);
        for (std::int64_t r = 0; r < count; ++r)
            if (c.book_size == kByteSize)
                choose_row<I, kByteSize>(c, i + r, scratch + r * c.width, candidates, sums);
            else choose_row<I, kNibbleSize>(c, i + r, scratch + r * c.width, candidates, sums);
    }
}

} // namespace qama
