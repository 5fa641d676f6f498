// Products of queries with codewords of 4-bit entries, and their rounding to lookup tables, written
// once over the Lanes of an instruction set I (see choose_kernel.h), which also have
//
//     add_nibbles(panel, low, high)    the eight products of each lane: its four bytes' low nibbles
//                                      times the signed bytes of `low`, their high ones times
//                                      `high`
//     times(a)                         modulo 2^32
//     both(a)                          bitwise and
//     narrowed(to)                     stores the low 16 bits of each lane
#pragma once

#include <cstring>

#include "scan.h"

namespace qama {

constexpr std::int64_t kEntryLimit = (1 << 15) - 2; // a sum of two rounded terms may be 1 more
constexpr std::int64_t kOffsetLimit = 1 << 30;

static inline std::int32_t four_at(const std::int8_t* entries) {
    std::int32_t four;
    std::memcpy(&four, entries, sizeof four);
    return four;
}

static inline std::int32_t sum_of(const std::int8_t* entries, int count) {
    std::int32_t sum = 0;
    for (int k = 0; k < count; ++k) sum += entries[k];
    return sum;
}

// Calls take(r, v, sums) with the products of each of R rows and the codewords of each vector of a
// panel, as if their entries counted from 0 instead of -kNibbleZero.
template <class I, int R, class Take>
static inline void panel_products(const std::uint8_t* panel, int octets, const std::int8_t* rows,
                                  Take take) {
    using L = typename I::Lanes;
    constexpr int V = kNibblePanel / L::kLanes, bytes = 4 * L::kLanes;
    constexpr int chains = R == 1 ? 4 : 1; // sums that need not wait for each other
    L sums[chains][R][V];
    for (auto& chain : sums)
        for (auto& row : chain)
            for (L& sum : row) sum = L::splat(0);
    const auto add = [&](int o, L(&to)[R][V]) {
        const std::uint8_t* at = panel + std::int64_t{o} * kNibblePanelBytes;
        for (int r = 0; r < R; ++r) {
            const std::int8_t* entries = rows + 8 * (std::int64_t{r} * octets + o);
            const L low = L::splat(four_at(entries)), high = L::splat(four_at(entries + 4));
            for (int v = 0; v < V; ++v) to[r][v] = to[r][v].add_nibbles(at + v * bytes, low, high);
        }
    };
    int o = 0;
    for (; o + chains <= octets; o += chains)
        for (int c = 0; c < chains; ++c) add(o + c, sums[c]);
    for (; o < octets; ++o) add(o, sums[0]);
    for (int r = 0; r < R; ++r)
        for (int v = 0; v < V; ++v) {
            L sum = sums[0][r][v];
            for (int c = 1; c < chains; ++c) sum = sum.add(sums[c][r][v]);
            take(r, v, sum);
        }
}

// See MultiplyNibblesFn. Each panel serves some rows, so that it is read from memory once for them.
template <class I> static void multiply_nibbles(const NibbleProducts& p, Range rows) {
    using L = typename I::Lanes;
    constexpr int R = L::kNibbleRows;
    const int dims = 8 * p.octets;
    const std::int64_t width = std::int64_t{p.panels} * kNibblePanel;
    for (std::int64_t i = rows.first; i < rows.last; i += kChoiceRows) {
        const std::int64_t count = rows.last - i < kChoiceRows ? rows.last - i : kChoiceRows;
        std::int32_t zeros[kChoiceRows];
        for (std::int64_t r = 0; r < count; ++r)
            zeros[r] = kNibbleZero * sum_of(p.rows + (i + r) * dims, dims);
        for (std::int64_t panel = 0; panel < p.panels; ++panel) {
            const std::uint8_t* at = p.codewords + panel * p.octets * kNibblePanelBytes;
            const auto products = [&](auto number, std::int64_t r) {
                panel_products<I, decltype(number)::value>(
                    at, p.octets, p.rows + (i + r) * dims, [&](int row, int v, L sums) {
                        const std::int64_t to = panel * kNibblePanel + v * L::kLanes;
                        sums.sub(L::splat(zeros[r + row]))
                            .times(L::widened(p.steps + to))
                            .store(p.products + (i + r + row) * width + to);
                    });
            };
            std::int64_t r = 0;
            for (; r + R <= count; r += R) products(Number<R>{}, r);
            for (; r < count; ++r) products(Number<1>{}, r);
        }
    }
}

// p / 2^shift, rounded half to even.
template <class Whole> static inline Whole halved_even(Whole p, int shift) {
    if (shift <= 0) return shift < -30 ? 0 : p * (Whole{1} << -shift);
    const Whole floor = p >> shift, left = p & ((Whole{1} << shift) - 1);
    return floor + ((left + (Whole{1} << (shift - 1)) - 1 + (floor & 1)) >> shift);
}

// The same of many values; shifts are below 30.
template <class L> struct Halving {
    L mask, most, one;
    int shift;

    explicit Halving(int by)
        : mask(L::splat(by > 0 ? (1 << by) - 1 : 0)),
          most(L::splat(by > 0 ? (1 << (by - 1)) - 1 : 0)),
          one(L::splat(by > 0 ? 1 : halved_even(1, by))), shift(by) {}
    L operator()(L p) const {
        if (shift <= 0) return p.times(one);
        const L floor = p.halved(shift);
        return floor.add(p.both(mask).add(most).add(floor.both(one)).halved(shift));
    }
};

// The least and the greatest of `count` values, a multiple of kLanes.
template <class L>
static inline void span(const std::int32_t* values, std::int64_t count, L& low, L& high) {
    for (std::int64_t k = 0; k < count; k += L::kLanes) {
        const L some = L::load(values + k);
        low = low.min(some), high = high.max(some);
    }
}

static inline std::int64_t magnitude(std::int64_t low, std::int64_t high) {
    return high > -low ? high : -low;
}

// The greatest magnitude of the entries that one query's terms make: see RoundedTables.
template <class L>
static inline std::int64_t greatest(const std::int32_t* terms, CodebookLayout layout) {
    const std::int64_t full = std::int64_t{kByteSize} * layout.full;
    L low = L::splat(0), high = L::splat(0);
    span(terms, full, low, high);
    std::int64_t most = 0;
    for (const std::int32_t* at = terms + full; at < terms + term_count(layout); at += kByteTerms) {
        std::int64_t least[2] = {at[0], at[kSplitSize]}, top[2] = {at[0], at[kSplitSize]};
        for (int half = 0; half < 2; ++half)
            for (int i = 0; i < kSplitSize; ++i) {
                const std::int64_t value = at[kSplitSize * half + i];
                least[half] = value < least[half] ? value : least[half];
                top[half] = value > top[half] ? value : top[half];
            }
        const std::int64_t sums = magnitude(least[0] + least[1], top[0] + top[1]);
        most = sums > most ? sums : most;
        span(at + 2 * kSplitSize, kNibbleSize, low, high);
    }
    const std::int64_t others =
        magnitude(low.least(), -std::int64_t{L::splat(0).sub(high).least()});
    return others > most ? others : most;
}

// By how many powers of two entries are less than terms: the least number for which no entry
// exceeds kEntryLimit, nor the offset kOffsetLimit. Where all are zero, the scale becomes 1.
static inline int table_shift(std::int64_t most, std::int64_t offset, int exponent) {
    const std::int64_t size = magnitude(offset, offset);
    if (most == 0 && size == 0) return kUnitExponent - exponent;
    int shift = -14; // of an entry of 1
    if (most == 0) shift = -30 - exponent;
    const auto fits = [](std::int64_t value, std::int64_t limit, int by) {
        return value <= (by >= 0 ? limit << by : limit >> -by);
    };
    while (!fits(most, kEntryLimit, shift) || !fits(size, kOffsetLimit, shift + exponent)) ++shift;
    return shift;
}

static inline std::int32_t rounded_offset(std::int64_t offset, int shift) {
    return static_cast<std::int32_t>(halved_even(offset, shift));
}

// See RoundFn.
template <class I> static void round_tables(const RoundedTables& t, Range queries) {
    using L = typename I::Lanes;
    const std::int64_t terms = t.term_stride, entries = codeword_count(t.layout);
    const std::int64_t full = std::int64_t{kByteSize} * t.layout.full;
    for (std::int64_t q = queries.first; q < queries.last; ++q) {
        const std::int32_t* from = t.terms + q * terms;
        const int exponent = t.exponents ? t.exponents[q] : 0;
        const int shift = table_shift(greatest<L>(from, t.layout), t.offsets[q], exponent);
        t.powers[q] = shift + exponent;
        t.offsets_out[q] = rounded_offset(t.offsets[q], t.powers[q]);
        const Halving<L> halved(shift);
        std::int16_t* to = t.tables + q * entries;
        for (std::int64_t k = 0; k < full; k += L::kLanes)
            halved(L::load(from + k)).narrowed(to + k);
        from += full, to += full;
        for (int byte = t.layout.full; byte < t.layout.bytes; ++byte) {
            std::int32_t parts[2 * kSplitSize];
            for (int k = 0; k < 2 * kSplitSize; ++k) parts[k] = halved_even(from[k], shift);
            for (int i = 0; i < kNibbleSize; ++i)
                to[i] = static_cast<std::int16_t>(parts[i / kSplitSize] +
                                                  parts[kSplitSize + i % kSplitSize]);
            for (int k = 0; k < kNibbleSize; k += L::kLanes)
                halved(L::load(from + 2 * kSplitSize + k)).narrowed(to + kNibbleSize + k);
            from += kByteTerms, to += byte_codewords(false);
        }
    }
}

} // namespace qama
