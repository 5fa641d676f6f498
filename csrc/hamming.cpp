#include "hamming.h"

#include <cstring>
#include <vector>

#include "expand.h"
#include "pool.h"
#include "scan_kernel.h"
#include "search.h"

namespace qama {
namespace {

// One byte with the operations that expand() needs.
struct Byte {
    std::uint8_t v;

    static Byte of(unsigned x) { return {static_cast<std::uint8_t>(x)}; }
    static Byte load(const std::uint8_t* p) { return {*p}; }
    static Byte splat(std::uint8_t x) { return {x}; }
    void store(std::uint8_t* p) const { *p = v; }
    Byte operator&(Byte y) const { return of(v & y.v); }
    Byte operator|(Byte y) const { return of(v | y.v); }
    Byte shl1() const { return of(v << 1u); }
    Byte shr1() const { return of(v >> 1u); }
};

// The first `count` bits of a byte, MSB first.
std::uint8_t leading(int count) { return static_cast<std::uint8_t>(0xFF00 >> count); }

Expansion expansion_of(const HammingQueries& q) {
    const int rest = q.bits % 8;
    return {q.columns, q.bit_pairs / 4, leading(2 * (q.bit_pairs % 4)),
            rest ? leading(rest) : std::uint8_t{0xFF}};
}

// The queries' bytes in the order in which a tile reads them, as the patterns that it compares
// with.
std::vector<std::uint32_t> tiled_patterns(const HammingQueries& q, const Expansion& e, int width,
                                          const Kernels& kernels) {
    const int tile = kernels.hamming_tile;
    const std::int64_t tiles = (q.count + tile - 1) / tile;
    std::vector<std::uint32_t> patterns(static_cast<std::size_t>(tiles * tile * width));
    std::vector<std::uint8_t> bytes(static_cast<std::size_t>(width));
    for (std::int64_t i = 0; i < q.count; ++i) {
        expand<Byte>(e, q.codes + i * q.columns, 1, bytes.data(), 1);
        const std::int64_t first = i / tile * tile, lane = i - first;
        const int lanes = tile_width(q.count - first, tile);
        for (int c = 0; c < width; ++c)
            patterns[static_cast<std::size_t>(first * width + c * lanes + lane)] =
                kernels.pattern(bytes[static_cast<std::size_t>(c)]);
    }
    return patterns;
}

std::size_t padded_to_8(int width) { return static_cast<std::size_t>(width + 7) / 8 * 8; }

int differing_bits(std::uint64_t x) {
    x -= (x >> 1) & 0x5555555555555555ull;
    x = (x & 0x3333333333333333ull) + ((x >> 2) & 0x3333333333333333ull);
    x = (x + (x >> 4)) & 0x0F0F0F0F0F0F0F0Full;
    return static_cast<int>((x * 0x0101010101010101ull) >> 56);
}

int distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t bytes) {
    int sum = 0;
    for (std::size_t i = 0; i < bytes; i += 8) {
        std::uint64_t x, y;
        std::memcpy(&x, a + i, 8);
        std::memcpy(&y, b + i, 8);
        sum += differing_bits(x ^ y);
    }
    return sum;
}

} // namespace

void offer_distances(Sink& sink, std::uint64_t rows, const std::uint16_t* distances,
                     std::int64_t row) {
    for (int i = 0; rows != 0; ++i, rows >>= 1)
        if ((rows & 1) && distances[i] < sink.limit && sink.top->push({distances[i], row + i}))
            sink.limit = sink.top->bar();
}

void hamming_topk(const Kernels& kernels, const HammingArgs& args, int threads,
                  Best<std::int32_t> best) {
    const HammingQueries& q = args.queries;
    const Expansion expansion = expansion_of(q);
    const int width = expanded_width(expansion);
    const auto patterns = tiled_patterns(q, expansion, width, kernels);
    const HammingScan scan{args, expansion, q.bit_pairs > 0, width, patterns.data()};
    const std::int64_t scratch_bytes =
        scan.expands ? group_blocks(width, kGroupBytes) * width * kRows : 0;
    const double work =
        static_cast<double>(args.rows.blocks) * kRows * width * static_cast<double>(q.count);
    search(
        {args.rows.blocks, q.count, best.k, kernels.hamming_tile, threads, work},
        [&](const Part& part) {
            std::vector<std::uint8_t> scratch(static_cast<std::size_t>(scratch_bytes));
            kernels.hamming(scan, part, scratch.data());
        },
        [&](std::int64_t query, const std::vector<Hit>& hits) {
            std::int64_t at = query * best.k;
            for (const Hit& hit : hits) {
                best.rows[at] = hit.row;
                best.values[at++] = static_cast<std::int32_t>(hit.key);
            }
        });
}

void hamming_rows(const HammingArgs& args, const ChosenRows& chosen, int threads,
                  std::int32_t* distances_out) {
    const HammingQueries& q = args.queries;
    const Expansion expansion = expansion_of(q);
    const std::size_t padded = padded_to_8(expanded_width(expansion));
    const double work = static_cast<double>(chosen.each) * static_cast<double>(q.count) * kRows *
                        q.columns; // a cache line per byte
    parallel_for(q.count, thread_count(threads, work), [&](std::int64_t i) {
        std::vector<std::uint8_t> query(padded), code(padded);
        expand<Byte>(expansion, q.codes + i * q.columns, 1, query.data(), 1);
        for (std::int64_t j = i * chosen.each; j < (i + 1) * chosen.each; ++j) {
            const std::int64_t row = chosen.rows[j];
            const std::uint8_t* at = column_at(args.blocks, row / kRows, 0) + row % kRows;
            expand<Byte>(expansion, at, kRows, code.data(), 1);
            distances_out[j] = distance(query.data(), code.data(), padded);
        }
    });
}

} // namespace qama
