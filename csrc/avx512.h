// The registers of scan_avx512.cpp and scan_amx.cpp: one holds a column of a block.
#pragma once

#include <immintrin.h>

#include "scan_kernel.h"

namespace qama {
namespace {

// Bit i of x goes to bit 2i.
inline std::uint64_t spread2(std::uint64_t x) {
    x = (x | x << 16) & 0x0000FFFF0000FFFFull;
    x = (x | x << 8) & 0x00FF00FF00FF00FFull;
    x = (x | x << 4) & 0x0F0F0F0F0F0F0F0Full;
    x = (x | x << 2) & 0x3333333333333333ull;
    return (x | x << 1) & 0x5555555555555555ull;
}

struct Bytes {
    __m512i v;

    static Bytes load(const std::uint8_t* p) { return {_mm512_loadu_si512(p)}; }
    void store(std::uint8_t* p) const { _mm512_storeu_si512(p, v); }
    static Bytes splat(std::uint8_t x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
    Bytes add(Bytes y) const { return {_mm512_add_epi8(v, y.v)}; }
    Bytes operator&(Bytes y) const { return {_mm512_and_si512(v, y.v)}; }
    Bytes operator|(Bytes y) const { return {_mm512_or_si512(v, y.v)}; }
    // Shifts of 16-bit lanes: no caller has a bit that would cross a byte.
    Bytes shl1() const { return {_mm512_slli_epi16(v, 1)}; }
    Bytes shr1() const { return {_mm512_srli_epi16(v, 1)}; }
};

struct Nibbles {
    __m512i high, low;
};

// Sums of even rows are `both - (odd << 8)`: adding a byte vector as 16-bit lanes adds the
// even row plus 256 times the odd one, which the subtraction takes out again (mod 65536).
struct Sums {
    __m512i both, odd;

    void add(Bytes x) {
        both = _mm512_add_epi16(both, x.v);
        odd = _mm512_add_epi16(odd, _mm512_srli_epi16(x.v, 8));
    }
    __m512i even() const { return _mm512_sub_epi16(both, _mm512_slli_epi16(odd, 8)); }

    void store(std::uint16_t* to) const {
        const __m512i e = even(), order = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11);
        const __m512i low = _mm512_unpacklo_epi16(e, odd), high = _mm512_unpackhi_epi16(e, odd);
        const __m512i rest = _mm512_add_epi64(order, _mm512_set1_epi64(4));
        _mm512_storeu_si512(to, _mm512_permutex2var_epi64(low, order, high));
        _mm512_storeu_si512(to + 32, _mm512_permutex2var_epi64(low, rest, high));
    }

    std::uint64_t below(std::uint32_t limit) const {
        const __m512i top = _mm512_set1_epi16(static_cast<short>(limit));
        return rows(_mm512_cmplt_epu16_mask(even(), top), _mm512_cmplt_epu16_mask(odd, top));
    }
    std::uint64_t reaching(std::uint32_t limit) const {
        const __m512i least = _mm512_set1_epi16(static_cast<short>(limit));
        return rows(_mm512_cmpge_epu16_mask(even(), least), _mm512_cmpge_epu16_mask(odd, least));
    }
    static std::uint64_t rows(__mmask32 even, __mmask32 odd) { // there are rarely any
        return (even | odd) == 0 ? 0 : spread2(even) | spread2(odd) << 1;
    }
};

struct Ints {
    static constexpr int kLanes = 16, kTileRows = 8, kNibbleRows = 4;
    using Mask = __mmask16;
    __m512i v;

