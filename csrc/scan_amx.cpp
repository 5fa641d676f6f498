// The kernels of scan_avx512.cpp for CPUs that have AMX tiles of 8-bit integers, too: there the
// products of rows and codewords come of tiles, the rest is the same.
//
// A tile multiplies 16 rows by 16 codewords in 64 dims, in bytes. An int16 is 256 high + low, high
// signed and low not, so that a product is 65536 high high + 256 (high low + low high) + low low:
// four products of tiles, three sums. They are exact modulo 2^32, as all products are.
#include "scan.h"

#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__AVX512VBMI__) && \
    defined(__AVX512BITALG__) && defined(__AVX512VNNI__)
#include <cstdlib>
#include <cstring>

#include "avx512.h"

namespace qama {
namespace {

struct Amx : Avx512 {};

constexpr int kTileDims = 64, kTileSide = 16;
constexpr int kLeastRows = 24; // of fewer, tiles take longer than lanes
constexpr int kStride = 64;    // bytes from one row of a tile to the next, codewords and sums
static_assert(kChoiceRows % kTileSide == 0 && kPanel == 2 * kTileSide);

// Lets no access to memory cross the tile instructions, which compilers do not see as such.
inline void fence() { asm volatile("" ::: "memory"); }

// All eight tiles of full size while it lives.
struct Tiles {
    Tiles() {
        alignas(64) std::uint8_t config[64] = {1}; // the palette; then from byte 16 on the bytes
        for (int t = 0; t < 8; ++t) config[16 + 2 * t] = kStride, config[48 + t] = kTileSide;
        fence();
        _tile_loadconfig(config);
    }
    ~Tiles() { _tile_release(); }
    Tiles(const Tiles&) = delete;
    Tiles& operator=(const Tiles&) = delete;
};

// Memory for the bytes of kChoiceRows rows and of a panel of codewords, of dims that are padded to
// whole tiles. Plain malloc: templates that others may use are not compiled for this CPU.
struct Parted {
    const int dims; // a multiple of kTileDims
    std::uint8_t* const memory;

    explicit Parted(int given)
        : dims((given + kTileDims - 1) / kTileDims * kTileDims),
          memory(static_cast<std::uint8_t*>(std::aligned_alloc(
              64, std::size_t{2} * (kChoiceRows + kPanel) * static_cast<std::size_t>(dims)))) {}
    ~Parted() { std::free(memory); }
    Parted(const Parted&) = delete;
    Parted& operator=(const Parted&) = delete;

    // Row by row: `dims` bytes each.
    std::uint8_t* low_rows() const { return memory; }
    std::uint8_t* high_rows() const { return low_rows() + std::int64_t{kChoiceRows} * dims; }
    // Four dims of 16 codewords after four dims, of one half of the panel after the other.
    std::uint8_t* low_panel() const { return high_rows() + std::int64_t{kChoiceRows} * dims; }
    std::uint8_t* high_panel() const { return low_panel() + std::int64_t{kPanel} * dims; }
};

// Parts the bytes of `count` rows; those that lack are zeros.
inline void part_rows(const std::int16_t* rows, std::int64_t count, int dims, const Parted& to) {
    for (std::int64_t r = 0; r < kChoiceRows; ++r) {
        std::uint8_t *low = to.low_rows() + r * to.dims, *high = to.high_rows() + r * to.dims;
        for (int k = 0; k < to.dims; k += 32) {
            const int some = r < count ? (dims - k < 0 ? 0 : dims - k < 32 ? dims - k : 32) : 0;
            const auto there = static_cast<__mmask32>((std::uint64_t{1} << some) - 1);
            const __m512i x = _mm512_maskz_loadu_epi16(there, rows + r * dims + k);
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(low + k), _mm512_cvtepi16_epi8(x));
            _mm256_storeu_si256(reinterpret_cast<__m256i*>(high + k),
                                _mm512_cvtepi16_epi8(_mm512_srli_epi16(x, 8)));
        }
    }
}

// Parts the bytes of a panel of codewords, see Choice.panels.
inline void part_panel(const std::int32_t* panel, int dims, const Parted& to) {
    const __m512i low_bytes = _mm512_set1_epi32(0x00FF00FF), zero = _mm512_setzero_si512();
    for (int k = 0; k < to.dims; k += 4)
        for (int half = 0; half < 2; ++half) { // dims k, k + 1 of 16 codewords, and k + 2, k + 3
            const std::int32_t* at = panel + std::int64_t{k / 2} * kPanel + half * kTileSide;
            const __m512i first = k < dims ? _mm512_loadu_si512(at) : zero;
            const __m512i second = k + 2 < dims ? _mm512_loadu_si512(at + kPanel) : zero;
            const auto joined = [&](__m512i a, __m512i b) { // of bytes in 16 bits
                const auto packed = [](__m512i x) {
                    return _mm512_or_si512(x, _mm512_srli_epi32(x, 8));
                };
                return _mm512_mask_blend_epi16(0xAAAAAAAA, packed(a),
                                               _mm512_slli_epi32(packed(b), 16));
            };
            const std::int64_t place = std::int64_t{half} * kTileSide * to.dims + k * kTileSide;
            _mm512_store_si512(to.low_panel() + place, joined(_mm512_and_si512(first, low_bytes),
                                                              _mm512_and_si512(second, low_bytes)));
            _mm512_store_si512(to.high_panel() + place,
                               joined(_mm512_srli_epi16(first, 8), _mm512_srli_epi16(second, 8)));
        }
}

// The sums of 16 rows and 16 codewords: of high and high bytes, of both kinds, of low and low.
struct alignas(64) Sums16 {
    std::int32_t high[kTileSide][kTileSide], mixed[kTileSide][kTileSide], low[kTileSide][kTileSide];

