// What the scan kernels of every instruction set share: plain structs and one table of functions.
//
// The scan_*.cpp files are compiled with flags of one instruction set each. They include nothing
// but this header, codebooks.h, expand.h, the *_kernel.h and <cstdint>-like headers: an inline
// function of the standard library compiled there could be the copy that the linker keeps for the
// whole module, and would then crash on an older CPU. Their globals are constexpr for the same
// reason: nothing of theirs may run when the module is loaded.
#pragma once

#include <cstdint>

#include "codebooks.h"

// GCC believes that a function which only prefetches has no effect, and drops calls of it. Such a
// function must therefore be inlined by force.
#if defined(__GNUC__)
#define QAMA_PREFETCH(address) __builtin_prefetch(address, 0, 2) // into the L2 cache
#define QAMA_INLINE inline __attribute__((always_inline))
#else
#define QAMA_PREFETCH(address) (void)(address)
#define QAMA_INLINE inline
#endif

namespace qama {

// Terms used throughout: a block holds 64 rows. A column is one byte of each row of a block. A tile
// is the queries that one pass over a block serves. A group is the blocks that all tiles visit
// before any tile goes on, so that the blocks stay in a cache.

constexpr int kRows = 64;           // rows of a block, so bytes of a column
constexpr int kSpill = 31;          // columns whose distances, 8 at most each, fit a byte: 248
constexpr int kFullGroup = 2;       // full columns whose filter entries are summed in 8 bits
constexpr int kNarrowGroup = 2;     // later columns whose filter entries are, in narrow tables
constexpr int kShortCode = 16;      // columns of a code that counts as short
constexpr int kInterleaved = 64;    // queries whose filter tables are interleaved
constexpr int kMaxGroupBlocks = 32; // blocks of a group, at most
constexpr int kInterleavedGroupBlocks = 256;   // the same, for interleaved tables
constexpr std::int64_t kGroupBytes = 16 << 10; // of a Hamming scan, so that a group stays in L1
constexpr std::int64_t kTableGroupBytes = 128 << 10; // of a table scan: in L2, as tables fill L1

class TopK;

// Where the rows go that one query keeps, and what a row must beat to be kept.
struct Sink {
    std::uint32_t limit; // only distances < limit can enter
    float floor;         // only scores > floor can enter; while it is NaN, all can
    TopK* top;
};

// Codes in blocks of 64 rows, one column after the other. The last columns may be stored apart from
// the leading ones, in an array of their own.
struct Blocks {
    const std::uint8_t* data; // (count, columns, 64)
    std::int64_t count;
    int columns;
    const std::uint8_t* rest; // (count, rest_columns, 64)
    int rest_columns;         // 0: `data` holds all columns
};

static inline const std::uint8_t* column_at(const Blocks& blocks, std::int64_t block, int column) {
    if (column < blocks.columns) return blocks.data + (block * blocks.columns + column) * kRows;
    return blocks.rest + (block * blocks.rest_columns + column - blocks.columns) * kRows;
}

// The rows that may be returned.
struct Rows {
    std::int64_t count;          // rows past it are padding
    std::int64_t blocks;         // blocks to scan
    const std::uint64_t* mask;   // bit i of word b = row 64 * b + i, or null: all
    const std::int64_t* visited; // numbers of the blocks to scan, ascending, or null: all
};

// Some rows for each query.
struct ChosenRows {
    const std::int64_t* rows; // (queries, each)
    std::int64_t each;
};

// Where the best rows of each query go, and their distances or scores.
template <class Value> struct Best {
    std::int64_t k;
    std::int64_t* rows; // (queries, k)
    Value* values;      // (queries, k)
};

// Which bits of a code are compared, and how its columns become columns to XOR (see expand.h).
struct Expansion {
    int columns;          // columns that are compared
    int bit_pair_columns; // leading columns that hold four bit pairs each
    std::uint8_t mixed;   // mask: the bits of the next column that belong to bit pairs
    std::uint8_t last;    // mask: the bits of the last column that are compared
};

struct HammingQueries {
    const std::uint8_t* codes; // (count, columns)
    std::int64_t count;
    int columns;   // bytes per query = (bits + 7) / 8
    int bits;      // compared
    int bit_pairs; // the first 2 * bit_pairs bits are levels, see expand.h
};

// What a caller asks of a Hamming scan: qama.kernels.HammingScan. The queries are compared with the
// leading columns of the blocks.
struct HammingArgs {
    Blocks blocks;
    Rows rows;
    HammingQueries queries;
};

// The same, made ready for the kernels.
struct HammingScan : HammingArgs {
    Expansion expansion;
    bool expands;                  // whether columns must be expanded before the XOR
    int width;                     // columns after the expansion
    const std::uint32_t* patterns; // of query bytes: [tile][column][query of the tile]
};

// One query's filter: S <= base + scale * (sum of its 8-bit entries) for every row.
struct Bound {
    float scale;
    float base;
};

// The highest S that a sum of filter entries allows, in float32. It is computed exactly in double
// and rounded once, so it never falls while the sum rises.
static inline float highest(Bound bound, std::uint32_t sum) {
    return static_cast<float>(double{bound.base} + double{bound.scale} * sum);
}

// One positive inverse norm per row: values[row], or values[indices[row]], or 1 if values is null.
struct InverseNorms {
    const float* values;
    const std::uint8_t* indices;
    bool ascending; // with indices: whether values ascend
};

static inline float inverse_norm(const InverseNorms& norms, std::int64_t row) {
    if (!norms.values) return 1.0f;
    return norms.values[norms.indices ? norms.indices[row] : row];
}

// Lookup tables with an entry for each codeword of the codes' leading bytes.
struct TableQueries {
    const std::int16_t* tables;  // (count, codeword_count(layout))
    const std::int32_t* offsets; // (count)
    std::int64_t count;
    CodebookLayout layout;
};

// What a caller asks of a table scan: qama.kernels.TableScan.
struct TableArgs {
    Blocks blocks;
    Rows rows;
    TableQueries queries;
    InverseNorms norms;
};

// Columns [first, last) that lie in one part of the blocks and are all full, or all not.
struct Run {
    int first, last;
    bool full;

