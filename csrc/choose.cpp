#include "choose.h"

#include <algorithm>
#include <vector>

#include "pool.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

} // namespace

void choose_codewords(const Kernels& kernels, const Choice& c, std::int64_t count, int threads) {
    const double work =
        static_cast<double>(count) * c.width * (c.dims + 2.0 * c.beam * c.codebooks);
    parallel_for((count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
                 [&](std::int64_t task) {
                     const std::int64_t first = task * kRowsPerTask;
                     std::vector<std::int32_t> scratch(
                         static_cast<std::size_t>((kChoiceRows + c.beam) * c.width + c.dims));
                     kernels.choose(c, {first, std::min(first + kRowsPerTask, count)},
                                    scratch.data());
                 });
}

void multiply(const Kernels& kernels, const Products& p, std::int64_t count, int threads) {
    const double work = static_cast<double>(count) * p.width * p.dims;
    parallel_for((count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
                 [&](std::int64_t task) {
                     const std::int64_t first = task * kRowsPerTask;
                     kernels.multiply(p, {first, std::min(first + kRowsPerTask, count)});
                 });
}

} // namespace qama