    static Ints load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
    static Ints widened(const std::int16_t* p) {
        return {_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
    }
    void store(std::int32_t* p) const { _mm512_storeu_si512(p, v); }
    static Ints splat(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
    static Ints numbers() {
        return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
    }
    Ints add(Ints y) const { return {_mm512_add_epi32(v, y.v)}; }
    Ints sub(Ints y) const { return {_mm512_sub_epi32(v, y.v)}; }
    Ints min(Ints y) const { return {_mm512_min_epi32(v, y.v)}; }
    Ints max(Ints y) const { return {_mm512_max_epi32(v, y.v)}; }
    Ints halved(int n) const { return {_mm512_sra_epi32(v, _mm_cvtsi32_si128(n))}; }
    // As _mm512_dpwssd_epi32, around which GCC would copy the sums.
    Ints add_products(Ints a, Ints b) const {
        Ints sum = *this;
        asm("vpdpwssd %2, %1, %0" : "+v"(sum.v) : "v"(a.v), "v"(b.v));
        return sum;
    }
    Ints add_nibbles(const std::uint8_t* panel, Ints low, Ints high) const {
        const __m512i x = _mm512_loadu_si512(panel), mask = _mm512_set1_epi8(15);
        const __m512i upper = _mm512_and_si512(_mm512_srli_epi16(x, 4), mask);
        Ints sum = *this;
        asm("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(_mm512_and_si512(x, mask)), "v"(low.v));
        asm("vpdpbusd %2, %1, %0" : "+v"(sum.v) : "v"(upper), "v"(high.v));
        return sum;
    }
    Ints times(Ints y) const { return {_mm512_mullo_epi32(v, y.v)}; }
    Ints both(Ints y) const { return {_mm512_and_si512(v, y.v)}; }
    void narrowed(std::int16_t* to) const {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(v));
    }
    static Mask less(Ints a, Ints b) { return _mm512_cmplt_epi32_mask(a.v, b.v); }
    static Mask equal(Ints a, Ints b) { return _mm512_cmpeq_epi32_mask(a.v, b.v); }
    static Ints select(Mask mask, Ints a, Ints b) {
        return {_mm512_mask_blend_epi32(mask, b.v, a.v)};
    }
    std::int32_t least() const { return _mm512_reduce_min_epi32(v); }
};

struct Avx512 {
    static constexpr int kHammingTile = 8, kTableTile = 4, kTableBlocks = 2;
    static constexpr bool kWide = true;
    static constexpr LookUpCost kCost{100, 100};
    using Vector = Bytes;
    using Total = Sums;
    using Lanes = Ints;

    static Bytes column(Bytes x) { return x; }
    static std::uint32_t pattern(std::uint8_t byte) { return byte * 0x01010101u; }
    static void add_differing(Bytes x, const std::uint32_t* pattern, Bytes& counts) {
        const __m512i query = _mm512_set1_epi32(static_cast<int>(*pattern));
        counts = counts.add({_mm512_popcnt_epi8(_mm512_xor_si512(x.v, query))});
    }

    static Nibbles nibbles(Bytes x) {
        const __m512i mask = _mm512_set1_epi8(15);
        return {_mm512_and_si512(_mm512_srli_epi16(x.v, 4), mask), _mm512_and_si512(x.v, mask)};
    }
    static __m512i table(const std::uint8_t* p) {
        return _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    }
    static Bytes look_up(Nibbles x, const std::uint8_t* entries) {
        return {_mm512_add_epi8(_mm512_shuffle_epi8(table(entries), x.high),
                                _mm512_shuffle_epi8(table(entries + 16), x.low))};
    }

    template <int T, int B, int G>
    static void add_full(const Bytes (&columns)[B][G], const std::uint8_t* entries,
                         Sums (&sums)[B][T]) {
        for (int t = 0; t < T; ++t) {
            Bytes total[B] = {};
            for (int g = 0; g < G; ++g) {
                __m512i quarter[4];
                for (int i = 0; i < 4; ++i)
                    quarter[i] = _mm512_loadu_si512(entries + 256 * (T * g + t) + 64 * i);
                // Keeps them in registers: GCC would load them again for each block.
                for (__m512i& some : quarter) asm("" : "+v"(some));
                for (int b = 0; b < B; ++b) {
                    const __m512i x = columns[b][g].v;
                    const __m512i low = _mm512_permutex2var_epi8(quarter[0], x, quarter[1]);
                    const __m512i high = _mm512_permutex2var_epi8(quarter[2], x, quarter[3]);
                    const __mmask64 upper = _mm512_movepi8_mask(x);
                    total[b] = total[b].add({_mm512_mask_blend_epi8(upper, low, high)});
                }
            }
            for (int b = 0; b < B; ++b) sums[b][t].add(total[b]);
        }
    }

    // Shifts of 16-bit lanes bring bits of a neighbour; the blends and find() ignore them.
    static Bytes tops(const Bytes (&x)[1]) { return {_mm512_srli_epi16(x[0].v, 6) & low(0x03)}; }
    static Bytes tops(const Bytes (&x)[2]) {
        const __m512i two =
            blend(low(0x0C), _mm512_srli_epi16(x[1].v, 4), _mm512_srli_epi16(x[0].v, 6));
        return {two & low(0x0F)};
    }
    static Bytes tops(const Bytes (&x)[3]) {
        const __m512i two =
            blend(low(0x0C), _mm512_srli_epi16(x[1].v, 4), _mm512_srli_epi16(x[0].v, 6));
        return {blend(low(0x30), _mm512_srli_epi16(x[2].v, 2), two)};
    }
    static __m512i low(char bits) { return _mm512_set1_epi8(bits); }
    static __m512i blend(__m512i mask, __m512i a, __m512i b) {
        return _mm512_ternarylogic_epi64(mask, a, b, 0xCA);
    }
    template <bool Kept> static __m512i wide_table(const std::uint8_t* entries) {
        __m512i table = _mm512_loadu_si512(entries);
        if (Kept) asm("" : "+v"(table)); // GCC would load it again for each block
        return table;
    }
    static Bytes find(Bytes x, __m512i table) { return {_mm512_permutexvar_epi8(x.v, table)}; }
};

} // namespace
} // namespace qama