    Ints products(int row) const {
        const __m512i h = _mm512_load_si512(high[row]), m = _mm512_load_si512(mixed[row]);
        const __m512i upper = _mm512_add_epi32(_mm512_slli_epi32(h, 8), m);
        return {_mm512_add_epi32(_mm512_slli_epi32(upper, 8), _mm512_load_si512(low[row]))};
    }
};

inline void multiply_tiles(const Parted& bytes, int tile_of_rows, int half, Sums16& sums) {
    const std::int64_t row = std::int64_t{tile_of_rows} * kTileSide * bytes.dims;
    const std::int64_t codeword = std::int64_t{half} * kTileSide * bytes.dims;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    for (int k = 0; k < bytes.dims; k += kTileDims) {
        _tile_loadd(3, bytes.low_rows() + row + k, bytes.dims);
        _tile_loadd(4, bytes.high_rows() + row + k, bytes.dims);
        _tile_loadd(5, bytes.low_panel() + codeword + k * kTileSide, kStride);
        _tile_loadd(6, bytes.high_panel() + codeword + k * kTileSide, kStride);
        _tile_dpbssd(0, 4, 6);
        _tile_dpbsud(1, 4, 5);
        _tile_dpbuud(2, 3, 5);
        _tile_dpbusd(1, 3, 6);
    }
    _tile_stored(0, sums.high, kStride);
    _tile_stored(1, sums.mixed, kStride);
    _tile_stored(2, sums.low, kStride);
}

} // namespace

template <> struct AllProducts<Amx> {
    template <class Take>
    static void of(const std::int32_t* panels, int dims, int width, const std::int16_t* rows,
                   std::int64_t count, Take take) {
        if (count < kLeastRows) return lane_products<Amx>(panels, dims, width, rows, count, take);
        const Parted bytes(dims);
        if (!bytes.memory) return lane_products<Amx>(panels, dims, width, rows, count, take);
        part_rows(rows, count, dims, bytes);
        const Tiles tiles;
        Sums16 sums;
        for (int column = 0; column < width; column += kPanel) {
            part_panel(panels + std::int64_t{column} / kPanel * (dims / 2) * kPanel, dims, bytes);
            for (int half = 0; half < 2; ++half)
                for (std::int64_t first = 0; first < count; first += kTileSide) {
                    fence();
                    multiply_tiles(bytes, static_cast<int>(first / kTileSide), half, sums);
                    fence();
                    for (int r = 0; r < kTileSide && first + r < count; ++r)
                        take(first + r, column + half * kTileSide, sums.products(r));
                }
        }
    }
};

// Made when it is first asked for, which only happens where this code can run.
const Kernels* amx_kernels() {
    static const Kernels kernels = [] {
        Kernels made = *avx512_kernels();
        made.name = "amx";
        made.choose = &choose_rows<Amx>;
        made.multiply = &multiply<Amx>;
        return made;
    }();
    return &kernels;
}

} // namespace qama
#else
const qama::Kernels* qama::amx_kernels() { return nullptr; }
#endif
