// The Python interface: reads arrays, fills arrays. The caller, qama.kernels, has checked shapes
// and values; whatever could lead to reading out of bounds is checked here once more.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cstdlib>
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
#include "norms.h"
#include "pool.h"
#include "queries.h"
#include "sums.h"
#include "tables.h"

namespace nb = nanobind;
using namespace qama;

namespace {

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

Rows rows_of(const Blocks& blocks, std::int64_t n, const Optional<std::uint64_t>& mask) {
    require(n >= 0 && (n + kRows - 1) / kRows == blocks.count, "n does not fit blocks");
    require(!mask || size(*mask, 0) == blocks.count, "mask does not fit blocks");
    return {n, blocks.count, mask ? mask->data() : nullptr, nullptr};
}

// The same, of some blocks alone.
Rows visiting(Rows rows, const std::int64_t* visited, std::int64_t count) {
    for (std::int64_t i = 0, last = -1; i < count; last = visited[i++])
        require(visited[i] > last && visited[i] < rows.blocks, "visited must ascend in blocks");
    rows.visited = visited, rows.blocks = count;
    return rows;
}

// The rows for all queries together, or, where `ends` says where each query's blocks end among
// those that are visited, for each.
std::vector<Rows> all_rows(const Rows& rows, const Optional<std::int64_t>& visited,
                           const Optional<std::int64_t>& ends, std::int64_t queries) {
    if (!visited) return {rows};
    if (!ends) return {visiting(rows, visited->data(), size(*visited, 0))};
    require(size(*ends, 0) == queries, "ends do not fit queries");
    std::vector<Rows> each;
    std::int64_t begin = 0;
    for (std::int64_t query = 0; query < queries; ++query) {
        const std::int64_t end = ends->data()[query];
        require(end >= begin && end <= size(*visited, 0), "ends must ascend in visited");
        each.push_back(visiting(rows, visited->data() + begin, end - begin));
        begin = end;
    }
    return each;
}

CodebookLayout layout_of(std::int64_t entries, int full) {
    const std::int64_t later = entries - byte_codewords(true) * std::int64_t{full};
    require(full >= 0 && later >= 0 && later % byte_codewords(false) == 0 && entries < (1 << 30),
            "full and tables do not fit");
    return {full + static_cast<int>(later / byte_codewords(false)), full};
}

// An attribute of a scan of qama.kernels.scans.
template <class T> T attribute(nb::handle scan, const char* name) {
    T value;
    if (!nb::try_cast(scan.attr(name), value, false)) throw std::invalid_argument(name);
    return value;
}

// What HammingScan and TableScan share; arrays are held while they are read.
struct Stored {
    Array<const std::uint8_t, 3> blocks;
    std::int64_t n;
    Optional<std::uint64_t> mask;
    Optional<std::int64_t> visited, ends;

    explicit Stored(nb::handle scan)
        : blocks(attribute<decltype(blocks)>(scan, "blocks")),
          n(attribute<std::int64_t>(scan, "n")), mask(attribute<decltype(mask)>(scan, "mask")),
          visited(attribute<decltype(visited)>(scan, "visited")),
          ends(attribute<decltype(ends)>(scan, "ends")) {}
};

class PyHammingScan {
  public:
    explicit PyHammingScan(nb::handle scan)
        : stored_(scan), queries_(attribute<decltype(queries_)>(scan, "queries")),
          bits_(attribute<int>(scan, "bits")), bit_pairs_(attribute<int>(scan, "bit_pairs")) {}

    const Stored& stored() const { return stored_; }

    HammingArgs args() const {
        const Blocks blocks = blocks_of(stored_.blocks);
        const std::int64_t columns = size(queries_, 1);
        require(bits_ > 0 && columns == (bits_ + 7) / 8 && columns <= blocks.columns,
                "bits, queries and blocks do not fit");
        require(bit_pairs_ >= 0 && 2 * bit_pairs_ <= bits_, "bit_pairs do not fit bits");
        return {blocks,
                rows_of(blocks, stored_.n, stored_.mask),
                {queries_.data(), size(queries_, 0), static_cast<int>(columns), bits_, bit_pairs_}};
    }

  private:
    Stored stored_;
    Array<const std::uint8_t, 2> queries_;
    int bits_, bit_pairs_;
};

class PyTableScan {
  public:
    explicit PyTableScan(nb::handle scan)
        : stored_(scan), rest_(attribute<OptionalBlocks>(scan, "rest")),
          tables_(attribute<decltype(tables_)>(scan, "tables")),
          offsets_(attribute<decltype(offsets_)>(scan, "offsets")),
          full_(attribute<int>(scan, "full")), steps_(attribute<Optional<float>>(scan, "steps")) {
        if (steps_) indices_ = attribute<Optional<std::uint8_t>>(scan, "inverse_norms");
        else norms_ = attribute<Optional<float>>(scan, "inverse_norms");
    }

