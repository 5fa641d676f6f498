#include "tables.h"

#include <vector>

#include "filter.h"
#include "pool.h"
#include "range_kernel.h"
#include "search.h"

namespace qama {
namespace {

constexpr std::int64_t kRowsAhead = 4; // how far ahead of the row that is scored to prefetch

float exact_score(const TableArgs& args, std::int64_t query, std::int64_t row, float norm) {
    const TableQueries& q = args.queries;
    const std::int16_t* table = q.tables + query * codeword_count(q.layout);
    std::int32_t sum = q.offsets[query];
    for (int r = 0; r < kRuns; ++r) {
        const Run run = run_of(args, r);
        if (run.columns() == 0) continue;
        const std::uint8_t* at = column_at(args.blocks, row / kRows, run.first) + row % kRows;
        const int step = byte_codewords(run.full);
        if (run.full)
            for (int c = run.first; c < run.last; ++c, at += kRows, table += step)
                sum += table[*at];
        else
            for (int c = run.first; c < run.last; ++c, at += kRows, table += step)
                sum += table[high_nibble(*at)] + table[kNibbleSize + low_nibble(*at)];
    }
    return static_cast<float>(sum) * norm;
}

} // namespace

bool offer_score(Sink& sink, std::uint16_t sum, const TableScan& scan, std::int64_t query,
                 std::int64_t row) {
    const float norm = inverse_norm(scan.norms, row);
    if (highest(scan.bounds[query], sum) * norm <= sink.floor) return false;
    const float score = exact_score(scan, query, row, norm);
    if (score <= sink.floor || !sink.top->push({score_key(score), row})) return false;
    sink.floor = key_score(sink.top->bar());
    return true;
}

void table_topk(const Kernels& kernels, const TableArgs& args, int threads, Best<float> best) {
    const TableQueries& q = args.queries;
    const double queries = static_cast<double>(q.count);
    const double work = static_cast<double>(args.rows.blocks) * kRows * q.layout.bytes * queries;
    const double to_fill = static_cast<double>(codeword_count(q.layout)) * queries;
    Filter filter(args, kernels, best.k);
    filter.fill(thread_count(threads, to_fill));
    const TableScan scan = filter.scan();
    search(
        {args.rows.blocks, q.count, best.k, filter.tile(), threads, work},
        [&](const Part& part) { kernels.tables(scan, part); },
        [&](std::int64_t query, const std::vector<Hit>& hits) {
            std::int64_t at = query * best.k;
            for (const Hit& hit : hits) {
                best.rows[at] = hit.row;
                best.values[at++] = key_score(hit.key);
            }
        });
}

void table_rows(const TableArgs& args, const ChosenRows& chosen, int threads, float* scores_out) {
    const TableQueries& q = args.queries;
    const double work = static_cast<double>(chosen.each) * static_cast<double>(q.count) * kRows *
                        q.layout.bytes; // a cache line per byte
    parallel_for(q.count, thread_count(threads, work), [&](std::int64_t query) {
        const std::int64_t last = (query + 1) * chosen.each;
        for (std::int64_t j = query * chosen.each; j < last; ++j) {
            if (j + kRowsAhead < last)
                fetch(args.blocks, chosen.rows[j + kRowsAhead] / kRows, q.layout.bytes);
            const std::int64_t row = chosen.rows[j];
            scores_out[j] = exact_score(args, query, row, inverse_norm(args.norms, row));
        }
    });
}

} // namespace qama
