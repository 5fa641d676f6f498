// The scan in plain C++: loops over 64 bytes, which compilers vectorise for the base target.
#include "scan_kernel.h"

namespace qama {
namespace {

struct Bytes {
    std::uint8_t b[kRows];

    template <class F> static Bytes each(F value) {
        Bytes out;
        for (int i = 0; i < kRows; ++i) out.b[i] = static_cast<std::uint8_t>(value(i));
        return out;
    }

    static Bytes load(const std::uint8_t* p) {
        return each([p](int i) { return p[i]; });
    }
    void store(std::uint8_t* p) const {
        for (int i = 0; i < kRows; ++i) p[i] = b[i];
    }
    static Bytes splat(std::uint8_t x) {
        return each([x](int) { return x; });
    }
    Bytes add(const Bytes& y) const {
        return each([&](int i) { return b[i] + y.b[i]; });
    }
    Bytes operator&(const Bytes& y) const {
        return each([&](int i) { return b[i] & y.b[i]; });
    }
    Bytes operator|(const Bytes& y) const {
        return each([&](int i) { return b[i] | y.b[i]; });
    }
    Bytes shl1() const {
        return each([&](int i) { return b[i] << 1; });
    }
    Bytes shr1() const {
        return each([&](int i) { return b[i] >> 1; });
    }
};

struct Sums {
    std::uint16_t s[kRows];

    void add(const Bytes& x) {
        for (int i = 0; i < kRows; ++i) s[i] = static_cast<std::uint16_t>(s[i] + x.b[i]);
    }
    void store(std::uint16_t* to) const {
        for (int i = 0; i < kRows; ++i) to[i] = s[i];
    }
    static Sums load(const std::uint16_t* from) {
        Sums out;
        for (int i = 0; i < kRows; ++i) out.s[i] = from[i];
        return out;
    }
    std::uint64_t reaching(std::uint32_t limit) const { return ~below(limit); }
    std::uint64_t below(const Sums& limits) const {
        std::uint64_t rows = 0;
        for (int i = 0; i < kRows; ++i) rows |= std::uint64_t{s[i] < limits.s[i]} << i;
        return rows;
    }
    std::uint64_t below(std::uint32_t limit) const {
        std::uint64_t rows = 0;
        for (int i = 0; i < kRows; ++i) rows |= std::uint64_t{s[i] < limit} << i;
        return rows;
    }
};

struct Ints {
    static constexpr int kLanes = 8, kTileRows = 4, kNibbleRows = 1;
    using Mask = Ints; // -1 or 0
    std::int32_t v[kLanes];

    template <class F> static Ints each(F value) {
        Ints out;
        for (int i = 0; i < kLanes; ++i) out.v[i] = static_cast<std::int32_t>(value(i));
        return out;
    }
    static std::uint32_t bits(std::int32_t x) { return static_cast<std::uint32_t>(x); }

