// The Python interface: reads arrays, fills arrays. The caller, qama.kernels, has checked shapes
// and values; whatever could lead to reading out of bounds is checked here once more.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <nanobind/stl/optional.h>

#include "blocks.h"
#include "choose.h"
#include "dispatch.h"
#include "guard.h"
#include "hamming.h"
#include "lists.h"
#include "norms.h"
#include "pool.h"
#include "queries.h"
#include "search.h"
#include "sums.h"
#include "tables.h"
#include "vectors.h"

namespace nb = nanobind;
using namespace qama;

namespace {

constexpr int kMostColumns = 16384; // of codes that tables are for

template <class T, int N> using Array = nb::ndarray<T, nb::ndim<N>, nb::c_contig, nb::device::cpu>;
template <class T> using Optional = std::optional<Array<const T, 1>>;
using OptionalBlocks = std::optional<Array<const std::uint8_t, 3>>;

void require(bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
}

template <class A> std::int64_t size(const A& array, std::size_t axis) {
    return static_cast<std::int64_t>(array.shape(axis));
}

template <class T> Blocks blocks_of(const Array<T, 3>& blocks) {
    require(size(blocks, 2) == kRows && size(blocks, 1) < (1 << 30), "blocks must end in 64 rows");
    return {blocks.data(), size(blocks, 0), static_cast<int>(size(blocks, 1)), nullptr, 0};
}

// The same, with further columns in an array of their own.
Blocks blocks_of(const Array<const std::uint8_t, 3>& leading, const OptionalBlocks& rest) {
    Blocks blocks = blocks_of(leading);
    if (!rest) return blocks;
    const Blocks others = blocks_of(*rest);
    require(others.count == blocks.count, "rest does not fit blocks");
    blocks.rest = others.data, blocks.rest_columns = others.columns;
    return blocks;
}

// The rows of some blocks alone.
Rows visiting(Rows rows, const std::int64_t* visited, std::int64_t count) {
    for (std::int64_t i = 0, last = -1; i < count; last = visited[i++])
        require(visited[i] > last && visited[i] < rows.blocks, "visited must ascend in blocks");
    rows.visited = visited, rows.blocks = count;
    return rows;
}

// The rows that queries scan: the same for all together, or for each its own.
struct Visits {
    std::vector<Rows> rows;
    bool together;
    std::vector<std::vector<std::int64_t>> found; // blocks that rows are of
};

// `ends` says where each query's blocks end among those that are visited.
Visits visits_of(const Rows& rows, const Optional<std::int64_t>& visited,
                 const Optional<std::int64_t>& ends, std::int64_t queries) {
    if (!visited) return {{rows}, true, {}};
    if (!ends) return {{visiting(rows, visited->data(), size(*visited, 0))}, true, {}};
    require(size(*ends, 0) == queries, "ends do not fit queries");
    Visits visits{{}, false, {}};
    std::int64_t begin = 0;
    for (std::int64_t query = 0; query < queries; ++query) {
        const std::int64_t end = ends->data()[query];
        require(end >= begin && end <= size(*visited, 0), "ends must ascend in visited");
        visits.rows.push_back(visiting(rows, visited->data() + begin, end - begin));
        begin = end;
    }
    return visits;
}

// qama.kernels.NibbleCodewords: arrays are held as long as this is.
class NibbleCodewords {
  public:
    NibbleCodewords(Array<const std::int16_t, 1> mean, Array<const std::uint8_t, 4> panels,
                    Array<const std::int16_t, 1> steps)
        : mean_(mean), panels_(panels), steps_(steps) {
        const std::int64_t dims = size(mean, 0), octets = size(panels, 1);
        require(size(panels, 2) == kNibblePanel && size(panels, 3) == 4 && dims < (1 << 20) &&
                    octets == (dims + 7) / 8 && size(panels, 0) < (1 << 20) &&
                    size(steps, 0) == kNibblePanel * size(panels, 0),
                "mean, panels and steps do not fit");
    }

    // The queries that are to be multiplied with the terms of a layout.
    NibbleQueries with(const Array<const std::int16_t, 2>& queries,
                       const CodebookLayout& layout) const {
        NibbleProducts codewords = all();
        const std::int64_t panels = (term_count(layout) + kNibblePanel - 1) / kNibblePanel;
        require(panels <= codewords.panels && size(queries, 1) == dims(),
                "queries, layout and codewords do not fit");
        codewords.panels = static_cast<int>(panels);
        return {queries.data(), mean_.data(), static_cast<int>(dims()), codewords};
    }

    std::int64_t dims() const { return size(mean_, 0); }
    const std::int16_t* mean() const { return mean_.data(); }

    NibbleProducts all() const {
        return {nullptr,
                panels_.data(),
                steps_.data(),
                static_cast<int>(size(panels_, 1)),
                static_cast<int>(size(panels_, 0)),
                nullptr};
    }

