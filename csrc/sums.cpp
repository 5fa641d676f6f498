#include "sums.h"

#include "pool.h"
#include "scan.h"
#include "search.h"

namespace qama {

void word_sums(const Chosen& c, int threads, std::int64_t* sums_out) {
    const int each = c.section_words == kManyWords ? 1 : 2; // sections in a byte
    const double work = static_cast<double>(c.count) * c.bytes * each * c.dims;
    parallel_for(std::int64_t{c.bytes} * each, thread_count(threads, work), [&](std::int64_t s) {
        std::int64_t* sums = sums_out + s * c.section_words * c.dims;
        const std::uint8_t* code = c.codes + s / each;
        const int shift = each == 2 && s % 2 == 0 ? 4 : 0, mask = c.section_words - 1;
        for (std::int64_t i = 0; i < c.count; ++i, code += c.bytes) {
            const std::int16_t* row = c.rows + i * c.dims;
            std::int64_t* sum = sums + std::int64_t{*code >> shift & mask} * c.dims;
            for (int k = 0; k < c.dims; ++k) sum[k] += row[k];
        }
    });
}

} // namespace qama
