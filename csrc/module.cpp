// The Python face: arrays in, arrays filled. Shapes and values were checked by the caller, the
// package qama.kernels; what would read out of bounds is checked here once more.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <nanobind/stl/optional.h>

#include "blocks.h"
#include "choose.h"
#include "dispatch.h"
#include "hamming.h"
#include "norms.h"
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

// With further columns in an array of their own.
Blocks blocks_of(const Array<const std::uint8_t, 3>& leading, const OptionalBlocks& rest) {
    Blocks blocks = blocks_of(leading);
    if (!rest) return blocks;
    const Blocks others = blocks_of(*rest);
    require(others.count == blocks.count, "rest does not fit blocks");
    blocks.rest = others.data, blocks.rest_columns = others.columns;
    return blocks;
}

Rows rows_of(const Blocks& blocks, std::int64_t n, const Optional<std::uint64_t>& mask,
             const Optional<std::int64_t>& visited) {
    require(n >= 0 && (n + kRows - 1) / kRows == blocks.count, "n does not fit blocks");
    require(!mask || size(*mask, 0) == blocks.count, "mask does not fit blocks");
    const std::uint64_t* words = mask ? mask->data() : nullptr;
    if (!visited) return {n, blocks.count, words, nullptr};
    const std::int64_t* numbers = visited->data();
    for (std::int64_t i = 0, last = -1; i < size(*visited, 0); last = numbers[i++])
        require(numbers[i] > last && numbers[i] < blocks.count, "visited must ascend in blocks");
    return {n, size(*visited, 0), words, numbers};
}

HammingQueries queries_of(const Blocks& blocks, const Array<const std::uint8_t, 2>& queries,
                          int bits, int pairs) {
    const std::int64_t columns = size(queries, 1);
    require(bits > 0 && columns == (bits + 7) / 8 && columns <= blocks.columns,
            "bits, queries and blocks do not fit");
    require(pairs >= 0 && 2 * pairs <= bits, "pairs do not fit bits");
    return {queries.data(), size(queries, 0), static_cast<int>(columns), bits, pairs};
}

// The bytes of codes whose lookup tables have so many entries.
int columns_of(std::int64_t entries, int full) {
    const std::int64_t later = entries - byte_codewords(true) * std::int64_t{full};
    require(full >= 0 && later >= 0 && later % byte_codewords(false) == 0 && entries < (1 << 30),
            "full and tables do not fit");
    return full + static_cast<int>(later / byte_codewords(false));
}

TableQueries queries_of(const Blocks& blocks, const Array<const std::int16_t, 2>& tables,
                        const Array<const std::int32_t, 1>& offsets, int full) {
    const int columns = columns_of(size(tables, 1), full);
    require(columns > 0 && columns <= std::int64_t{blocks.columns} + blocks.rest_columns,
            "tables and blocks do not fit");
    require(size(offsets, 0) == size(tables, 0), "offsets and tables do not fit");
    return {
        tables.data(), offsets.data(), size(tables, 0), size(tables, 1), columns,
        full,          blocks.columns};
}

// Values per row, or one of 256 values for the index of each row.
Factors factors_of(const Optional<float>& values, const Optional<std::uint8_t>& indices,
                   std::int64_t rows) {
    require(!indices || (values && size(*values, 0) == 256), "indices need 256 values");
    const std::int64_t given = indices ? size(*indices, 0) : values ? size(*values, 0) : rows;
    require(given >= rows, "factors do not fit rows");
    if (!values) return {nullptr, nullptr, false};
    const float* data = values->data();
    return {data, indices ? indices->data() : nullptr, indices && std::is_sorted(data, data + 256)};
}

void require_rows(const Array<const std::int64_t, 2>& rows, std::int64_t queries,
                  std::int64_t count) {
    require(size(rows, 0) == queries, "rows and queries do not fit");
    for (std::size_t i = 0; i < rows.size(); ++i)
        require(rows.data()[i] >= 0 && rows.data()[i] < count, "rows must be rows of blocks");
}