  private:
    Array<const std::int16_t, 1> mean_;
    Array<const std::uint8_t, 4> panels_;
    Array<const std::int16_t, 1> steps_;
};

// qama.kernels.CentroidUnits, in the same manner.
class CentroidUnits {
  public:
    CentroidUnits(Array<const std::int16_t, 2> units, const NibbleCodewords& rough,
                  Array<const float, 1> lengths, Array<const float, 1> left)
        : units_(units), rough_(rough), lengths_(lengths), left_(left) {
        require(count() > 0 && size(lengths, 0) == count() && size(left, 0) == count() &&
                    rough.dims() == size(units, 1) &&
                    std::int64_t{kNibblePanel} * rough.all().panels >= count(),
                "units, rough, lengths and left do not fit");
        for (std::int64_t i = 0; i < count(); ++i) {
            const float both = lengths.data()[i] + left.data()[i];
            require(lengths.data()[i] >= 0 && left.data()[i] >= 0 && std::isfinite(both),
                    "lengths or left do not fit");
            longest_ = std::max(longest_, both);
        }
    }

    std::int64_t count() const { return size(units_, 0); }
    Centroids all() const {
        return {units_.data(),
                rough_.mean(),
                rough_.all(),
                lengths_.data(),
                left_.data(),
                longest_,
                static_cast<int>(size(units_, 1)),
                count()};
    }

  private:
    Array<const std::int16_t, 2> units_;
    NibbleCodewords rough_;
    Array<const float, 1> lengths_, left_;
    float longest_ = 0;
};

// qama.kernels.InvertedLists, in the same manner.
class InvertedLists {
  public:
    InvertedLists(const CentroidUnits& centroids, Array<const std::int64_t, 1> blocks,
                  Array<const std::int64_t, 1> ends)
        : centroids_(centroids), blocks_(blocks), ends_(ends) {
        require(size(ends, 0) == centroids.count(), "centroids and ends do not fit");
        for (std::int64_t i = 0, last = 0; i < size(ends, 0); last = ends.data()[i++])
            require(ends.data()[i] >= last && ends.data()[i] <= size(blocks, 0),
                    "ends must ascend in blocks");
    }

    Lists holding(const std::int64_t* held) const {
        return {centroids_.all(), blocks_.data(), ends_.data(), held};
    }

  private:
    CentroidUnits centroids_;
    Array<const std::int64_t, 1> blocks_, ends_;
};

// qama.kernels.Probes, in the same manner.
class Probes {
  public:
    Probes(const InvertedLists& lists, Array<const std::int16_t, 2> queries,
           Array<const std::int64_t, 1> held, std::int64_t nprobe)
        : lists_(lists), queries_(queries), held_(held), nprobe_(nprobe) {
        const Centroids around = lists.holding(held.data()).centroids;
        require(size(queries, 1) == around.dims && size(held, 0) == around.count && nprobe > 0 &&
                    nprobe <= around.count,
                "lists, queries, held and nprobe do not fit");
    }

    std::int64_t queries() const { return size(queries_, 0); }

    // The blocks that each query visits, of lists that hold so many rows at least.
    std::vector<std::vector<std::int64_t>> found(const Kernels& kernels, std::int64_t least,
                                                 int threads) const {
        return visited_by_each(kernels, lists_.holding(held_.data()), queries_.data(), queries(),
                               nprobe_, least, threads);
    }

    // The rows of these.
    Visits visits(const Kernels& kernels, const Rows& rows, std::int64_t k, int threads) const {
        Visits visits{{}, false, found(kernels, k, threads)};
        for (const auto& own : visits.found) {
            visits.rows.push_back(
                visiting(rows, own.data(), static_cast<std::int64_t>(own.size())));
            require(allowed_count(visits.rows.back()) >= k, "held do not fit the rows of lists");
        }
        return visits;
    }

  private:
    InvertedLists lists_;
    Array<const std::int16_t, 2> queries_;
    Array<const std::int64_t, 1> held_;
    std::int64_t nprobe_;
};

// What a scan may return, and to which query.
struct Allowed {
    Optional<std::uint64_t> mask;
    Optional<std::int64_t> visited, ends;
    const Probes* probes;

    // Arrays are looked at by the caller's thread, which holds the interpreter's lock.
    Visits visits(const Kernels& kernels, const Rows& rows, std::int64_t queries, std::int64_t k,
                  int threads) const {
        if (!probes) return visits_of(rows, visited, ends, queries);
        require(probes->queries() == queries, "probes do not fit queries");
        return probes->visits(kernels, rows, k, threads);
    }
};

CodebookLayout layout_of(std::int64_t entries, int full) {
    const std::int64_t later = entries - byte_codewords(true) * std::int64_t{full};
    require(full >= 0 && later >= 0 && later % byte_codewords(false) == 0 && entries < (1 << 30),
            "full and tables do not fit");
    return {full + static_cast<int>(later / byte_codewords(false)), full};
}

// qama.kernels.StoredCodes: arrays are held as long as this is.
class StoredCodes {
  public:
    StoredCodes(Array<const std::uint8_t, 3> blocks, std::int64_t n, OptionalBlocks rest,
                nb::object inverse_norms, Optional<float> steps)
        : leading_(blocks), rest_(rest), steps_(steps), blocks_(blocks_of(leading_, rest_)), n_(n),
          norms_(read(inverse_norms)) {
        require(n >= 0 && (n + kRows - 1) / kRows == blocks_.count, "n does not fit blocks");
    }