    const Stored& stored() const { return stored_; }

    TableArgs args() const {
        const Blocks blocks = blocks_of(stored_.blocks, rest_);
        return {blocks, rows_of(blocks, stored_.n, stored_.mask), queries(blocks), norms()};
    }

  private:
    TableQueries queries(const Blocks& blocks) const {
        const CodebookLayout layout = layout_of(size(tables_, 1), full_);
        require(layout.bytes > 0 &&
                    layout.bytes <= std::int64_t{blocks.columns} + blocks.rest_columns,
                "tables and blocks do not fit");
        require(size(offsets_, 0) == size(tables_, 0), "offsets and tables do not fit");
        return {tables_.data(), offsets_.data(), size(tables_, 0), layout};
    }
    InverseNorms norms() const {
        if (steps_) {
            require(size(*steps_, 0) == 256 && indices_ && size(*indices_, 0) == stored_.n,
                    "inverse_norms or steps do not fit rows");
            const float* steps = steps_->data();
            return {steps, indices_->data(), std::is_sorted(steps, steps + 256)};
        }
        require(!norms_ || size(*norms_, 0) == stored_.n, "inverse_norms do not fit rows");
        return {norms_ ? norms_->data() : nullptr, nullptr, false};
    }

    Stored stored_;
    OptionalBlocks rest_;
    Array<const std::int16_t, 2> tables_;
    Array<const std::int32_t, 1> offsets_;
    int full_;
    Optional<float> steps_, norms_;
    Optional<std::uint8_t> indices_;
};

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
void search_all(Args args, const Stored& stored, int threads, Best<Value> best, TopkOf topk) {
    const auto queries = args.queries;
    const std::vector<Rows> rows = all_rows(args.rows, stored.visited, stored.ends, queries.count);
    nb::gil_scoped_release release;
    if (!stored.ends) {
        args.rows = rows[0];
        return topk(args, threads, best);
    }
    const double visited = static_cast<double>(size(*stored.visited, 0));
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

void py_hamming_topk(const std::string& path, nb::object scan, int threads,
                     Array<std::int64_t, 2> rows_out, Array<std::int32_t, 2> distances_out) {
    const Kernels& kernels = kernels_named(path);
    const PyHammingScan held(scan);
    const HammingArgs args = held.args();
    require(3 * static_cast<std::int64_t>(args.queries.bits) / 2 + 64 < 65535,
            "codes are too wide");
    const auto best = best_of(rows_out, distances_out, args.queries.count);
    search_all(args, held.stored(), threads, best,
               [&](const HammingArgs& some, int count, Best<std::int32_t> to) {
                   hamming_topk(kernels, some, count, to);
               });
}

void py_hamming_rows(nb::object scan, Array<const std::int64_t, 2> rows, int threads,
                     Array<std::int32_t, 2> distances_out) {
    const PyHammingScan held(scan);
    const HammingArgs args = held.args();
    const ChosenRows chosen = chosen_rows(rows, args.queries.count, args.rows.count);
    require_each(distances_out, rows);
    nb::gil_scoped_release release;
    hamming_rows(args, chosen, threads, distances_out.data());
}

void py_table_topk(const std::string& path, nb::object scan, int threads,
                   Array<std::int64_t, 2> rows_out, Array<float, 2> scores_out) {
    const Kernels& kernels = kernels_named(path);
    const PyTableScan held(scan);
    const TableArgs args = held.args();
    require(args.queries.layout.bytes <= 16384, "codes are too wide");
    const auto best = best_of(rows_out, scores_out, args.queries.count);
    search_all(args, held.stored(), threads, best,
               [&](const TableArgs& some, int count, Best<float> to) {
                   table_topk(kernels, some, count, to);
               });
}

void py_table_rows(nb::object scan, Array<const std::int64_t, 2> rows, int threads,
                   Array<float, 2> scores_out) {
    const PyTableScan held(scan);
    const TableArgs args = held.args();
    const ChosenRows chosen = chosen_rows(rows, args.queries.count, args.rows.count);
    require_each(scores_out, rows);
    nb::gil_scoped_release release;
    table_rows(args, chosen, threads, scores_out.data());
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
                      Array<const std::int16_t, 1> mean, Array<const std::uint8_t, 4> codewords,
                      Array<const std::int16_t, 1> steps, int full, int threads,
                      Array<std::int16_t, 2> tables_out, Array<std::int32_t, 1> offsets_out,
                      Array<std::int32_t, 1> powers_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t count = size(queries, 0), dims = size(queries, 1);
    const std::int64_t octets = size(codewords, 1);
    const CodebookLayout layout = layout_of(size(tables_out, 1), full);
    const std::int64_t panels = (term_count(layout) + kNibblePanel - 1) / kNibblePanel;
    require(size(codewords, 2) == kNibblePanel && size(codewords, 3) == 4 && dims < (1 << 20) &&
                octets == (dims + 7) / 8 && panels <= size(codewords, 0) &&
                size(steps, 0) == kNibblePanel * size(codewords, 0) && size(mean, 0) == dims,
            "codewords, mean and queries do not fit");
    require(size(tables_out, 0) == count && size(offsets_out, 0) == count &&
                size(powers_out, 0) == count,
            "outputs do not fit");
    nb::gil_scoped_release release;
    nibble_tables(kernels,
                  {queries.data(),
                   mean.data(),
                   static_cast<int>(dims),
                   {nullptr, codewords.data(), steps.data(), static_cast<int>(octets),
                    static_cast<int>(panels), nullptr}},
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

void py_squared_norms(Array<const std::uint8_t, 2> codes, Array<const std::int16_t, 2> codewords,
                      Array<const std::int16_t, 1> start, int full, int threads,
                      Array<std::int64_t, 1> norms_out) {
    const std::int64_t count = size(codes, 0), bytes = size(codes, 1), dims = size(codewords, 1);
    require(full >= 0 && full <= bytes && bytes <= 256, "full and codes do not fit");
    const CodebookLayout layout{static_cast<int>(bytes), full};
    require(dims < (1 << 14) && size(codewords, 0) == codeword_count(layout),
            "codewords do not fit");
    require(size(start, 0) == dims && size(norms_out, 0) == count, "start or outputs do not fit");
    nb::gil_scoped_release release;
    squared_norms({codewords.data(), start.data(), layout, static_cast<int>(dims)}, codes.data(),
                  count, threads, norms_out.data());
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
    m.def("hamming_topk", &py_hamming_topk, nb::arg("path"), nb::arg("scan"), nb::arg("threads"),
          nb::arg("rows_out").noconvert(), nb::arg("distances_out").noconvert());
    m.def("hamming_rows", &py_hamming_rows, nb::arg("scan"), nb::arg("rows").noconvert(),
          nb::arg("threads"), nb::arg("distances_out").noconvert());
    m.def("table_topk", &py_table_topk, nb::arg("path"), nb::arg("scan"), nb::arg("threads"),
          nb::arg("rows_out").noconvert(), nb::arg("scores_out").noconvert());
    m.def("table_rows", &py_table_rows, nb::arg("scan"), nb::arg("rows").noconvert(),
          nb::arg("threads"), nb::arg("scores_out").noconvert());
    m.def("choose_codewords", &py_choose_codewords, nb::arg("path"), nb::arg("rows").noconvert(),
          nb::arg("codewords").noconvert(), nb::arg("panels").noconvert(),
          nb::arg("twice").noconvert(), nb::arg("squares").noconvert(), nb::arg("size"),
          nb::arg("beam"), nb::arg("sweeps"), nb::arg("shift"), nb::arg("limit"),
          nb::arg("threads"), nb::arg("codes_out").noconvert(),
          nb::arg("residuals_out").noconvert());
    m.def("multiply", &py_multiply, nb::arg("path"), nb::arg("rows").noconvert(),
          nb::arg("panels").noconvert(), nb::arg("threads"), nb::arg("products_out").noconvert());
    m.def("nibble_tables", &py_nibble_tables, nb::arg("path"), nb::arg("queries").noconvert(),
          nb::arg("mean").noconvert(), nb::arg("codewords").noconvert(),
          nb::arg("steps").noconvert(), nb::arg("full"), nb::arg("threads"),
          nb::arg("tables_out").noconvert(), nb::arg("offsets_out").noconvert(),
          nb::arg("powers_out").noconvert());
    m.def("round_tables", &py_round_tables, nb::arg("path"), nb::arg("terms").noconvert(),
          nb::arg("offsets").noconvert(), nb::arg("full"), nb::arg("threads"),
          nb::arg("tables_out").noconvert(), nb::arg("offsets_out").noconvert(),
          nb::arg("powers_out").noconvert());
    m.def("codeword_sums", &py_codeword_sums, nb::arg("codes").noconvert(),
          nb::arg("rows").noconvert(), nb::arg("full"), nb::arg("threads"),
          nb::arg("sums_out").noconvert());
    m.def("squared_norms", &py_squared_norms, nb::arg("codes").noconvert(),
          nb::arg("codewords").noconvert(), nb::arg("start").noconvert(), nb::arg("full"),
          nb::arg("threads"), nb::arg("norms_out").noconvert());
}