template <class A, class B>
std::int64_t output_k(const A& rows_out, const B& values_out, std::int64_t queries) {
    require(size(rows_out, 0) == queries && size(values_out, 0) == queries &&
                size(rows_out, 1) == size(values_out, 1) && size(rows_out, 1) > 0,
            "outputs do not fit");
    return size(rows_out, 1);
}

std::vector<std::string> paths() {
    std::vector<std::string> names;
    for (const Kernels* kernels : available_kernels()) names.emplace_back(kernels->name);
    return names;
}

// The bytes of a row follow each other; its rows may be parts of longer ones.
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

void py_hamming_topk(const std::string& path, Array<const std::uint8_t, 3> blocks, std::int64_t n,
                     Array<const std::uint8_t, 2> queries, int bits, int pairs,
                     Optional<std::uint64_t> mask, Optional<std::int64_t> visited, int threads,
                     Array<std::int64_t, 2> rows_out, Array<std::int32_t, 2> distances_out) {
    const Kernels& kernels = kernels_named(path);
    const Blocks b = blocks_of(blocks);
    const Rows rows = rows_of(b, n, mask, visited);
    const HammingQueries q = queries_of(b, queries, bits, pairs);
    require(3 * static_cast<std::int64_t>(bits) / 2 + 64 < 65535, "codes are too wide");
    const std::int64_t k = output_k(rows_out, distances_out, q.count);
    nb::gil_scoped_release release;
    hamming_topk(kernels, b, rows, q, k, threads, rows_out.data(), distances_out.data());
}

void py_hamming_rows(Array<const std::uint8_t, 3> blocks, Array<const std::int64_t, 2> rows,
                     Array<const std::uint8_t, 2> queries, int bits, int pairs, int threads,
                     Array<std::int32_t, 2> distances_out) {
    const Blocks b = blocks_of(blocks);
    const HammingQueries q = queries_of(b, queries, bits, pairs);
    require_rows(rows, q.count, b.count * kRows);
    require(output_k(rows, distances_out, q.count) > 0, "outputs do not fit");
    nb::gil_scoped_release release;
    hamming_rows(b, rows.data(), size(rows, 1), q, threads, distances_out.data());
}

void py_table_topk(const std::string& path, Array<const std::uint8_t, 3> blocks,
                   OptionalBlocks rest, std::int64_t n, Array<const std::int16_t, 2> tables,
                   Array<const std::int32_t, 1> offsets, int full, Optional<float> values,
                   Optional<std::uint8_t> indices, Optional<std::uint64_t> mask,
                   Optional<std::int64_t> visited, int threads, Array<std::int64_t, 2> rows_out,
                   Array<float, 2> scores_out) {
    const Kernels& kernels = kernels_named(path);
    const Blocks b = blocks_of(blocks, rest);
    const Rows rows = rows_of(b, n, mask, visited);
    const TableQueries q = queries_of(b, tables, offsets, full);
    require(q.columns <= 16384, "codes are too wide");
    const Factors f = factors_of(values, indices, n);
    const std::int64_t k = output_k(rows_out, scores_out, q.count);
    nb::gil_scoped_release release;
    table_topk(kernels, b, rows, q, f, k, threads, rows_out.data(), scores_out.data());
}

void py_table_rows(Array<const std::uint8_t, 3> blocks, OptionalBlocks rest,
                   Array<const std::int64_t, 2> rows, Array<const std::int16_t, 2> tables,
                   Array<const std::int32_t, 1> offsets, int full, Optional<float> values,
                   Optional<std::uint8_t> indices, int threads, Array<float, 2> scores_out) {
    const Blocks b = blocks_of(blocks, rest);
    const TableQueries q = queries_of(b, tables, offsets, full);
    const Factors f = factors_of(values, indices, 0);
    std::int64_t count = b.count * kRows;
    if (indices) count = std::min(count, size(*indices, 0));
    else if (values) count = std::min(count, size(*values, 0));
    require_rows(rows, q.count, count);
    require(output_k(rows, scores_out, q.count) > 0, "outputs do not fit");
    nb::gil_scoped_release release;
    table_rows(b, rows.data(), size(rows, 1), q, f, threads, scores_out.data());
}

