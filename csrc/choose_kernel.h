// The tabu search of choose.h, written once over the Lanes of an instruction set I (see
// scan_kernel.h): I::Lanes are kLanes int32, with
//
//     load, store, splat, numbers      numbers: lane i holds i
//     add, sub, min                    modulo 2^32; signed
//     less(a, b), equal(a, b)          masks, one truth per lane
//     select(mask, a, b)               a where the mask holds, else b
//     least()                          the least lane
#pragma once

#include "scan.h"

namespace qama {

constexpr std::int32_t kNever = 0x7FFFFFFF; // above every gain

// The state of one row. The arrays lie one behind the other, as long as they are used: at fixed
// distances of some KB they would compete for the same few lines of the cache.
struct ChoiceState {
    std::int32_t* gains; // for each bit a quarter of the change of the cost if it flips
    std::int32_t* signs; // -1 or +1
    std::int32_t* held;  // steps up to this one may not flip the bit
    const std::int32_t* row; // what the last flip adds to the gains, up to signs
    std::int32_t sign;
    std::int64_t cost, least; // since the start
    std::uint8_t* best;
    std::uint8_t code[kChoiceBits / 8];
};

struct Flip {
    int bit;
    std::int32_t gain;
};

// A whole vector is written, because a vector load would wait for a narrower store to finish.
template <class I>
static inline void put_lane(std::int32_t* values, int index, std::int32_t value) {
    using L = typename I::Lanes;
    std::int32_t* at = values + index / L::kLanes * L::kLanes;
    const auto here = L::equal(L::numbers(), L::splat(index % L::kLanes));
    L::select(here, L::splat(value), L::load(at)).store(at);
}

// Adds row_k * sign * signs_k to gains_k; then the bit of least gain that may flip, the first of equals.
template <class I>
static inline Flip next_flip(const ChoiceState& state, std::int32_t step, int stride) {
    using L = typename I::Lanes;
    const L never = L::splat(kNever), at = L::splat(state.sign), now = L::splat(step),
            width = L::splat(L::kLanes);
    // Local copies: the compiler must take it that a store to the gains could change the state.
    std::int32_t* const gains = state.gains;
    const std::int32_t *const row = state.row, *const signs = state.signs, *const held = state.held;
    L least = never, bits = never, numbers = L::numbers();
    for (int k = 0; k < stride; k += L::kLanes) {
        const L old = L::load(gains + k), change = L::load(row + k);
        const L gain = L::select(L::equal(L::load(signs + k), at), old.add(change),
                                 old.sub(change));
        gain.store(gains + k);
        const L allowed = L::select(L::less(L::load(held + k), now), gain, never);
        bits = L::select(L::less(allowed, least), numbers, bits);
        least = least.min(allowed);
        numbers = numbers.add(width);
    }
    const std::int32_t found = least.least();
    return {L::select(L::equal(least, L::splat(found)), bits, never).least(), found};
}

// b_j = +1 where u_j >= 0, and gains_k = b_k (u_k - sum over j != k of G_jk b_j). The sum over all
// j of G_jk b_j is that of G_jk less twice that of the j where b_j is -1.
static inline void start_choice(const Choice& c, const std::int32_t* linear, std::uint8_t* best,
                                std::int32_t* scratch, ChoiceState& state) {
    state.gains = scratch, state.signs = scratch + c.stride, state.held = scratch + 2 * c.stride;
    state.row = c.twice + std::int64_t{c.bits} * c.stride, state.sign = 1; // zeros
    state.cost = 0, state.least = 0, state.best = best;
    for (int k = 0; k < c.stride; ++k) {
        state.gains[k] = 0;
        state.signs[k] = k >= c.bits || linear[k] >= 0 ? 1 : -1;
        state.held[k] = -1;
    }
    for (int i = 0; i < c.bits / 8; ++i) state.code[i] = 0;
    for (int j = 0; j < c.bits; ++j) {
        if (linear[j] >= 0) {
            state.code[j / 8] = static_cast<std::uint8_t>(state.code[j / 8] | 0x80 >> j % 8);
            continue;
        }
        const std::int32_t* row = c.twice + std::int64_t{j} * c.stride;
        for (int k = 0; k < c.stride; ++k) state.gains[k] += row[k];
    }
    for (int k = 0; k < c.bits; ++k)
        state.gains[k] = state.signs[k] * (state.gains[k] + (linear[k] - c.sums[k]));
    for (int k = c.bits; k < c.stride; ++k) state.gains[k] = kNever;
    for (int i = 0; i < c.bits / 8; ++i) best[i] = state.code[i];
}

// What the flip adds to the gains of the other bits is left to next_flip.
template <class I>
static inline void flip_bit(const Choice& c, Flip flip, std::int32_t held, ChoiceState& state) {
    const int j = flip.bit;
    state.row = c.twice + std::int64_t{j} * c.stride;
    state.sign = state.signs[j];
    put_lane<I>(state.signs, j, -state.sign);
    put_lane<I>(state.gains, j, -flip.gain); // row[j] is zero
    put_lane<I>(state.held, j, held);
    state.code[j / 8] = static_cast<std::uint8_t>(state.code[j / 8] ^ 0x80 >> j % 8);
    state.cost += flip.gain;
    if (state.cost >= state.least) return;
    state.least = state.cost;
    for (int i = 0; i < c.bits / 8; ++i) state.best[i] = state.code[i];
}

// R rows in step: a step of one row is a chain of waits, in which the CPU works on the others.
template <class I, int R>
static void choose_together(const Choice& c, std::int64_t first, std::int32_t* scratch) {
    ChoiceState states[R];
    for (int r = 0; r < R; ++r)
        start_choice(c, c.linear + (first + r) * c.bits, c.codes + (first + r) * (c.bits / 8),
                     scratch + std::int64_t{3} * r * c.stride, states[r]);
    std::uint32_t random = kChoiceSeed;
    for (std::int32_t t = 0; t < c.steps; ++t) {
        random = random * 1664525u + 1013904223u;
        const std::uint64_t more = std::uint64_t{random >> 8} * (c.tenure + 1u) >> 24;
        const std::int32_t held = t + c.tenure + static_cast<std::int32_t>(more);
        for (int r = 0; r < R; ++r)
            flip_bit<I>(c, next_flip<I>(states[r], t, c.stride), held, states[r]);
    }
}

template <class I>
static void choose_rows(const Choice& c, Range rows, std::int32_t* scratch) {
    constexpr int R = kChoiceRows;
    alignas(64) std::int32_t local[3 * R * kChoiceBits];
    scratch = local;
    std::int64_t i = rows.first;
    for (; i + R <= rows.last; i += R) choose_together<I, R>(c, i, scratch);
    for (; i < rows.last; ++i) choose_together<I, 1>(c, i, scratch);
}

} // namespace qama