    static Ints load(const std::int32_t* p) {
        return each([p](int i) { return p[i]; });
    }
    static Ints widened(const std::int16_t* p) {
        return each([p](int i) { return p[i]; });
    }
    void store(std::int32_t* p) const {
        for (int i = 0; i < kLanes; ++i) p[i] = v[i];
    }
    static Ints splat(std::int32_t x) {
        return each([x](int) { return x; });
    }
    static Ints numbers() {
        return each([](int i) { return i; });
    }
    Ints add(const Ints& y) const {
        return each([&](int i) { return bits(v[i]) + bits(y.v[i]); });
    }
    Ints sub(const Ints& y) const {
        return each([&](int i) { return bits(v[i]) - bits(y.v[i]); });
    }
    Ints min(const Ints& y) const {
        return each([&](int i) { return v[i] < y.v[i] ? v[i] : y.v[i]; });
    }
    Ints max(const Ints& y) const {
        return each([&](int i) { return v[i] > y.v[i] ? v[i] : y.v[i]; });
    }
    Ints halved(int n) const {
        return each([&](int i) { return v[i] >> n; });
    }
    Ints add_nibbles(const std::uint8_t* panel, const Ints& low, const Ints& high) const {
        return each([&](int i) {
            std::int8_t a[4], b[4];
            std::memcpy(a, low.v + i, sizeof a);
            std::memcpy(b, high.v + i, sizeof b);
            std::int32_t sum = v[i];
            for (int j = 0; j < 4; ++j)
                sum += a[j] * low_nibble(panel[4 * i + j]) + b[j] * high_nibble(panel[4 * i + j]);
            return sum;
        });
    }
    Ints times(const Ints& y) const {
        return each([&](int i) { return bits(v[i]) * bits(y.v[i]); });
    }
    Ints both(const Ints& y) const {
        return each([&](int i) { return v[i] & y.v[i]; });
    }
    void narrowed(std::int16_t* to) const {
        for (int i = 0; i < kLanes; ++i) to[i] = static_cast<std::int16_t>(v[i]);
    }
    Ints add_products(const Ints& a, const Ints& b) const {
        return each([&](int i) {
            std::int16_t x[2], y[2];
            std::memcpy(x, a.v + i, sizeof x);
            std::memcpy(y, b.v + i, sizeof y);
            return bits(v[i]) + bits(x[0] * y[0]) + bits(x[1] * y[1]);
        });
    }
    static Mask less(const Ints& a, const Ints& b) {
        return each([&](int i) { return -(a.v[i] < b.v[i]); });
    }
    static Mask equal(const Ints& a, const Ints& b) {
        return each([&](int i) { return -(a.v[i] == b.v[i]); });
    }
    static Ints select(const Mask& mask, const Ints& a, const Ints& b) {
        return each([&](int i) { return (a.v[i] & mask.v[i]) | (b.v[i] & ~mask.v[i]); });
    }
    std::int32_t least() const {
        std::int32_t found = v[0];
        for (int i = 1; i < kLanes; ++i) found = v[i] < found ? v[i] : found;
        return found;
    }
};

struct Portable {
    static constexpr int kHammingTile = 1, kTableTile = 1, kTableBlocks = 1;
    static constexpr bool kWide = false;
    static constexpr LookUpCost kCost{400, 1500};
    using Vector = Bytes;
    using Total = Sums;
    using Lanes = Ints;

    static std::uint32_t pattern(std::uint8_t byte) { return byte * 0x01010101u; }
    static Bytes column(const Bytes& x) { return x; }
    static void add_differing(const Bytes& column, const std::uint32_t* pattern, Bytes& counts) {
        const std::uint8_t query = static_cast<std::uint8_t>(*pattern);
        counts = counts.add(Bytes::each([&](int i) {
            std::uint8_t x = column.b[i] ^ query;
            x = static_cast<std::uint8_t>(x - ((x >> 1) & 0x55));
            x = static_cast<std::uint8_t>((x & 0x33) + ((x >> 2) & 0x33));
            return (x + (x >> 4)) & 0x0F;
        }));
    }

    static Bytes nibbles(const Bytes& x) { return x; }
    static Bytes look_up(const Bytes& x, const std::uint8_t* entries) {
        const std::uint8_t* low = entries + 16;
        return Bytes::each([&](int i) { return entries[x.b[i] >> 4] + low[x.b[i] & 15]; });
    }
    template <int T, int B, int G>
    static void add_full(const Bytes (&columns)[B][G], const std::uint8_t* entries,
                         Sums (&sums)[B][T]) {
        for (int b = 0; b < B; ++b)
            for (int t = 0; t < T; ++t)
                for (int g = 0; g < G; ++g) {
                    const std::uint8_t* table = entries + 256 * (T * g + t);
                    sums[b][t].add(Bytes::each([&](int i) { return table[columns[b][g].b[i]]; }));
                }
    }
};

constexpr Kernels kKernels = kernels_of<Portable>("portable");

} // namespace

const Kernels* portable_kernels() { return &kKernels; }

} // namespace qama