    const Blocks& blocks() const { return blocks_; }
    const InverseNorms& norms() const { return norms_; }

    Rows rows(const Optional<std::uint64_t>& mask) const {
        require(!mask || size(*mask, 0) == blocks_.count, "mask does not fit blocks");
        return {n_, blocks_.count, mask ? mask->data() : nullptr, nullptr};
    }

  private:
    InverseNorms read(nb::object inverse_norms) {
        if (steps_) {
            require(nb::try_cast(inverse_norms, indices_, false) && indices_ &&
                        size(*steps_, 0) == 256 && size(*indices_, 0) == n_,
                    "inverse_norms or steps do not fit rows");
            const float* steps = steps_->data();
            return {steps, indices_->data(), std::is_sorted(steps, steps + 256)};
        }
        require(nb::try_cast(inverse_norms, values_, false) &&
                    (!values_ || size(*values_, 0) == n_),
                "inverse_norms do not fit rows");
        return {values_ ? values_->data() : nullptr, nullptr, false};
    }

    Array<const std::uint8_t, 3> leading_;
    OptionalBlocks rest_;
    Optional<float> steps_, values_;
    Optional<std::uint8_t> indices_;
    Blocks blocks_;
    std::int64_t n_;
    InverseNorms norms_;
};

HammingQueries hamming_queries(const Blocks& blocks, const Array<const std::uint8_t, 2>& queries,
                               int bits, int bit_pairs) {
    const std::int64_t columns = size(queries, 1);
    require(bits > 0 && columns == (std::int64_t{bits} + 7) / 8 && columns <= blocks.columns,
            "bits, queries and blocks do not fit");
    require(bit_pairs >= 0 && bit_pairs <= bits / 2, "bit_pairs do not fit bits");
    return {queries.data(), size(queries, 0), static_cast<int>(columns), bits, bit_pairs};
}

void require_stored(const CodebookLayout& layout, const Blocks& blocks) {
    require(layout.bytes > 0 && layout.bytes <= std::int64_t{blocks.columns} + blocks.rest_columns,
            "tables and blocks do not fit");
}

// Lookup tables that were made before.
struct Tables {
    Array<const std::int16_t, 2> tables;
    Array<const std::int32_t, 1> offsets;
    Array<const float, 1> scales;