    int columns() const { return last - first; }
};

// A code has three runs, some of them empty: its columns are cut where the full ones end and where
// the columns that are stored apart begin.
constexpr int kRuns = 3;

static inline Run run_of(const TableArgs& args, int number) {
    const auto [columns, full] = args.queries.layout;
    const int split = args.blocks.columns < columns ? args.blocks.columns : columns;
    const int cuts[] = {0, split < full ? split : full, split < full ? full : split, columns};
    return {cuts[number], cuts[number + 1], cuts[number] < full};
}

constexpr int kWideSize = 64; // entries of a wide table

// How many wide tables a run of columns has: one per column, and one per three for their top bits.
constexpr std::int64_t wide_tables(std::int64_t columns) { return columns + (columns + 2) / 3; }

// How the filter's tables lie in memory: see filter.h.
enum class FilterLayout { narrow, wide, interleaved };

// The same, made ready for the kernels: with the filter's tables of all tiles.
struct TableScan : TableArgs {
    Run runs[kRuns];
    FilterLayout layout;
    std::int64_t entry_bytes;    // per query
    const std::uint8_t* entries; // see filter.h
    const Bound* bounds;         // per query, with those that pad the last tile
};

struct Range {
    std::int64_t first, last;
};

constexpr int kMostCodebooks = 64; // of a Choice
constexpr int kBeam = 16;          // prefixes that a beam can keep
constexpr int kChoiceRows = 64;    // rows that are multiplied with the codewords together
constexpr int kPanel = 32;         // codewords that lie side by side in Choice.panels

// What choose_codewords minimises: |row - sum of one codeword per codebook|^2.
struct Choice {
    const std::int16_t* rows;      // (rows, dims)
    const std::int16_t* codewords; // (width, dims)
    const std::int32_t* panels;    // (width / 32, dims / 2, 32): their dim pairs (2k, 2k + 1)
    const std::int16_t* twice;     // (width, width): 2 w_i . w_j, halved `shift` times
    const std::int32_t* squares;   // (width): |w_i|^2, halved `shift` times
    int dims;
    int codebooks, book_size; // each holds 16 or each holds 256 codewords
    int width;                // codewords: codebooks * book_size
    int beam, sweeps;
    int shift;               // how often products are halved, each time rounding down
    std::int32_t limit;      // halved products of rows and codewords are clamped to +-limit
    std::uint8_t* codes;     // out: (rows, codebooks / 2), or (rows, codebooks) if 256 codewords
    std::int16_t* residuals; // out: (rows, dims), rows less their codewords
};

// Products of all rows and all codewords.
struct Products {
    const std::int16_t* rows;   // (rows, dims)
    const std::int32_t* panels; // as in Choice
    int dims, width;
    std::int32_t* products; // out: (rows, width)
};

constexpr int kNibblePanel = 32; // codewords that lie side by side in NibbleProducts.codewords
constexpr int kNibblePanelBytes = 4 * kNibblePanel; // of eight dims of these
constexpr int kNibbleZero = 8;                      // how an entry of zero is stored

// Products of all rows and all codewords of 4-bit entries.
struct NibbleProducts {
    const std::int8_t* rows;       // (rows, 8 octets)
    const std::uint8_t* codewords; // (panels, octets, 32, 4): of eight dims, the low nibbles of
                                   // four bytes hold the first four, each plus 8
    const std::int16_t* steps;     // (32 panels): what a codeword's products are multiplied by
    int octets, panels;
    std::int32_t* products; // out: (rows, 32 panels)
};

// Lookup tables of products, with one power of two for each query: the entries are the products of
// full bytes and of low nibbles, and the sums of the products of two terms for high nibbles.
struct RoundedTables {
    const std::int32_t* terms; // (queries, term_stride), in the order of first_term()
    std::int64_t term_stride;
    const std::int64_t* offsets;   // (queries)
    const std::int32_t* exponents; // (queries): one of the terms counts 2^exponent of the offsets;
                                   // null: they are all 0
    CodebookLayout layout;
    std::int16_t* tables;      // out: (queries, codeword_count(layout))
    std::int32_t* offsets_out; // out: (queries)
    std::int32_t* powers;      // out: (queries): of two, that both are less than offsets
};

// Codewords to be added to `start`, of each row one of each codebook.
struct SummedCodewords {
    const std::int16_t* codewords; // (codewords, dims)
    const std::int16_t* start;     // (dims)
    const std::int64_t* places;    // (rows, codebooks): which codewords
    int dims, codebooks;
};

constexpr int kUnitExponent = 28; // the power of two that gives the scale 1: offsets and terms are
                                  // products of whole numbers of 2^-14

// The part of a scan that one call of a kernel does: some blocks for some tiles of queries.
struct Part {
    Range blocks; // their places among the blocks to scan
    Range tiles;  // each of hamming_tile or table_tile queries (see Kernels), or of kInterleaved
    Sink* sinks;  // one per query of these tiles, with those that pad the last tile
};

// `scratch` has room for group_blocks() expanded blocks, if the scan expands.
using HammingFn = void (*)(const HammingScan&, const Part&, std::uint8_t* scratch);
using TableFn = void (*)(const TableScan&, const Part&);
// `scratch` has room for kChoiceRows + beam rows of `width` integers and for `dims` integers.
using ChooseFn = void (*)(const Choice&, Range rows, std::int32_t* scratch);
using MultiplyFn = void (*)(const Products&, Range rows);
using MultiplyNibblesFn = void (*)(const NibbleProducts&, Range rows);
using RoundFn = void (*)(const RoundedTables&, Range queries);
// The squared norms of the sums; `sums` has room for `dims` integers.
using NormsFn = void (*)(const SummedCodewords&, std::int64_t rows, std::int32_t* sums,
                         std::int64_t* norms);

// What it costs to look up one query's entries of a column, in percent of what that costs per query
// in a full tile of 64 interleaved tables.
struct LookUpCost {
    int full, nibbles;

    constexpr bool gains() const { return full > 100 || nibbles > 100; }
};

struct Kernels {
    const char* name;
    int hamming_tile, table_tile; // queries per tile, powers of two (if not interleaved)
    bool wide;                    // whether the scan can read wide tables
    LookUpCost cost;
    std::uint32_t (*pattern)(std::uint8_t); // a query's byte as the Hamming scan reads it
    HammingFn hamming;
    TableFn tables;
    ChooseFn choose;
    MultiplyFn multiply;
    MultiplyNibblesFn multiply_nibbles;
    RoundFn round;
    NormsFn norms;
};

// Each returns null where the compiler's target lacks the instruction set.
const Kernels* portable_kernels();
const Kernels* avx2_kernels();
const Kernels* avx512_kernels();
const Kernels* amx_kernels(); // only to be called where it runs
const Kernels* neon_kernels();

// The kernels call these for the rows that pass. They are compiled for the plain target.
void offer_distances(Sink&, std::uint64_t rows, const std::uint16_t* distances, std::int64_t row);
// Returns whether the sink's floor rose.
bool offer_score(Sink&, std::uint16_t sum, const TableScan&, std::int64_t query, std::int64_t row);

} // namespace qama
