#include "norms.h"

#include <algorithm>
#include <vector>

#include "pool.h"
#include "search.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 256;

std::int64_t squared_norm(const Decoding& d, const std::uint8_t* code, std::int32_t* sums) {
    const int dims = d.dims;
    for (int k = 0; k < dims; ++k) sums[k] = d.start[k];
    for (int nibble = 0; nibble < 2 * d.columns; ++nibble) {
        const int word = code[nibble / 2] >> (nibble % 2 ? 0 : 4) & 15;
        const std::int16_t* entries = d.words + (std::int64_t{16} * nibble + word) * dims;
        for (int k = 0; k < dims; ++k) sums[k] += entries[k];
    }
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
