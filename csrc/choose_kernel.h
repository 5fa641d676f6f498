// The search of choose.h, written once over the Lanes of an instruction set I (see scan_kernel.h):
// I::Lanes are kLanes int32, kLanes a divisor of 16, with
//
//     load, store, splat, numbers      numbers: lane i holds i; load and store are aligned
//     add, sub, min, max               modulo 2^32; signed
//     products(a, b)                   of the two int16 in each lane, added up modulo 2^32
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

// What each word costs alone, |w|^2 - 2 r . w in the units of the search, for R rows behind each other.
template <class I, int R>
static inline void costs_alone(const Choice& c, const std::int16_t* rows, std::int32_t* costs) {
    using L = typename I::Lanes;
    constexpr int V = kTileVectors;
    const L low = L::splat(-c.limit), high = L::splat(c.limit);
    for (int column = 0; column < c.width; column += V * L::kLanes) {
        L sums[R][V];
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) sums[r][v] = L::splat(0);
        const std::int32_t* words = c.pairs + column;
        for (int k = 0; k < c.dims / 2; ++k, words += c.width)
            for (int r = 0; r < R; ++r) {
                const L entries = L::splat(pair_at(rows + std::int64_t{r} * c.dims, k));
                for (int v = 0; v < V; ++v)
                    sums[r][v] =
                        sums[r][v].add(L::products(L::load(words + v * L::kLanes), entries));
            }
        for (int r = 0; r < R; ++r)
            for (int v = 0; v < V; ++v) {
                const int at = column + v * L::kLanes;
                const L product = sums[r][v].halved(c.shift).max(low).min(high);
                L::load(c.squares + at).sub(product).sub(product).store(
                    costs + std::int64_t{r} * c.width + at);
            }
    }
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

// Prefixes of a choice, cheapest first. `costs` hold for every word of the sections to come what it
// would add to the prefix.
struct Beam {
    std::int32_t* costs; // (beam, width)
    std::int32_t totals[kBeam];
    std::uint8_t words[kBeam][kSections];
    int held;
};

template <class I>
static inline void keep(const Choice& c, int section, const Beam& from, Beam& to, int candidate,
                        std::int32_t total) {
    using L = typename I::Lanes;
    const int parent = candidate / kWords, word = candidate % kWords, kept = to.held++;
    to.totals[kept] = total;
    std::memcpy(to.words[kept], from.words[parent], static_cast<std::size_t>(section));
    to.words[kept][section] = static_cast<std::uint8_t>(word);
    const std::int32_t* row = c.twice + std::int64_t{section * kWords + word} * c.width;
    const std::int32_t* before = from.costs + std::int64_t{parent} * c.width;
    std::int32_t* after = to.costs + std::int64_t{kept} * c.width;
    for (int k = (section + 1) * kWords; k < c.width; k += L::kLanes)
        L::load(before + k).add(L::load(row + k)).store(after + k);
}

template <class I>
static inline void extend(const Choice& c, int section, const Beam& from, Beam& to) {
    using L = typename I::Lanes;
    alignas(64) std::int32_t candidates[kBeam * kWords];
    const int count = from.held * kWords, wanted = count < c.beam ? count : c.beam;
    for (int b = 0; b < from.held; ++b)
        for (int k = 0; k < kWords; k += L::kLanes)
            L::load(from.costs + std::int64_t{b} * c.width + section * kWords + k)
                .add(L::splat(from.totals[b]))
                .store(candidates + b * kWords + k);
    to.held = 0;
    while (to.held < wanted) {
        std::int32_t total;
        const int best = first_least<I>(candidates, count, total);
        put_lane<I>(candidates, best, kNever);
        keep<I>(c, section, from, to, best, total);
    }
}

template <class I>
static inline void add_row(const Choice& c, int word, std::int32_t* costs) {
    using L = typename I::Lanes;
    const std::int32_t* row = c.twice + std::int64_t{word} * c.width;
    for (int k = 0; k < c.width; k += L::kLanes)
        L::load(costs + k).add(L::load(row + k)).store(costs + k);
}

