#include "choose.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "pool.h"
#include "search.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 64;

// `rows` rows of `width` integers, all zero, each row at the start of a cache line.
class Padded {
  public:
    Padded(std::int64_t rows, std::int64_t width)
        : stored_(static_cast<std::size_t>(rows * width + 16)), data_(stored_.data()) {
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

void choose_words(const Kernels& kernels, const ChoiceQueries& q, int threads,
                  std::uint8_t* codes_out, std::int16_t* rest_out) {
    const int width = kWords * q.sections;
    Padded pairs(q.dims / 2, width), twice(width, width), squares(1, width);
    std::copy(q.twice, q.twice + std::int64_t{width} * width, twice.data());
    std::copy(q.squares, q.squares + width, squares.data());
    for (std::int64_t j = 0; j < width; ++j)
        for (std::int64_t k = 0; k < q.dims / 2; ++k)
            std::memcpy(pairs.data() + k * width + j, q.words + j * q.dims + 2 * k,
                        sizeof(std::int32_t));
    const Choice choice{q.rows, q.words,    pairs.data(), twice.data(), squares.data(),
                        q.dims, q.sections, width,        q.beam,       q.sweeps,
                        q.shift, q.limit,    codes_out,    rest_out};
    const double work = static_cast<double>(q.count) * width * (q.dims + 2.0 * q.beam * q.sections);
    parallel_for((q.count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
                 [&](std::int64_t task) {
                     const std::int64_t first = task * kRowsPerTask;
                     Padded scratch(1, std::int64_t{kChoiceRows + 2 * kBeam} * width + q.dims);
                     kernels.choose(choice, {first, std::min(first + kRowsPerTask, q.count)},
                                    scratch.data());
                 });
}

} // namespace qama
