// The scan for CPUs with AVX2 and FMA: a column of a block is two registers.
#include "scan_kernel.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

namespace qama {
namespace {

// kDiffering.at[q][x]: how many bits of the nibbles q and x differ. AVX2 has no byte popcount. A
// column is split into nibbles once for all queries; one look-up per nibble and query then costs
// half of an XOR and two look-ups.
struct Differing {
    alignas(32) std::uint8_t at[16][16];
    constexpr Differing() : at{} {
        for (int q = 0; q < 16; ++q)
            for (int x = 0; x < 16; ++x)
                for (int bits = q ^ x; bits != 0; bits &= bits - 1) ++at[q][x];
    }
};
constexpr Differing kDiffering;

struct Bytes {
    __m256i a, b; // rows 0 to 31, rows 32 to 63

    static Bytes load(const std::uint8_t* p) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
                _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 32))};
    }
    void store(std::uint8_t* p) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 32), b);
    }
    static Bytes splat(std::uint8_t x) {
        const __m256i all = _mm256_set1_epi8(static_cast<char>(x));
        return {all, all};
    }
    Bytes add(Bytes y) const { return {_mm256_add_epi8(a, y.a), _mm256_add_epi8(b, y.b)}; }
    Bytes operator&(Bytes y) const { return {_mm256_and_si256(a, y.a), _mm256_and_si256(b, y.b)}; }
    Bytes operator|(Bytes y) const { return {_mm256_or_si256(a, y.a), _mm256_or_si256(b, y.b)}; }
    // Shifts of 16-bit lanes: no caller has a bit that would cross a byte.
    Bytes shl1() const { return {_mm256_slli_epi16(a, 1), _mm256_slli_epi16(b, 1)}; }
    Bytes shr1() const { return {_mm256_srli_epi16(a, 1), _mm256_srli_epi16(b, 1)}; }
};

struct Nibbles {
    Bytes high, low;
};

// As in scan_avx512.cpp: even rows are `both - (odd << 8)`.
struct Sums {
    Bytes both, odd;

    void add(Bytes x) {
        both = {_mm256_add_epi16(both.a, x.a), _mm256_add_epi16(both.b, x.b)};
        odd = {_mm256_add_epi16(odd.a, _mm256_srli_epi16(x.a, 8)),
               _mm256_add_epi16(odd.b, _mm256_srli_epi16(x.b, 8))};
    }
    Bytes even() const {
        return {_mm256_sub_epi16(both.a, _mm256_slli_epi16(odd.a, 8)),
                _mm256_sub_epi16(both.b, _mm256_slli_epi16(odd.b, 8))};
    }

    void store(std::uint16_t* to) const {
        alignas(32) std::uint16_t e[32], o[32];
        even().store(reinterpret_cast<std::uint8_t*>(e));
        odd.store(reinterpret_cast<std::uint8_t*>(o));
        for (int i = 0; i < 32; ++i) to[2 * i] = e[i], to[2 * i + 1] = o[i];
    }

    static Sums load(const std::uint16_t* from) {
        alignas(32) std::uint16_t e[32], o[32];
        for (int i = 0; i < 32; ++i) e[i] = from[2 * i], o[i] = from[2 * i + 1];
        const Bytes even = Bytes::load(reinterpret_cast<const std::uint8_t*>(e));
        const Bytes odd = Bytes::load(reinterpret_cast<const std::uint8_t*>(o));
        return {{_mm256_add_epi16(even.a, _mm256_slli_epi16(odd.a, 8)),
                 _mm256_add_epi16(even.b, _mm256_slli_epi16(odd.b, 8))},
                odd};
    }