void py_choose_words(const std::string& path, Array<const std::int16_t, 2> rows,
                     Array<const std::int16_t, 2> words, Array<const std::int32_t, 3> pairs,
                     Array<const std::int16_t, 2> twice, Array<const std::int32_t, 1> squares,
                     int section_words, int beam, int sweeps, int shift, std::int32_t limit,
                     int threads, Array<std::uint8_t, 2> codes_out,
                     Array<std::int16_t, 2> rest_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t count = size(rows, 0), dims = size(rows, 1), width = size(words, 0);
    require(section_words == kNibbleSize || section_words == kByteSize, "section_words do not fit");
    const std::int64_t sections = width / section_words;
    const std::int64_t bytes = section_words == kNibbleSize ? sections / 2 : sections;
    require(dims > 0 && dims % 2 == 0 && dims < (1 << 20), "dims do not fit");
    require(size(words, 1) == dims && width == section_words * sections && bytes > 0 &&
                width % kPairedWords == 0 && sections <= kSections,
            "words and rows do not fit");
    require(size(pairs, 0) == width / kPairedWords && size(pairs, 1) == dims / 2 &&
                size(pairs, 2) == kPairedWords && size(twice, 0) == width &&
                size(twice, 1) == width && size(squares, 0) == width,
            "products and words do not fit");
    require(beam > 0 && beam <= kBeam && sweeps >= 0, "beam or sweeps do not fit");
    require(shift >= 0 && shift < 32 && limit >= 0, "shift or limit do not fit");
    require(size(codes_out, 0) == count && size(codes_out, 1) == bytes &&
                size(rest_out, 0) == count && size(rest_out, 1) == dims,
            "outputs do not fit");
    nb::gil_scoped_release release;
    choose_words(kernels,
                 {rows.data(), words.data(), pairs.data(), twice.data(), squares.data(),
                  static_cast<int>(dims), static_cast<int>(sections), section_words,
                  static_cast<int>(width), beam, sweeps, shift, limit, codes_out.data(),
                  rest_out.data()},
                 count, threads);
}

void py_multiply(const std::string& path, Array<const std::int16_t, 2> rows,
                 Array<const std::int32_t, 3> pairs, int threads,
                 Array<std::int32_t, 2> products_out) {
    const Kernels& kernels = kernels_named(path);
    const std::int64_t dims = size(rows, 1), width = size(pairs, 0) * kPairedWords;
    require(dims < (1 << 20) && size(pairs, 1) == dims / 2 && size(pairs, 2) == kPairedWords &&
                dims % 2 == 0 && width < (1 << 24),
            "words and rows do not fit");
    require(size(products_out, 0) == size(rows, 0) && size(products_out, 1) == width,
            "outputs do not fit");
    nb::gil_scoped_release release;
    multiply(kernels,
             {rows.data(), pairs.data(), static_cast<int>(dims), static_cast<int>(width),
              products_out.data()},
             size(rows, 0), threads);
}

void py_squared_norms(Array<const std::uint8_t, 2> codes, Array<const std::int16_t, 2> words,
                      Array<const std::int16_t, 1> start, int full, int threads,
                      Array<std::int64_t, 1> norms_out) {
    const std::int64_t count = size(codes, 0), bytes = size(codes, 1), dims = size(words, 1);
    require(full >= 0 && full <= bytes && bytes <= 256, "full and codes do not fit");
    const CodebookLayout layout{static_cast<int>(bytes), full};
    require(dims < (1 << 14) && size(words, 0) == codewords(layout), "words do not fit");
    require(size(start, 0) == dims && size(norms_out, 0) == count, "start or outputs do not fit");
    nb::gil_scoped_release release;
    squared_norms(
        {words.data(), start.data(), layout, static_cast<int>(dims)},
        codes.data(), count, threads, norms_out.data());
}