    TableQueries of(const Blocks& blocks, int full) const {
        const CodebookLayout layout = layout_of(size(tables, 1), full);
        require_stored(layout, blocks);
        require(size(offsets, 0) == size(tables, 0) && size(scales, 0) == size(tables, 0),
                "offsets or scales do not fit tables");
        return {tables.data(), offsets.data(), size(tables, 0), layout};
    }
};

// The scores of query i, `each` of them, times its scale.
template <class ScaleOf>
void scale(float* scores, std::int64_t queries, std::int64_t each, ScaleOf scale_of) {
    for (std::int64_t i = 0; i < queries; ++i)
        for (std::int64_t j = 0; j < each; ++j) scores[i * each + j] *= scale_of(i);
}

ChosenRows chosen_rows(const Array<const std::int64_t, 2>& rows, std::int64_t queries,
                       std::int64_t count) {
    require(size(rows, 0) == queries, "rows and queries do not fit");
    for (std::size_t i = 0; i < rows.size(); ++i)
        require(rows.data()[i] >= 0 && rows.data()[i] < count, "rows must be rows of blocks");
    return {rows.data(), size(rows, 1)};
}

template <class Value>
Best<Value> best_of(const Array<std::int64_t, 2>& rows_out, const Array<Value, 2>& values_out,
                    std::int64_t queries) {
    require(size(rows_out, 0) == queries && size(values_out, 0) == queries &&
                size(rows_out, 1) == size(values_out, 1) && size(rows_out, 1) > 0,
            "outputs do not fit");
    return {size(rows_out, 1), rows_out.data(), values_out.data()};
}

HammingQueries one_of(const HammingQueries& all, std::int64_t query) {
    return {all.codes + query * all.columns, 1, all.columns, all.bits, all.bit_pairs};
}

TableQueries one_of(const TableQueries& all, std::int64_t query) {
    return {all.tables + query * codeword_count(all.layout), all.offsets + query, 1, all.layout};
}

// Calls topk(args, threads, best) for all queries together, or for each with rows of its own.
template <class Args, class Value, class TopkOf>
void search_all(Args args, const Visits& visits, int threads, Best<Value> best, TopkOf topk) {
    const std::vector<Rows>& rows = visits.rows;
    if (visits.together) {
        args.rows = rows[0];
        return topk(args, threads, best);
    }
    const auto queries = args.queries;
    double visited = 0;
    for (const Rows& own : rows) visited += static_cast<double>(own.blocks);
    const double work = visited * kRows * (args.blocks.columns + args.blocks.rest_columns);
    parallel_for(queries.count, thread_count(threads, work), [&](std::int64_t query) {
        Args one = args;
        one.queries = one_of(queries, query), one.rows = rows[static_cast<std::size_t>(query)];
        topk(one, 1, {best.k, best.rows + query * best.k, best.values + query * best.k});
    });
}

template <class Value>
void require_each(const Array<Value, 2>& values_out, const Array<const std::int64_t, 2>& rows) {
    require(size(values_out, 0) == size(rows, 0) && size(values_out, 1) == size(rows, 1),
            "outputs do not fit");
}

std::vector<std::string> paths() {
    std::vector<std::string> names;
    for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
    return names;
}

// Rows of bytes that may be parts of longer rows.
using Codes = nb::ndarray<const std::uint8_t, nb::ndim<2>, nb::device::cpu>;

void py_to_blocks(Codes codes, Array<std::uint8_t, 3> blocks) {
    const std::int64_t rows = size(codes, 0), columns = size(codes, 1), step = codes.stride(0);
    require(rows == 0 || ((columns < 2 || codes.stride(1) == 1) && (rows < 2 || step >= columns)),
            "codes must be rows of bytes");
    require(blocks_of(blocks).columns == columns && size(blocks, 0) == (rows + kRows - 1) / kRows,
            "blocks do not fit codes");
    nb::gil_scoped_release release;
    to_blocks(codes.data(), rows, columns, step, blocks.data());
}

void py_from_blocks(Array<const std::uint8_t, 3> blocks, Array<std::uint8_t, 2> codes) {
    const std::int64_t rows = size(codes, 0), columns = size(codes, 1);
    require(blocks_of(blocks).columns == columns && rows <= size(blocks, 0) * kRows,
            "codes do not fit blocks");
    nb::gil_scoped_release release;
    from_blocks(blocks.data(), rows, columns, codes.data());
}

// How many rows may be returned to the query that has the fewest.
std::int64_t py_allowed_count(const StoredCodes& stored, Optional<std::uint64_t> mask,
                              Optional<std::int64_t> visited, Optional<std::int64_t> ends,
                              std::int64_t queries) {
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    for (const Rows& rows : visits_of(stored.rows(mask), visited, ends, queries).rows)
        least = std::min(least, allowed_count(rows));
    return least;
}

// The blocks that queries visit, one query's behind the other's; fills where each query's end.
nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>
py_blocks_to_visit(const std::string& path, const Probes& probes, std::int64_t least, int threads,
                   Array<std::int64_t, 1> ends_out) {
    const Kernels& kernels = kernels_named(path);
    require(size(ends_out, 0) == probes.queries(), "ends do not fit queries");
    auto* visited = new std::vector<std::int64_t>;
    nb::capsule owner(visited, [](void* held_by) noexcept {
        delete static_cast<std::vector<std::int64_t>*>(held_by);
    });
    {
        nb::gil_scoped_release release;
        std::int64_t* end = ends_out.data();
        for (const auto& own : probes.found(kernels, least, threads)) {
            visited->insert(visited->end(), own.begin(), own.end());
            *end++ = static_cast<std::int64_t>(visited->size());
        }
    }
    return {visited->data(), {visited->size()}, owner};
}

void py_hamming_topk(const std::string& path, const StoredCodes& stored,
                     Optional<std::uint64_t> mask, Optional<std::int64_t> visited,
                     Optional<std::int64_t> ends, const Probes* probes,
                     Array<const std::uint8_t, 2> queries, int bits, int bit_pairs, int threads,
                     Array<std::int64_t, 2> rows_out, Array<std::int32_t, 2> distances_out) {
    const Kernels& kernels = kernels_named(path);
    require(3 * static_cast<std::int64_t>(bits) / 2 + 64 < 65535, "codes are too wide");
    const HammingArgs args{stored.blocks(), stored.rows(mask),
                           hamming_queries(stored.blocks(), queries, bits, bit_pairs)};
    const auto best = best_of(rows_out, distances_out, args.queries.count);
    const Allowed allowed{mask, visited, ends, probes};
    nb::gil_scoped_release release;
    search_all(args, allowed.visits(kernels, args.rows, args.queries.count, best.k, threads),
               threads, best, [&](const HammingArgs& some, int count, Best<std::int32_t> to) {
                   hamming_topk(kernels, some, count, to);
               });
}

void py_hamming_rows(const StoredCodes& stored, Array<const std::uint8_t, 2> queries, int bits,
                     int bit_pairs, Array<const std::int64_t, 2> rows, int threads,
                     Array<std::int32_t, 2> distances_out) {
    const HammingArgs args{stored.blocks(), stored.rows(std::nullopt),
                           hamming_queries(stored.blocks(), queries, bits, bit_pairs)};
    const ChosenRows chosen = chosen_rows(rows, args.queries.count, args.rows.count);
    require_each(distances_out, rows);
    nb::gil_scoped_release release;
    hamming_rows(args, chosen, threads, distances_out.data());
}

void all_tables(const Kernels& kernels, const TableArgs& args, const Visits& visits, int threads,
                Best<float> best) {
    search_all(args, visits, threads, best, [&](const TableArgs& some, int count, Best<float> to) {
        table_topk(kernels, some, count, to);
    });
}

void py_table_topk(const std::string& path, const StoredCodes& stored, Optional<std::uint64_t> mask,
                   Optional<std::int64_t> visited, Optional<std::int64_t> ends,
                   const Probes* probes, Array<const std::int16_t, 2> tables,
                   Array<const std::int32_t, 1> offsets, Array<const float, 1> scales, int full,
                   int threads, Array<std::int64_t, 2> rows_out, Array<float, 2> scores_out) {
    const Kernels& kernels = kernels_named(path);
    const Tables ready{tables, offsets, scales};
    const TableArgs args{stored.blocks(), stored.rows(mask), ready.of(stored.blocks(), full),
                         stored.norms()};
    require(args.queries.layout.bytes <= kMostColumns, "codes are too wide");
    const auto best = best_of(rows_out, scores_out, args.queries.count);
    const Allowed allowed{mask, visited, ends, probes};
    nb::gil_scoped_release release;
    all_tables(kernels, args,
               allowed.visits(kernels, args.rows, args.queries.count, best.k, threads), threads,
               best);
    scale(best.values, args.queries.count, best.k,
          [&](std::int64_t i) { return scales.data()[i]; });
}

// The same, of queries whose tables are made here.
void py_nibble_topk(const std::string& path, const StoredCodes& stored,
                    Optional<std::uint64_t> mask, Optional<std::int64_t> visited,
                    Optional<std::int64_t> ends, const Probes* probes,
                    Array<const std::int16_t, 2> queries, const NibbleCodewords& codewords,
                    int bytes, int full, int threads, Array<std::int64_t, 2> rows_out,
                    Array<float, 2> scores_out) {
    const Kernels& kernels = kernels_named(path);
    require(full >= 0 && full <= bytes && bytes <= kMostColumns, "full and bytes do not fit");
    const CodebookLayout layout{bytes, full};
    require_stored(layout, stored.blocks());
    const NibbleQueries asked = codewords.with(queries, layout);
    const std::int64_t count = size(queries, 0);
    const auto best = best_of(rows_out, scores_out, count);
    const Rows rows = stored.rows(mask);
    const Allowed allowed{mask, visited, ends, probes};
    nb::gil_scoped_release release;
    const Visits visits = allowed.visits(kernels, rows, count, best.k, threads);
    const auto room = static_cast<std::size_t>(count);
    std::vector<std::int16_t> tables(room * static_cast<std::size_t>(codeword_count(layout)));
    std::vector<std::int32_t> offsets(room), powers(room);
    nibble_tables(
        kernels, asked,
        {nullptr, 0, nullptr, nullptr, layout, tables.data(), offsets.data(), powers.data()}, count,
        threads);
    const TableQueries made{tables.data(), offsets.data(), count, layout};
    all_tables(kernels, {stored.blocks(), rows, made, stored.norms()}, visits, threads, best);
    scale(best.values, count, best.k,
          [&](std::int64_t i) { return scale_of(powers[static_cast<std::size_t>(i)]); });
}

void py_table_rows(const StoredCodes& stored, Array<const std::int16_t, 2> tables,
                   Array<const std::int32_t, 1> offsets, Array<const float, 1> scales, int full,
                   Array<const std::int64_t, 2> rows, int threads, Array<float, 2> scores_out) {
    const Tables ready{tables, offsets, scales};
    const TableArgs args{stored.blocks(), stored.rows(std::nullopt),
                         ready.of(stored.blocks(), full), stored.norms()};
    const ChosenRows chosen = chosen_rows(rows, args.queries.count, args.rows.count);
    require_each(scores_out, rows);
    nb::gil_scoped_release release;
    table_rows(args, chosen, threads, scores_out.data());
    scale(scores_out.data(), args.queries.count, chosen.each,
          [&](std::int64_t i) { return scales.data()[i]; });
}

void py_choose_codewords(const std::string& path, Array<const std::int16_t, 2> rows,
                         Array<const std::int16_t, 2> codewords,
                         Array<const std::int32_t, 3> panels, Array<const std::int16_t, 2> twice,
                         Array<const std::int32_t, 1> squares, int book_size, int beam, int sweeps,
                         int shift, std::int32_t limit, int threads,
                         Array<std::uint8_t, 2> codes_out, Array<std::int16_t, 2> residuals_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t count = size(rows, 0), dims = size(rows, 1), width = size(codewords, 0);
    require(book_size == kNibbleSize || book_size == kByteSize, "book_size do not fit");
    const std::int64_t codebooks = width / book_size;
    const std::int64_t bytes = book_size == kNibbleSize ? codebooks / 2 : codebooks;
    require(dims > 0 && dims % 2 == 0 && dims < (1 << 20), "dims do not fit");
    require(size(codewords, 1) == dims && width == book_size * codebooks && bytes > 0 &&
                width % kPanel == 0 && codebooks <= kMostCodebooks,
            "codewords and rows do not fit");
    require(size(panels, 0) == width / kPanel && size(panels, 1) == dims / 2 &&
                size(panels, 2) == kPanel && size(twice, 0) == width && size(twice, 1) == width &&
                size(squares, 0) == width,
            "products and codewords do not fit");
    require(beam > 0 && beam <= kBeam && sweeps >= 0, "beam or sweeps do not fit");
    require(shift >= 0 && shift < 32 && limit >= 0, "shift or limit do not fit");
    require(size(codes_out, 0) == count && size(codes_out, 1) == bytes &&
                size(residuals_out, 0) == count && size(residuals_out, 1) == dims,
            "outputs do not fit");
    nb::gil_scoped_release release;
    choose_codewords(kernels,
                     {rows.data(), codewords.data(), panels.data(), twice.data(), squares.data(),
                      static_cast<int>(dims), static_cast<int>(codebooks), book_size,
                      static_cast<int>(width), beam, sweeps, shift, limit, codes_out.data(),
                      residuals_out.data()},
                     count, threads);
}

bool py_whole_units(Array<const float, 2> rows, Array<std::int16_t, 2> units_out) {
    const std::int64_t count = size(rows, 0), dims = size(rows, 1);
    require(size(units_out, 0) == count && size(units_out, 1) == dims, "outputs do not fit");
    nb::gil_scoped_release release;
    return whole_units(rows.data(), count, dims, units_out.data());
}

void py_multiply(const std::string& path, Array<const std::int16_t, 2> rows,
                 Array<const std::int32_t, 3> panels, int threads,
                 Array<std::int32_t, 2> products_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t dims = size(rows, 1), width = size(panels, 0) * kPanel;
    require(dims < (1 << 20) && size(panels, 1) == dims / 2 && size(panels, 2) == kPanel &&
                dims % 2 == 0 && width < (1 << 24),
            "codewords and rows do not fit");
    require(size(products_out, 0) == size(rows, 0) && size(products_out, 1) == width,
            "outputs do not fit");
    nb::gil_scoped_release release;
    multiply(kernels,
             {rows.data(), panels.data(), static_cast<int>(dims), static_cast<int>(width),
              products_out.data()},
             size(rows, 0), threads);
}

void py_nibble_tables(const std::string& path, Array<const std::int16_t, 2> queries,
                      const NibbleCodewords& codewords, int full, int threads,
                      Array<std::int16_t, 2> tables_out, Array<std::int32_t, 1> offsets_out,
                      Array<std::int32_t, 1> powers_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t count = size(queries, 0);
    const CodebookLayout layout = layout_of(size(tables_out, 1), full);
    const NibbleQueries asked = codewords.with(queries, layout);
    require(size(tables_out, 0) == count && size(offsets_out, 0) == count &&
                size(powers_out, 0) == count,
            "outputs do not fit");
    nb::gil_scoped_release release;
    nibble_tables(kernels, asked,
                  {nullptr, 0, nullptr, nullptr, layout, tables_out.data(), offsets_out.data(),
                   powers_out.data()},
                  count, threads);
}

void py_round_tables(const std::string& path, Array<const std::int32_t, 2> terms,
                     Array<const std::int64_t, 1> offsets, int full, int threads,
                     Array<std::int16_t, 2> tables_out, Array<std::int32_t, 1> offsets_out,
                     Array<std::int32_t, 1> powers_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t count = size(terms, 0);
    const CodebookLayout layout = layout_of(size(tables_out, 1), full);
    require(size(terms, 1) >= term_count(layout), "terms and tables do not fit");
    require(size(offsets, 0) == count && size(tables_out, 0) == count &&
                size(offsets_out, 0) == count && size(powers_out, 0) == count,
            "queries and outputs do not fit");
    for (std::int64_t i = 0; i < count; ++i)
        require(std::abs(offsets.data()[i]) < (std::int64_t{1} << 50), "offsets are too large");
    nb::gil_scoped_release release;
    round_tables(kernels,
                 {terms.data(), size(terms, 1), offsets.data(), nullptr, layout, tables_out.data(),
                  offsets_out.data(), powers_out.data()},
                 count, threads);
}

void py_squared_norms(const std::string& path, Array<const std::uint8_t, 2> codes,
                      Array<const std::int16_t, 2> codewords, Array<const std::int16_t, 1> start,
                      int full, int threads, Array<std::int64_t, 1> norms_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t count = size(codes, 0), bytes = size(codes, 1), dims = size(codewords, 1);
    require(full >= 0 && full <= bytes && bytes <= 256, "full and codes do not fit");
    const CodebookLayout layout{static_cast<int>(bytes), full};
    require(dims < (1 << 14) && size(codewords, 0) == codeword_count(layout),
            "codewords do not fit");
    require(size(start, 0) == dims && size(norms_out, 0) == count, "start or outputs do not fit");
    nb::gil_scoped_release release;
    squared_norms(kernels, {codewords.data(), start.data(), layout, static_cast<int>(dims)},
                  codes.data(), count, threads, norms_out.data());
}

void py_codeword_sums(Array<const std::uint8_t, 2> codes, Array<const std::int16_t, 2> rows,
                      int full, int threads, Array<std::int64_t, 2> sums_out) {
    const std::int64_t bytes = size(codes, 1), dims = size(rows, 1);
    require(full >= 0 && full <= bytes && bytes < (1 << 20), "full and codes do not fit");
    const CodebookLayout layout{static_cast<int>(bytes), full};
    require(size(codes, 0) == size(rows, 0) && dims < (1 << 20) &&
                size(sums_out, 0) == codeword_count(layout) && size(sums_out, 1) == dims,
            "codes, rows and sums do not fit");
    nb::gil_scoped_release release;
    codeword_sums({codes.data(), rows.data(), size(rows, 0), layout, static_cast<int>(dims)},
                  threads, sums_out.data());
}

void py_count_pairs(Array<const std::uint8_t, 2> codes, Array<std::int32_t, 2> counts, int full,
                    int times, int threads) {
    const std::int64_t bytes = size(codes, 1);
    require(full >= 0 && full <= bytes && bytes < (1 << 20), "full and codes do not fit");
    const CodebookLayout layout{static_cast<int>(bytes), full};
    require(size(counts, 0) == codeword_count(layout) && size(counts, 1) == codeword_count(layout),
            "codes and counts do not fit");
    nb::gil_scoped_release release;
    count_pairs(codes.data(), size(codes, 0), layout, times, threads, counts.data());
}

} // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native search kernels of qama.kernels; use them through that package.";
    m.def("paths", &paths);
    m.def(
        "guard",
        [](std::uintptr_t begin, std::size_t bytes) {
            return guard(reinterpret_cast<const void*>(begin), bytes);
        },
        nb::arg("begin"), nb::arg("bytes"));
    m.def("unguard", &unguard, nb::arg("place"));
    m.def("faulted", &faulted, nb::arg("place"));
    m.def("to_blocks", &py_to_blocks, nb::arg("codes").noconvert(), nb::arg("out").noconvert());
    m.def("from_blocks", &py_from_blocks, nb::arg("blocks").noconvert(),
          nb::arg("out").noconvert());
    nb::class_<StoredCodes>(m, "StoredCodes")
        .def(nb::init<Array<const std::uint8_t, 3>, std::int64_t, OptionalBlocks, nb::object,
                      Optional<float>>(),
             nb::arg("blocks").noconvert(), nb::arg("n"), nb::arg("rest").noconvert().none(),
             nb::arg("inverse_norms").none(), nb::arg("steps").noconvert().none());
    nb::class_<NibbleCodewords>(m, "NibbleCodewords")
        .def(nb::init<Array<const std::int16_t, 1>, Array<const std::uint8_t, 4>,
                      Array<const std::int16_t, 1>>(),
             nb::arg("mean").noconvert(), nb::arg("panels").noconvert(),
             nb::arg("steps").noconvert());
    nb::class_<CentroidUnits>(m, "CentroidUnits")
        .def(nb::init<Array<const std::int16_t, 2>, const NibbleCodewords&, Array<const float, 1>,
                      Array<const float, 1>>(),
             nb::arg("units").noconvert(), nb::arg("rough"), nb::arg("lengths").noconvert(),
             nb::arg("left").noconvert());
    nb::class_<InvertedLists>(m, "InvertedLists")
        .def(nb::init<const CentroidUnits&, Array<const std::int64_t, 1>,
                      Array<const std::int64_t, 1>>(),
             nb::arg("centroids"), nb::arg("blocks").noconvert(), nb::arg("ends").noconvert());
    nb::class_<Probes>(m, "Probes")
        .def(nb::init<const InvertedLists&, Array<const std::int16_t, 2>,
                      Array<const std::int64_t, 1>, std::int64_t>(),
             nb::arg("lists"), nb::arg("queries").noconvert(), nb::arg("held").noconvert(),
             nb::arg("nprobe"));
    m.def("allowed_count", &py_allowed_count, nb::arg("stored"), nb::arg("mask").noconvert().none(),
          nb::arg("visited").noconvert().none(), nb::arg("ends").noconvert().none(),
          nb::arg("queries"));
    m.def("blocks_to_visit", &py_blocks_to_visit, nb::arg("path"), nb::arg("probes"),
          nb::arg("least"), nb::arg("threads"), nb::arg("ends_out").noconvert());
    m.def("hamming_topk", &py_hamming_topk, nb::arg("path"), nb::arg("stored"),
          nb::arg("mask").noconvert().none(), nb::arg("visited").noconvert().none(),
          nb::arg("ends").noconvert().none(), nb::arg("probes").none(),
          nb::arg("queries").noconvert(), nb::arg("bits"), nb::arg("bit_pairs"), nb::arg("threads"),
          nb::arg("rows_out").noconvert(), nb::arg("distances_out").noconvert());
    m.def("hamming_rows", &py_hamming_rows, nb::arg("stored"), nb::arg("queries").noconvert(),
          nb::arg("bits"), nb::arg("bit_pairs"), nb::arg("rows").noconvert(), nb::arg("threads"),
          nb::arg("distances_out").noconvert());
    m.def("table_topk", &py_table_topk, nb::arg("path"), nb::arg("stored"),
          nb::arg("mask").noconvert().none(), nb::arg("visited").noconvert().none(),
          nb::arg("ends").noconvert().none(), nb::arg("probes").none(),
          nb::arg("tables").noconvert(), nb::arg("offsets").noconvert(),
          nb::arg("scales").noconvert(), nb::arg("full"), nb::arg("threads"),
          nb::arg("rows_out").noconvert(), nb::arg("scores_out").noconvert());
    m.def("nibble_topk", &py_nibble_topk, nb::arg("path"), nb::arg("stored"),
          nb::arg("mask").noconvert().none(), nb::arg("visited").noconvert().none(),
          nb::arg("ends").noconvert().none(), nb::arg("probes").none(),
          nb::arg("queries").noconvert(), nb::arg("codewords"), nb::arg("bytes"), nb::arg("full"),
          nb::arg("threads"), nb::arg("rows_out").noconvert(), nb::arg("scores_out").noconvert());
    m.def("table_rows", &py_table_rows, nb::arg("stored"), nb::arg("tables").noconvert(),
          nb::arg("offsets").noconvert(), nb::arg("scales").noconvert(), nb::arg("full"),
          nb::arg("rows").noconvert(), nb::arg("threads"), nb::arg("scores_out").noconvert());
    m.def("choose_codewords", &py_choose_codewords, nb::arg("path"), nb::arg("rows").noconvert(),
          nb::arg("codewords").noconvert(), nb::arg("panels").noconvert(),
          nb::arg("twice").noconvert(), nb::arg("squares").noconvert(), nb::arg("size"),
          nb::arg("beam"), nb::arg("sweeps"), nb::arg("shift"), nb::arg("limit"),
          nb::arg("threads"), nb::arg("codes_out").noconvert(),
          nb::arg("residuals_out").noconvert());
    m.def("whole_units", &py_whole_units, nb::arg("rows").noconvert(),
          nb::arg("units_out").noconvert());
    m.def("multiply", &py_multiply, nb::arg("path"), nb::arg("rows").noconvert(),
          nb::arg("panels").noconvert(), nb::arg("threads"), nb::arg("products_out").noconvert());
    m.def("nibble_tables", &py_nibble_tables, nb::arg("path"), nb::arg("queries").noconvert(),
          nb::arg("codewords"), nb::arg("full"), nb::arg("threads"),
          nb::arg("tables_out").noconvert(), nb::arg("offsets_out").noconvert(),
          nb::arg("powers_out").noconvert());
    m.def("round_tables", &py_round_tables, nb::arg("path"), nb::arg("terms").noconvert(),
          nb::arg("offsets").noconvert(), nb::arg("full"), nb::arg("threads"),
          nb::arg("tables_out").noconvert(), nb::arg("offsets_out").noconvert(),
          nb::arg("powers_out").noconvert());
    m.def("codeword_sums", &py_codeword_sums, nb::arg("codes").noconvert(),
          nb::arg("rows").noconvert(), nb::arg("full"), nb::arg("threads"),
          nb::arg("sums_out").noconvert());
    m.def("count_pairs", &py_count_pairs, nb::arg("codes").noconvert(),
          nb::arg("counts").noconvert(), nb::arg("full"), nb::arg("times"), nb::arg("threads"));
    m.def("squared_norms", &py_squared_norms, nb::arg("path"), nb::arg("codes").noconvert(),
          nb::arg("codewords").noconvert(), nb::arg("start").noconvert(), nb::arg("full"),
          nb::arg("threads"), nb::arg("norms_out").noconvert());
}