    // Per half: byte 2i is row 2i, byte 2i + 1 is row 2i + 1. Not below = min(limit, x) is limit.
    static std::uint32_t half_below(__m256i even, __m256i odd, __m256i even_limit,
                                    __m256i odd_limit) {
        const __m256i e = _mm256_cmpeq_epi16(_mm256_min_epu16(even, even_limit), even_limit);
        const __m256i o = _mm256_cmpeq_epi16(_mm256_min_epu16(odd, odd_limit), odd_limit);
        const __m256i kept = _mm256_blendv_epi8(e, o, _mm256_set1_epi16(-256));
        return ~static_cast<std::uint32_t>(_mm256_movemask_epi8(kept));
    }
    std::uint64_t below(Bytes even_limit, Bytes odd_limit) const {
        const Bytes e = even();
        return half_below(e.a, odd.a, even_limit.a, odd_limit.a) |
               std::uint64_t{half_below(e.b, odd.b, even_limit.b, odd_limit.b)} << 32;
    }
    std::uint64_t below(std::uint32_t limit) const {
        const __m256i top = _mm256_set1_epi16(static_cast<short>(limit));
        return below({top, top}, {top, top});
    }
    std::uint64_t reaching(std::uint32_t limit) const { return ~below(limit); }
    std::uint64_t below(const Sums& limits) const { return below(limits.even(), limits.odd); }
};

struct Ints {
    static constexpr int kLanes = 8, kTileRows = 4, kNibbleRows = 2;
    using Mask = __m256i;
    __m256i v;

    static Ints load(const std::int32_t* p) {
        return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
    }
    static Ints widened(const std::int16_t* p) {
        return {_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
    }
    void store(std::int32_t* p) const { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v); }
    static Ints splat(std::int32_t x) { return {_mm256_set1_epi32(x)}; }
    static Ints numbers() { return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)}; }
    Ints add(Ints y) const { return {_mm256_add_epi32(v, y.v)}; }
    Ints sub(Ints y) const { return {_mm256_sub_epi32(v, y.v)}; }
    Ints min(Ints y) const { return {_mm256_min_epi32(v, y.v)}; }
    Ints max(Ints y) const { return {_mm256_max_epi32(v, y.v)}; }
    Ints halved(int n) const { return {_mm256_sra_epi32(v, _mm_cvtsi32_si128(n))}; }
    Ints add_products(Ints a, Ints b) const {
        return {_mm256_add_epi32(v, _mm256_madd_epi16(a.v, b.v))};
    }
    // The sum of eight products of 15 and 128 fits 16 bits.
    Ints add_nibbles(const std::uint8_t* panel, Ints low, Ints high) const {
        const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(panel)),
                      mask = _mm256_set1_epi8(15),
                      upper = _mm256_and_si256(_mm256_srli_epi16(x, 4), mask);
        const __m256i pairs =
            _mm256_add_epi16(_mm256_maddubs_epi16(_mm256_and_si256(x, mask), low.v),
                             _mm256_maddubs_epi16(upper, high.v));
        return {_mm256_add_epi32(v, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))};
    }
    Ints times(Ints y) const { return {_mm256_mullo_epi32(v, y.v)}; }
    Ints both(Ints y) const { return {_mm256_and_si256(v, y.v)}; }
    void narrowed(std::int16_t* to) const {
        const __m256i low = _mm256_and_si256(v, _mm256_set1_epi32(0xFFFF));
        const __m256i packed = _mm256_packus_epi32(low, low);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                         _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
    }
    static Mask less(Ints a, Ints b) { return _mm256_cmpgt_epi32(b.v, a.v); }
    static Mask equal(Ints a, Ints b) { return _mm256_cmpeq_epi32(a.v, b.v); }
    static Ints select(Mask mask, Ints a, Ints b) { return {_mm256_blendv_epi8(b.v, a.v, mask)}; }
    std::int32_t least() const {
        __m128i x = _mm_min_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        x = _mm_min_epi32(x, _mm_shuffle_epi32(x, 0x4E));
        x = _mm_min_epi32(x, _mm_shuffle_epi32(x, 0xB1));
        return _mm_cvtsi128_si32(x);
    }
};

struct Avx2 {
    static constexpr int kHammingTile = 4, kTableTile = 2, kTableBlocks = 1;
    static constexpr bool kWide = false;
    static constexpr LookUpCost kCost{700, 140};
    using Vector = Bytes;
    using Total = Sums;
    using Lanes = Ints;

