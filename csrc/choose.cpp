#include "choose.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "pool.h"
#include "search.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 16;

// `rows` rows of `stride` integers, all zero, each row at the start of a cache line.
class Padded {
  public:
    Padded(std::int64_t rows, std::int64_t stride)
        : stored_(static_cast<std::size_t>(rows * stride + kChoiceLanes)), data_(stored_.data()) {
        std::size_t space = stored_.size() * sizeof(std::int32_t);
        void* start = stored_.data();
        data_ = static_cast<std::int32_t*>(
            std::align(64, sizeof(std::int32_t), start, space));
    }
    Padded(const Padded&) = delete;
    Padded& operator=(const Padded&) = delete;
    std::int32_t* data() { return data_; }

  private:
    std::vector<std::int32_t> stored_;
    std::int32_t* data_;
};

} // namespace

void choose_bits(const Kernels& kernels, const ChoiceQueries& q, int threads,
                 std::uint8_t* codes_out) {
    const std::int64_t m = q.bits, stride = (m + kChoiceLanes - 1) / kChoiceLanes * kChoiceLanes;
    Padded twice(m + 1, stride), sums(1, stride);
    for (std::int64_t j = 0; j < m; ++j)
        for (std::int64_t k = 0; k < m; ++k) {
            if (j == k) continue;
            twice.data()[j * stride + k] = 2 * q.gram[j * m + k];
            sums.data()[k] += q.gram[j * m + k];
        }
    const Choice choice{q.linear, twice.data(), sums.data(), q.bits, static_cast<int>(stride),
                        q.steps,  q.tenure,     codes_out};
    const double work = 16.0 * static_cast<double>(stride) * (q.steps + m / 2.0) *
                        static_cast<double>(q.count); // four arrays pass by in every step
    parallel_for((q.count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
                 [&](std::int64_t task) {
                     const std::int64_t first = task * kRowsPerTask;
                     Padded scratch(3 * kChoiceRows, stride);
                     kernels.choose(choice, {first, std::min(first + kRowsPerTask, q.count)},
                                    scratch.data());
                 });
}

} // namespace qama
