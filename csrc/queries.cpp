#include "queries.h"

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "pool.h"

namespace qama {
namespace {

constexpr std::int64_t kQueriesPerTask = 16; // whose products stay in a cache
constexpr int kQueryLimit = 127;

template <class Task>
void in_parts(std::int64_t count, double work, int threads, const Task& task) {
    parallel_for((count + kQueriesPerTask - 1) / kQueriesPerTask, thread_count(threads, work),
                 [&](std::int64_t part) {
                     const std::int64_t first = part * kQueriesPerTask;
                     task(Range{first, std::min(first + kQueriesPerTask, count)});
                 });
}

std::int64_t product(const std::int16_t* a, const std::int16_t* b, int dims) {
    std::int64_t sum = 0;
    for (int k = 0; k < dims; ++k) sum += std::int32_t{a[k]} * b[k];
    return sum;
}

// Makes the terms, offsets and exponents of some queries in arrays of its own, then rounds them.
void weigh(const Kernels& kernels, const NibbleQueries& q, const RoundedTables& out, Range some) {
    const std::int64_t count = some.last - some.first, wide = 8 * q.codewords.octets;
    const std::int64_t width = std::int64_t{q.codewords.panels} * kNibblePanel;
    const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
    std::vector<std::int8_t> rows(size(count * wide));
    std::vector<std::int32_t> terms(size(count * width)), exponents(size(count));
    std::vector<std::int64_t> offsets(size(count));
    for (std::int64_t i = 0; i < count; ++i) {
        const std::int16_t* query = q.queries + (some.first + i) * q.dims;
        exponents[size(i)] = round_query(query, q.dims, rows.data() + i * wide);
        offsets[size(i)] = product(query, q.mean, q.dims);
    }
    NibbleProducts products = q.codewords;
    products.rows = rows.data(), products.products = terms.data();
    kernels.multiply_nibbles(products, {0, count});
    const std::int64_t first = some.first;
    kernels.round({terms.data(), width, offsets.data(), exponents.data(), out.layout,
                   out.tables + first * codeword_count(out.layout), out.offsets_out + first,
                   out.powers + first},
                  {0, count});
}

} // namespace

int round_query(const std::int16_t* query, int dims, std::int8_t* to) {
    int largest = 0;
    for (int k = 0; k < dims; ++k) largest = std::max(largest, std::abs(int{query[k]}));
    int exponent = 0;
    while (largest > kQueryLimit << exponent) ++exponent;
    const int half = exponent > 0 ? (1 << (exponent - 1)) - 1 : 0, odd = exponent > 0 ? 1 : 0;
    for (int k = 0; k < dims; ++k) {
        const int value = query[k];
        to[k] = static_cast<std::int8_t>((value + half + (value >> exponent & odd)) >> exponent);
    }
    return exponent;
}

void nibble_tables(const Kernels& kernels, const NibbleQueries& q, const RoundedTables& out,
                   std::int64_t count, int threads) {
    const double work = static_cast<double>(count) * q.codewords.panels * kNibblePanel * q.dims;
    in_parts(count, work / 8, threads, [&](Range some) { weigh(kernels, q, out, some); });
}

void round_tables(const Kernels& kernels, const RoundedTables& t, std::int64_t count, int threads) {
    const double work = static_cast<double>(count) * static_cast<double>(term_count(t.layout));
    in_parts(count, work, threads, [&](Range queries) { kernels.round(t, queries); });
}

} // namespace qama