void py_word_sums(Array<const std::uint8_t, 2> codes, Array<const std::int16_t, 2> rows,
                  int full, int threads, Array<std::int64_t, 2> sums_out) {
    const std::int64_t bytes = size(codes, 1), dims = size(rows, 1);
    require(full >= 0 && full <= bytes && bytes < (1 << 20), "full and codes do not fit");
    const CodebookLayout layout{static_cast<int>(bytes), full};
    require(size(codes, 0) == size(rows, 0) && dims < (1 << 20) &&
                size(sums_out, 0) == codewords(layout) && size(sums_out, 1) == dims,
            "codes, rows and sums do not fit");
    nb::gil_scoped_release release;
    word_sums({codes.data(), rows.data(), size(rows, 0), layout, static_cast<int>(dims)},
              threads, sums_out.data());
}

} // namespace

NB_MODULE(_native, m) {
    m.doc() = "Native search kernels of qama.kernels; use them through that package.";
    m.def("paths", &paths);
    m.def("to_blocks", &py_to_blocks, nb::arg("codes").noconvert(), nb::arg("out").noconvert());
    m.def("from_blocks", &py_from_blocks, nb::arg("blocks").noconvert(),
          nb::arg("out").noconvert());
    m.def("hamming_topk", &py_hamming_topk, nb::arg("path"), nb::arg("blocks").noconvert(),
          nb::arg("n"), nb::arg("queries").noconvert(), nb::arg("bits"), nb::arg("pairs"),
          nb::arg("mask").noconvert().none(), nb::arg("visited").noconvert().none(),
          nb::arg("threads"), nb::arg("rows_out").noconvert(),
          nb::arg("distances_out").noconvert());
    m.def("hamming_rows", &py_hamming_rows, nb::arg("blocks").noconvert(),
          nb::arg("rows").noconvert(), nb::arg("queries").noconvert(), nb::arg("bits"),
          nb::arg("pairs"), nb::arg("threads"), nb::arg("distances_out").noconvert());
    m.def("table_topk", &py_table_topk, nb::arg("path"), nb::arg("blocks").noconvert(),
          nb::arg("rest").noconvert().none(), nb::arg("n"), nb::arg("tables").noconvert(),
          nb::arg("offsets").noconvert(), nb::arg("full"), nb::arg("values").noconvert().none(),
          nb::arg("indices").noconvert().none(), nb::arg("mask").noconvert().none(),
          nb::arg("visited").noconvert().none(), nb::arg("threads"),
          nb::arg("rows_out").noconvert(), nb::arg("scores_out").noconvert());
    m.def("table_rows", &py_table_rows, nb::arg("blocks").noconvert(),
          nb::arg("rest").noconvert().none(), nb::arg("rows").noconvert(),
          nb::arg("tables").noconvert(), nb::arg("offsets").noconvert(), nb::arg("full"),
          nb::arg("values").noconvert().none(), nb::arg("indices").noconvert().none(),
          nb::arg("threads"), nb::arg("scores_out").noconvert());
    m.def("choose_words", &py_choose_words, nb::arg("path"), nb::arg("rows").noconvert(),
          nb::arg("words").noconvert(), nb::arg("pairs").noconvert(), nb::arg("twice").noconvert(),
          nb::arg("squares").noconvert(), nb::arg("section_words"), nb::arg("beam"),
          nb::arg("sweeps"), nb::arg("shift"), nb::arg("limit"), nb::arg("threads"),
          nb::arg("codes_out").noconvert(), nb::arg("rest_out").noconvert());
    m.def("multiply", &py_multiply, nb::arg("path"), nb::arg("rows").noconvert(),
          nb::arg("pairs").noconvert(), nb::arg("threads"), nb::arg("products_out").noconvert());
    m.def("word_sums", &py_word_sums, nb::arg("codes").noconvert(), nb::arg("rows").noconvert(),
          nb::arg("full"), nb::arg("threads"), nb::arg("sums_out").noconvert());
    m.def("squared_norms", &py_squared_norms, nb::arg("codes").noconvert(),
          nb::arg("words").noconvert(), nb::arg("start").noconvert(), nb::arg("full"),
          nb::arg("threads"), nb::arg("norms_out").noconvert());
}
