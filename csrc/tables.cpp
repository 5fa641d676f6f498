#include "tables.h"

#include <vector>

#include "filter.h"
#include "pool.h"
#include "range_kernel.h"
#include "search.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsAhead = 4; // whose columns are asked for

float exact_score(const Blocks& blocks, std::int64_t row, const TableQueries& q, std::int64_t query,
                  float factor) {
    const std::int16_t* tables = q.tables + query * q.size;
    std::int32_t sum = q.offsets[query];
    for (int r = 0; r < kRuns; ++r) {
        const Run run = run_of(q, r);
        if (run.columns() == 0) continue;
        const std::uint8_t* at = column_at(blocks, row / kRows, run.first) + row % kRows;
        if (run.full)
            for (int c = run.first; c < run.last; ++c, at += kRows, tables += 256)
                sum += tables[*at];
        else
            for (int c = run.first; c < run.last; ++c, at += kRows, tables += 32)
                sum += tables[*at >> 4] + tables[16 + (*at & 15)];
    }
    return static_cast<float>(sum) * factor;
}

} // namespace

bool offer_score(Sink& sink, std::uint16_t sum, const TableScan& scan, std::int64_t query,
                 std::int64_t row) {
    const float factor = factor_of(scan.factors, row);
    if (highest(scan.bounds[query], sum) * factor <= sink.floor) return false;
    const float score = exact_score(scan.blocks, row, scan.queries, query, factor);
    if (score <= sink.floor || !sink.top->push({score_key(score), row})) return false;
    sink.floor = key_score(sink.top->bar());
    return true;
}

void table_topk(const Kernels& kernels, const Blocks& blocks, const Rows& rows,
                const TableQueries& q, const Factors& factors, std::int64_t k, int threads,
                std::int64_t* rows_out, float* scores_out) {
    const double per_query = static_cast<double>(q.size);
    const double work =
        static_cast<double>(rows.blocks) * kRows * q.columns * static_cast<double>(q.count);
    Filter filter(q, kernels, k);
    parallel_for(q.count, thread_count(threads, per_query * static_cast<double>(q.count)),
                 [&](std::int64_t query) { filter.fill(query); });
    TableScan scan{blocks, rows, q, factors, {}, 0, nullptr, nullptr};
    filter.describe(scan);
    search(
        {rows.blocks, q.count, k, filter.tile(), threads, work},
        [&](Range some, Range tiles, Sink* sinks) {
            kernels.tables(scan, some, tiles, q.count, sinks);
        },
        [&](std::int64_t query, const std::vector<Hit>& hits) {
            for (std::size_t i = 0; i < hits.size(); ++i) {
                rows_out[query * k + static_cast<std::int64_t>(i)] = hits[i].row;
                scores_out[query * k + static_cast<std::int64_t>(i)] = key_score(hits[i].key);
            }
        });
}

void table_rows(const Blocks& blocks, const std::int64_t* rows, std::int64_t each,
                const TableQueries& q, const Factors& factors, int threads, float* scores_out) {
    const double work = static_cast<double>(each) * static_cast<double>(q.count) * kRows *
                        q.columns; // a cache line per byte
    parallel_for(q.count, thread_count(threads, work), [&](std::int64_t i) {
        const std::int64_t last = (i + 1) * each;
        for (std::int64_t j = i * each; j < last; ++j) {
            if (j + kRowsAhead < last) fetch(blocks, rows[j + kRowsAhead] / kRows, q.columns);
            const std::int64_t row = rows[j];
            scores_out[j] = exact_score(blocks, row, q, i, factor_of(factors, row));
        }
    });
}

} // namespace qama
