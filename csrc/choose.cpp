#include "choose.h"

#include <algorithm>
#include <memory>

#include "pool.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

} // namespace

void choose_codewords(const Kernels& kernels, const Choice& c, std::int64_t count, int threads) {
    const double work =
        static_cast<double>(count) * c.width * (c.dims + 2.0 * c.beam * c.codebooks);
    parallel_for(
        (count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
        [&](std::int64_t task) {
            const std::int64_t first = task * kRowsPerTask;
            const std::int64_t size = std::int64_t{kChoiceRows + c.beam} * c.width + c.dims;
            // Not a vector, which would fill it.
            const std::unique_ptr<std::int32_t[]> scratch(new std::int32_t[size]);
            kernels.choose(c, {first, std::min(first + kRowsPerTask, count)}, scratch.get());
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
