#include "norms.h"

#include <algorithm>
#include <vector>

#include "pool.h"
#include "scan.h"
#include "search.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 256;

std::int64_t squared_norm(const Decoding& d, const std::uint8_t* code, std::int32_t* sums) {
    const int dims = d.dims;
    for (int k = 0; k < dims; ++k) sums[k] = d.start[k];
    const std::int16_t* words = d.words;
    const auto add = [&](int word, int of) {
        const std::int16_t* entries = words + std::int64_t{word} * dims;
        for (int k = 0; k < dims; ++k) sums[k] += entries[k];
        words += std::int64_t{of} * dims;
    };
    for (int c = 0; c < d.full; ++c) add(code[c], kManyWords);
    for (int c = d.full; c < d.columns; ++c)
        add(code[c] >> 4, kFewWords), add(code[c] & 15, kFewWords);
    std::int64_t norm = 0;
    for (int k = 0; k < dims; ++k) norm += std::int64_t{sums[k]} * sums[k];
    return norm;
}

} // namespace

void squared_norms(const Decoding& d, const std::uint8_t* codes, std::int64_t count, int threads,
                   std::int64_t* norms_out) {
    const double work = 2.0 * static_cast<double>(count) * d.columns * d.dims;
    parallel_for((count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
                 [&](std::int64_t task) {
                     std::vector<std::int32_t> sums(static_cast<std::size_t>(d.dims));
                     const std::int64_t first = task * kRowsPerTask;
                     const std::int64_t last = std::min(first + kRowsPerTask, count);
                     for (std::int64_t i = first; i < last; ++i)
                         norms_out[i] = squared_norm(d, codes + i * d.columns, sums.data());
                 });
}

} // namespace qama
