#include "norms.h"

#include <algorithm>
#include <vector>

#include "pool.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 256;

} // namespace

void squared_norms(const Kernels& kernels, const Decoding& d, const std::uint8_t* codes,
                   std::int64_t count, int threads, std::int64_t* norms_out) {
    std::vector<Codebook> books;
    for (int b = 0; b < codebook_count(d.layout); ++b) books.push_back(codebook_at(d.layout, b));
    const double work = 2.0 * static_cast<double>(count) * d.layout.bytes * d.dims;
    parallel_for((count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
                 [&](std::int64_t task) {
                     const std::int64_t first = task * kRowsPerTask;
                     const std::int64_t last = std::min(first + kRowsPerTask, count);
                     std::vector<std::int64_t> places;
                     for (std::int64_t i = first; i < last; ++i)
                         for (const Codebook& book : books)
                             places.push_back(book.first +
                                              chosen(book, codes + i * d.layout.bytes));
                     std::vector<std::int32_t> sums(static_cast<std::size_t>(d.dims));
                     kernels.norms({d.codewords, d.start, places.data(), d.dims,
                                    static_cast<int>(books.size())},
                                   last - first, sums.data(), norms_out + first);
                 });
}

} // namespace qama
