#include "sums.h"

#include <vector>

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

void count_pairs(const std::uint8_t* codes, std::int64_t count, CodebookLayout layout, int times,
                 int threads, std::int32_t* counts) {
    const int books = codebook_count(layout);
    const std::int64_t width = codeword_count(layout);
    const double work = static_cast<double>(count) * books * books;
    std::vector<Codebook> all;
    for (int number = 0; number < books; ++number) all.push_back(codebook_at(layout, number));
    parallel_for(books, thread_count(threads, work), [&](std::int64_t number) {
        const Codebook& own = all[static_cast<std::size_t>(number)];
        const std::uint8_t* code = codes;
        for (std::int64_t i = 0; i < count; ++i, code += layout.bytes) {
            std::int32_t* with = counts + (own.first + chosen(own, code)) * width;
            for (const Codebook& other : all) with[other.first + chosen(other, code)] += times;
        }
    });
}

} // namespace qama
