#include "tables.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "pool.h"
#include "scan_kernel.h"
#include "search.h"

namespace qama {
namespace {

float factor_of(const Factors& factors, std::int64_t row) {
    if (!factors.values) return 1.0f;
    return factors.values[factors.indices ? factors.indices[row] : row];
}

float exact_score(const std::uint8_t* row, int columns, const std::int16_t* tables,
                  std::int32_t offset, float factor) {
    std::int32_t sum = offset;
    for (int c = 0; c < columns; ++c, row += kRows, tables += 32)
        sum += tables[*row >> 4] + tables[16 + (*row & 15)];
    return static_cast<float>(sum) * factor;
}

std::int32_t ceil_div(std::int32_t a, std::int32_t b) { return (a + b - 1) / b; }

struct Span {
    std::int32_t least, reach; // of the 16 entries: minimum, maximum - minimum
};

std::vector<Span> spans_of(const std::int16_t* tables, int columns) {
    std::vector<Span> spans(static_cast<std::size_t>(2 * columns));
    for (Span& span : spans) {
        const auto [least, most] = std::minmax_element(tables, tables + 16);
        span = {*least, *most - *least};
        tables += 16;
    }
    return spans;
}

// The least scale for which the entries ceil(reach / scale) of every group of kTableGroup columns
// add up to at most 255, and all of them to at most 65535: no sum of the scan can overflow. Each
// of t tables adds at most reach / scale + 1, so scale >= sum of reaches / (limit - t) will do.
std::int32_t scale_of(const std::vector<Span>& spans) {
    const auto enough = [](std::int64_t reach, std::int64_t limit, std::int64_t tables) {
        return static_cast<std::int32_t>((reach + limit - tables - 1) / (limit - tables));
    };
    std::int64_t total = 0;
    std::int32_t scale = 1;
    constexpr std::size_t group = 2 * kTableGroup;
    for (std::size_t i = 0; i < spans.size(); i += group) {
        std::int64_t reach = 0;
        for (std::size_t j = i; j < std::min(i + group, spans.size()); ++j) reach += spans[j].reach;
        scale = std::max(scale, enough(reach, 255, group));
        total += reach;
    }
    return std::max(scale, enough(total, 65535, static_cast<std::int64_t>(spans.size())));
}

// Entries u with entry <= least + scale * u, so that S <= base + scale * sum of u.
class Filter {
  public:
    Filter(const TableQueries& q, int tile)
        : entries(static_cast<std::size_t>((q.count + tile - 1) / tile * tile * q.columns * 32)),
          bounds(static_cast<std::size_t>((q.count + tile - 1) / tile * tile), Bound{1.0f, 0.0f}),
          tile_(tile) {}

    void fill(const TableQueries& q, std::int64_t query) {
        const std::int16_t* from = q.tables + query * q.columns * 32;
        const std::vector<Span> spans = spans_of(from, q.columns);
        const std::int32_t scale = scale_of(spans);
        const std::int64_t first = query / tile_ * tile_, lane = query - first;
        const int lanes = tile_width(q.count - first, tile_);
        std::int64_t base = q.offsets[query];
        for (int c = 0; c < q.columns; ++c) {
            std::uint8_t* to = &entries[static_cast<std::size_t>(
                32 * (first * q.columns + c * lanes + lane))];
            for (int half = 0; half < 2; ++half, from += 16, to += 16) {
                const Span& span = spans[static_cast<std::size_t>(2 * c + half)];
                base += span.least;
                for (int i = 0; i < 16; ++i)
                    to[i] = static_cast<std::uint8_t>(ceil_div(from[i] - span.least, scale));
            }
        }
        bounds[static_cast<std::size_t>(query)] = {static_cast<float>(scale), not_below(base)};
    }

    std::vector<std::uint8_t> entries;
    std::vector<Bound> bounds;

  private:
    static float not_below(std::int64_t value) {
        const float rounded = static_cast<float>(value);
        const bool below = static_cast<double>(rounded) < static_cast<double>(value);
        return below ? std::nextafter(rounded, std::numeric_limits<float>::infinity()) : rounded;
    }

    int tile_;
};

} // namespace

void offer_scores(Sink& sink, std::uint64_t rows, const TableScan& scan, std::int64_t query,
                  std::int64_t block) {
    const std::uint8_t* column = scan.blocks + block * scan.stride;
    const std::int16_t* tables = scan.tables + query * scan.columns * 32;
    for (int i = 0; rows != 0; ++i, rows >>= 1) {
        if (!(rows & 1)) continue;
        const std::int64_t row = block * kRows + i;
        const float score = exact_score(column + i, scan.columns, tables, scan.offsets[query],
                                        factor_of(scan.factors, row));
        if (score <= sink.floor) continue;
        if (sink.top->push({score_key(score), row})) sink.floor = key_score(sink.top->bar());
    }
}

void table_topk(const Kernels& kernels, const Blocks& blocks, const Rows& rows,
                const TableQueries& q, const Factors& factors, std::int64_t k, int threads,
                std::int64_t* rows_out, float* scores_out) {
    const double per_query = 32.0 * q.columns;
    const double work = static_cast<double>(blocks.count) * kRows * q.columns *
                        static_cast<double>(q.count);
    Filter filter(q, kernels.table_tile);
    parallel_for(q.count, thread_count(threads, per_query * static_cast<double>(q.count)),
                 [&](std::int64_t query) { filter.fill(q, query); });
    const TableScan scan{blocks.data,           blocks.stride,        rows,    q.columns,
                         filter.entries.data(), filter.bounds.data(), factors, q.tables,
                         q.offsets};
    search({blocks.count, q.count, k, kernels.table_tile, threads, work},
           [&](Range some, Range tiles, Sink* sinks) {
               kernels.tables(scan, some, tiles, q.count, sinks, nullptr);
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
        const std::int16_t* tables = q.tables + i * q.columns * 32;
        for (std::int64_t j = i * each; j < (i + 1) * each; ++j) {
            const std::int64_t row = rows[j];
            scores_out[j] = exact_score(
                blocks.data + row / kRows * blocks.stride + row % kRows, q.columns, tables,
                q.offsets[i], factor_of(factors, row));
        }
    });
}

} // namespace qama