// Each section in turn takes its best word given the others, until nothing changes.
template <class I>
static inline void sweep(const Choice& c, std::int32_t* costs, std::uint8_t* words) {
    using L = typename I::Lanes;
    alignas(64) std::int32_t others[kWords]; // costs without the section's own word
    for (int section = 0; section < c.sections; ++section)
        add_row<I>(c, section * kWords + words[section], costs);
    bool changed = true;
    for (int turn = 0; turn < c.sweeps && changed; ++turn) {
        changed = false;
        for (int section = 0; section < c.sections; ++section) {
            const int first = section * kWords, now = first + words[section];
            const std::int32_t* own = c.twice + std::int64_t{now} * c.width;
            for (int k = 0; k < kWords; k += L::kLanes)
                L::load(costs + first + k).sub(L::load(own + first + k)).store(others + k);
            std::int32_t least;
            const int best = first_least<I>(others, kWords, least);
            if (first + best == now) continue;
            const std::int32_t* row = c.twice + std::int64_t{first + best} * c.width;
            for (int k = 0; k < c.width; k += L::kLanes)
                L::load(costs + k).add(L::load(row + k).sub(L::load(own + k))).store(costs + k);
            words[section] = static_cast<std::uint8_t>(best);
            changed = true;
        }
    }
}

// `alone` is the row's own; `scratch` holds two beams.
template <class I>
static inline void choose_row(const Choice& c, std::int32_t* alone, std::int32_t* scratch,
                              std::uint8_t* codes) {
    Beam beams[2];
    beams[0].costs = scratch, beams[1].costs = scratch + std::int64_t{kBeam} * c.width;
    std::memcpy(beams[0].costs, alone, sizeof(std::int32_t) * static_cast<std::size_t>(c.width));
    beams[0].totals[0] = 0, beams[0].held = 1;
    for (int section = 0; section < c.sections; ++section)
        extend<I>(c, section, beams[section % 2], beams[(section + 1) % 2]);
    std::uint8_t* words = beams[c.sections % 2].words[0];
    if (c.sweeps > 0) sweep<I>(c, alone, words);
    for (int i = 0; i < c.sections / 2; ++i)
        codes[i] = static_cast<std::uint8_t>(words[2 * i] << 4 | words[2 * i + 1]);
}

// The row less its words, clamped to int16; `sums` holds `dims` integers.
static inline void leave_rest(const Choice& c, const std::int16_t* row, const std::uint8_t* codes,
                              std::int32_t* sums, std::int16_t* rest) {
    const int dims = c.dims;
    for (int k = 0; k < dims; ++k) sums[k] = row[k];
    for (int section = 0; section < c.sections; ++section) {
        const int word = codes[section / 2] >> (section % 2 ? 0 : 4) & 15;
        const std::int16_t* entries = c.words + std::int64_t{section * kWords + word} * dims;
        for (int k = 0; k < dims; ++k) sums[k] -= entries[k];
    }
    for (int k = 0; k < dims; ++k)
        rest[k] = static_cast<std::int16_t>(
            sums[k] < -32768 ? -32768 : sums[k] > 32767 ? 32767 : sums[k]);
}

// `scratch` holds kChoiceRows + 2 * kBeam rows of `width` integers, then `dims` integers.
template <class I>
static void choose_rows(const Choice& c, Range rows, std::int32_t* scratch) {
    constexpr int R = kChoiceRows;
    std::int32_t* beams = scratch + std::int64_t{R} * c.width;
    std::int32_t* sums = beams + std::int64_t{2} * kBeam * c.width;
    for (std::int64_t i = rows.first; i < rows.last; i += R) {
        const std::int64_t count = rows.last - i < R ? rows.last - i : R;
        if (count == R) costs_alone<I, R>(c, c.rows + i * c.dims, scratch);
        else
            for (std::int64_t r = 0; r < count; ++r)
                costs_alone<I, 1>(c, c.rows + (i + r) * c.dims, scratch + r * c.width);
        for (std::int64_t r = 0; r < count; ++r) {
            std::uint8_t* codes = c.codes + (i + r) * (c.sections / 2);
            choose_row<I>(c, scratch + r * c.width, beams, codes);
            leave_rest(c, c.rows + (i + r) * c.dims, codes, sums, c.rest + (i + r) * c.dims);
        }
    }
}

} // namespace qama