    static Nibbles nibbles(Bytes x) {
        const Bytes mask = Bytes::splat(15);
        return {Bytes{_mm256_srli_epi16(x.a, 4), _mm256_srli_epi16(x.b, 4)} & mask, x & mask};
    }
    static Bytes shuffle(const std::uint8_t* entries, Bytes x) {
        return {shuffle(entries, x.a), shuffle(entries, x.b)};
    }
    static Bytes look_up(Nibbles x, const std::uint8_t* entries) {
        return shuffle(entries, x.high).add(shuffle(entries + 16, x.low));
    }

    static __m256i shuffle(const std::uint8_t* entries, __m256i x) {
        return _mm256_shuffle_epi8(
            _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(entries))),
            x);
    }

    // 32 bytes, made ready to be looked up in tables of 256. Bit 7 decides in both instructions: a
    // shuffle gives 0 where it is set, a blend takes the second. So `at` holds the low nibble and,
    // as bit 7, bit 4 of the byte or its opposite; `upper` holds bits 5, 6 and 7 as bit 7.
    struct Index {
        __m256i at[2], upper[3];

        explicit Index(__m256i x) : upper{_mm256_slli_epi16(x, 2), _mm256_slli_epi16(x, 1), x} {
            const __m256i low = _mm256_set1_epi8(15), top = _mm256_set1_epi8(-128);
            const __m256i bit = _mm256_and_si256(_mm256_slli_epi16(x, 3), top);
            at[0] = _mm256_or_si256(_mm256_and_si256(x, low), bit);
            at[1] = _mm256_xor_si256(at[0], top);
        }
    };
    // In 32 << Bits entries: by the low five bits and so many above them.
    template <int Bits> static __m256i find(const std::uint8_t* entries, const Index& x) {
        if constexpr (Bits == 0)
            return _mm256_or_si256(shuffle(entries, x.at[0]), shuffle(entries + 16, x.at[1]));
        else
            return _mm256_blendv_epi8(find<Bits - 1>(entries, x),
                                      find<Bits - 1>(entries + (16 << Bits), x), x.upper[Bits - 1]);
    }
    template <int T>
    static void add_whole(__m256i x, const std::uint8_t* entries, __m256i (&totals)[T]) {
        const Index index(x);
        for (int t = 0; t < T; ++t)
            totals[t] = _mm256_add_epi8(totals[t], find<3>(entries + 256 * t, index));
    }
    template <int T, int B, int G>
    static void add_full(const Bytes (&columns)[B][G], const std::uint8_t* entries,
                         Sums (&sums)[B][T]) {
        for (int b = 0; b < B; ++b) {
            __m256i first[T] = {}, second[T] = {};
            for (int g = 0; g < G; ++g) {
                add_whole(columns[b][g].a, entries + 256 * T * g, first);
                add_whole(columns[b][g].b, entries + 256 * T * g, second);
            }
            for (int t = 0; t < T; ++t) sums[b][t].add({first[t], second[t]});
        }
    }

    static Nibbles column(Bytes x) { return nibbles(x); }
    // Where in kDiffering the rows of both nibbles start, so that the scan need not compute it.
    static std::uint32_t pattern(std::uint8_t byte) {
        return (byte & 0xF0u) | (byte & 0x0Fu) << 20;
    }
    static void add_differing(Nibbles x, const std::uint32_t* pattern, Bytes& counts) {
        add_differing(x.high, *pattern & 0xFFFF, counts);
        add_differing(x.low, *pattern >> 16, counts);
    }
    static void add_differing(Bytes nibbles, std::uint32_t at, Bytes& counts) {
        counts = counts.add(shuffle(kDiffering.at[0] + at, nibbles));
        // Forces the addition here: GCC would defer it and run out of registers.
        asm("" : "+x"(counts.a), "+x"(counts.b));
    }
};

constexpr Kernels kKernels = kernels_of<Avx2>("avx2");

} // namespace

const Kernels* avx2_kernels() { return &kKernels; }

} // namespace qama
#else
const qama::Kernels* qama::avx2_kernels() { return nullptr; }
#endif
