#include "norms.h"

#include <algorithm>
#include <vector>

#include "pool.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsPerTask = 256;

void add_codeword(const std::int16_t* codeword, int dims, std::int32_t* sums) {
    for (int k = 0; k < dims; ++k) sums[k] += codeword[k];
}

std::int64_t squared_norm(const Decoding& d, const std::vector<Codebook>& books,
                          const std::uint8_t* code, std::int32_t* sums) {
    const int dims = d.dims;
    for (int k = 0; k < dims; ++k) sums[k] = d.start[k];
    for (const Codebook book : books) {
        add_codeword(d.codewords + (book.first + chosen(book, code)) * dims, dims, sums);
    }
    std::int64_t norm = 0;
    for (int k = 0; k < dims; ++k) norm += std::int64_t{sums[k]} * sums[k];
    return norm;
}

} // namespace

void squared_norms(const Decoding& d, const std::uint8_t* codes, std::int64_t count, int threads,
                   std::int64_t* norms_out) {
    std::vector<Codebook> books;
    for (int b = 0; b < codebook_count(d.layout); ++b) books.push_back(codebook_at(d.layout, b));
    const double work = 2.0 * static_cast<double>(count) * d.layout.bytes * d.dims;
    parallel_for((count + kRowsPerTask - 1) / kRowsPerTask, thread_count(threads, work),
                 [&](std::int64_t task) {
                     std::vector<std::int32_t> sums(static_cast<std::size_t>(d.dims));
                     const std::int64_t first = task * kRowsPerTask;
                     const std::int64_t last = std::min(first + kRowsPerTask, count);
                     for (std::int64_t i = first; i < last; ++i)
                         norms_out[i] =
                             squared_norm(d, books, codes + i * d.layout.bytes, sums.data());
                 });
}

} // namespace qama
