#include "sums.h"

#include "pool.h"

namespace qama {

void codeword_sums(const Chosen& c, int threads, std::int64_t* sums_out) {
    const int books = codebook_count(c.layout);
    const double work = static_cast<double>(c.count) * books * c.dims;
    parallel_for(books, thread_count(threads, work), [&](std::int64_t number) {
        const Codebook book = codebook_at(c.layout, static_cast<int>(number));
        std::int64_t* sums = sums_out + book.first * c.dims;
        const std::uint8_t* code = c.codes;
        for (std::int64_t i = 0; i < c.count; ++i, code += c.layout.bytes) {
            const std::int16_t* row = c.rows + i * c.dims;
            std::int64_t* sum = sums + std::int64_t{chosen(book, code)} * c.dims;
            for (int k = 0; k < c.dims; ++k) sum[k] += row[k];
        }
    });
}

} // namespace qama
