// The scan for 64-bit ARM, where NEON is part of the base: a column of a block is four registers.
#include "scan_kernel.h"

#if defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>

namespace qama {
namespace {

struct Bytes {
    uint8x16_t v[4];

    template <class F> static Bytes each(F value) {
        return {{value(0), value(1), value(2), value(3)}};
    }
    static Bytes load(const std::uint8_t* p) {
        return each([p](int i) { return vld1q_u8(p + 16 * i); });
    }
    void store(std::uint8_t* p) const {
        for (int i = 0; i < 4; ++i) vst1q_u8(p + 16 * i, v[i]);
    }
    static Bytes splat(std::uint8_t x) {
        return each([x](int) { return vdupq_n_u8(x); });
    }
    Bytes add(Bytes y) const {
        return each([&](int i) { return vaddq_u8(v[i], y.v[i]); });
    }
    Bytes operator&(Bytes y) const {
        return each([&](int i) { return vandq_u8(v[i], y.v[i]); });
    }
    Bytes operator|(Bytes y) const {
        return each([&](int i) { return vorrq_u8(v[i], y.v[i]); });
    }
    Bytes shl1() const {
        return each([&](int i) { return vshlq_n_u8(v[i], 1); });
    }
    Bytes shr1() const {
        return each([&](int i) { return vshrq_n_u8(v[i], 1); });
    }
};

struct Nibbles {
    Bytes high, low;
};

struct Sums {
    uint16x8_t s[8]; // rows in order

    void add(Bytes x) {
        for (int i = 0; i < 4; ++i) {
            s[2 * i] = vaddw_u8(s[2 * i], vget_low_u8(x.v[i]));
            s[2 * i + 1] = vaddw_high_u8(s[2 * i + 1], x.v[i]);
        }
    }
    void store(std::uint16_t* to) const {
        for (int i = 0; i < 8; ++i) vst1q_u16(to + 8 * i, s[i]);
    }
    static Sums load(const std::uint16_t* from) {
        Sums out;
        for (int i = 0; i < 8; ++i) out.s[i] = vld1q_u16(from + 8 * i);
        return out;
    }
    template <class F> std::uint64_t below_each(F limit) const {
        const uint16x8_t place = {1, 2, 4, 8, 16, 32, 64, 128};
        std::uint64_t rows = 0;
        for (int i = 0; i < 8; ++i)
            rows |= std::uint64_t{vaddvq_u16(vandq_u16(vcltq_u16(s[i], limit(i)), place))}
                    << (8 * i);
        return rows;
    }
    std::uint64_t below(std::uint32_t limit) const {
        const uint16x8_t top = vdupq_n_u16(static_cast<std::uint16_t>(limit));
        return below_each([top](int) { return top; });
    }
    std::uint64_t reaching(std::uint32_t limit) const { return ~below(limit); }
    std::uint64_t below(const Sums& limits) const {
        return below_each([&limits](int i) { return limits.s[i]; });
    }
};

struct Ints {
    static constexpr int kLanes = 4, kTileRows = 4, kNibbleRows = 4;
    using Mask = uint32x4_t;
    int32x4_t v;

