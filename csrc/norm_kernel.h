// The inner loop of norms.cpp, written once over the Lanes of an instruction set I (see
// choose_kernel.h).
#pragma once

#include "scan.h"

namespace qama {

// The sums of start and codewords in N vectors of dims from k on; they stay in registers.
template <class I, int N>
static inline void sum_codewords(const SummedCodewords& c, const std::int64_t* places, int k,
                                 std::int32_t* sums) {
    using L = typename I::Lanes;
    L some[N];
    for (int n = 0; n < N; ++n) some[n] = L::widened(c.start + k + n * L::kLanes);
    for (int s = 0; s < c.codebooks; ++s) {
        const std::int16_t* codeword = c.codewords + places[s] * c.dims + k;
        for (int n = 0; n < N; ++n) some[n] = some[n].add(L::widened(codeword + n * L::kLanes));
    }
    for (int n = 0; n < N; ++n) some[n].store(sums + k + n * L::kLanes);
}

// See NormsFn.
template <class I>
static void norms_of_sums(const SummedCodewords& c, std::int64_t rows, std::int32_t* sums,
                          std::int64_t* norms) {
    constexpr int kLanes = I::Lanes::kLanes, kTogether = 8;
    for (std::int64_t i = 0; i < rows; ++i) {
        const std::int64_t* places = c.places + i * c.codebooks;
        int k = 0;
        for (; k + kTogether * kLanes <= c.dims; k += kTogether * kLanes)
            sum_codewords<I, kTogether>(c, places, k, sums);
        for (; k + kLanes <= c.dims; k += kLanes) sum_codewords<I, 1>(c, places, k, sums);
        for (; k < c.dims; ++k) {
            sums[k] = c.start[k];
            for (int s = 0; s < c.codebooks; ++s) sums[k] += c.codewords[places[s] * c.dims + k];
        }
        std::int64_t norm = 0;
        for (int j = 0; j < c.dims; ++j) norm += std::int64_t{sums[j]} * sums[j];
        norms[i] = norm;
    }
}

} // namespace qama