    static Ints load(const std::int32_t* p) { return {vld1q_s32(p)}; }
    static Ints widened(const std::int16_t* p) { return {vmovl_s16(vld1_s16(p))}; }
    void store(std::int32_t* p) const { vst1q_s32(p, v); }
    static Ints splat(std::int32_t x) { return {vdupq_n_s32(x)}; }
    static Ints numbers() {
        const std::int32_t lanes[] = {0, 1, 2, 3};
        return load(lanes);
    }
    Ints add(Ints y) const { return {vaddq_s32(v, y.v)}; }
    Ints sub(Ints y) const { return {vsubq_s32(v, y.v)}; }
    Ints min(Ints y) const { return {vminq_s32(v, y.v)}; }
    Ints max(Ints y) const { return {vmaxq_s32(v, y.v)}; }
    Ints halved(int n) const { return {vshlq_s32(v, vdupq_n_s32(-n))}; }
    Ints add_products(Ints a, Ints b) const {
        const int16x8_t x = vreinterpretq_s16_s32(a.v), y = vreinterpretq_s16_s32(b.v);
        return add({vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y))});
    }
    Ints add_nibbles(const std::uint8_t* panel, Ints low, Ints high) const {
        const uint8x16_t x = vld1q_u8(panel);
        const int8x16_t a = vreinterpretq_s8_u8(vandq_u8(x, vdupq_n_u8(15))),
                        b = vreinterpretq_s8_u8(vshrq_n_u8(x, 4)), p = vreinterpretq_s8_s32(low.v),
                        q = vreinterpretq_s8_s32(high.v);
        const int16x8_t first =
            vmlal_s8(vmull_s8(vget_low_s8(a), vget_low_s8(p)), vget_low_s8(b), vget_low_s8(q));
        const int16x8_t second = vmlal_high_s8(vmull_high_s8(a, p), b, q);
        return add({vpaddq_s32(vpaddlq_s16(first), vpaddlq_s16(second))});
    }
    Ints times(Ints y) const { return {vmulq_s32(v, y.v)}; }
    Ints both(Ints y) const { return {vandq_s32(v, y.v)}; }
    void narrowed(std::int16_t* to) const { vst1_s16(to, vmovn_s32(v)); }
    static Mask less(Ints a, Ints b) { return vcltq_s32(a.v, b.v); }
    static Mask equal(Ints a, Ints b) { return vceqq_s32(a.v, b.v); }
    static Ints select(Mask mask, Ints a, Ints b) { return {vbslq_s32(mask, a.v, b.v)}; }
    std::int32_t least() const { return vminvq_s32(v); }
};

struct Neon {
    static constexpr int kHammingTile = 4, kTableTile = 2, kTableBlocks = 1;
    static constexpr bool kWide = false;
    static constexpr LookUpCost kCost{300, 100};
    using Vector = Bytes;
    using Total = Sums;
    using Lanes = Ints;

    static std::uint32_t pattern(std::uint8_t byte) { return byte * 0x01010101u; }
    static Bytes column(Bytes x) { return x; }
    static void add_differing(Bytes x, const std::uint32_t* pattern, Bytes& counts) {
        const uint8x16_t query = vreinterpretq_u8_u32(vdupq_n_u32(*pattern));
        counts = counts.add(Bytes::each([&](int i) { return vcntq_u8(veorq_u8(x.v[i], query)); }));
    }

    static Nibbles nibbles(Bytes x) {
        return {Bytes::each([&](int i) { return vshrq_n_u8(x.v[i], 4); }), x & Bytes::splat(15)};
    }
    static Bytes look_up(Nibbles x, const std::uint8_t* entries) {
        const uint8x16_t high = vld1q_u8(entries), low = vld1q_u8(entries + 16);
        return Bytes::each([&](int i) {
            return vaddq_u8(vqtbl1q_u8(high, x.high.v[i]), vqtbl1q_u8(low, x.low.v[i]));
        });
    }

    // vqtbx4q_u8 leaves a byte as it was where the index is past the 64 entries.
    static Bytes whole(Bytes x, const std::uint8_t* entries) {
        Bytes found = Bytes::splat(0);
        for (int q = 0; q < 4; ++q) {
            const uint8x16x4_t quarter = vld1q_u8_x4(entries + 64 * q);
            const uint8x16_t first = vdupq_n_u8(static_cast<std::uint8_t>(64 * q));
            for (int i = 0; i < 4; ++i)
                found.v[i] = vqtbx4q_u8(found.v[i], quarter, vsubq_u8(x.v[i], first));
        }
        return found;
    }
    template <int T, int B, int G>
    static void add_full(const Bytes (&columns)[B][G], const std::uint8_t* entries,
                         Sums (&sums)[B][T]) {
        for (int b = 0; b < B; ++b)
            for (int t = 0; t < T; ++t) {
                Bytes total = Bytes::splat(0);
                for (int g = 0; g < G; ++g)
                    total = total.add(whole(columns[b][g], entries + 256 * (T * g + t)));
                sums[b][t].add(total);
            }
    }
};

constexpr Kernels kKernels = kernels_of<Neon>("neon");

} // namespace

const Kernels* neon_kernels() { return &kKernels; }

} // namespace qama
#else
const qama::Kernels* qama::neon_kernels() { return nullptr; }
#endif
