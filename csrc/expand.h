// A bit pair (hi, lo) holds a level q from 0 to 3 in natural binary. The distance |q - q'| is
// the Hamming distance of the thermometer bits hi|lo, hi, hi&lo. This header writes those bits: a
// byte of four bit pairs needs twelve, so two bytes become three:
//
//     byte 0: hi|lo at the hi bits, hi&lo at the lo bits, of the first
//     byte 1: the same of the second
//     byte 2: hi of the first at the hi bits, hi of the second at the lo bits
//
// A last odd byte becomes two; a byte of bit pairs followed by plain bits keeps the latter in
// place. B is one byte (of a query) or a vector of bytes (of 64 rows): the two expand alike.
#pragma once

#include "scan.h"

namespace qama {

constexpr std::uint8_t kHigh = 0xAA, kLow = 0x55;

static inline int expanded_width(const Expansion& e) {
    return e.columns + (e.bit_pair_columns + 1) / 2 + (e.mixed ? 1 : 0);
}

template <class B> static inline B levels(B x) {
    const B hi = x & B::splat(kHigh), lo = (x & B::splat(kLow)).shl1();
    return (hi | lo) | (hi & lo).shr1();
}

// Reads e.columns values in_step apart and writes expanded_width(e) values out_step apart.
template <class B>
static inline void expand(const Expansion& e, const std::uint8_t* in, int in_step,
                          std::uint8_t* out, int out_step) {
    const B high = B::splat(kHigh);
    int c = 0;
    auto read = [&] { return B::load(in + in_step * c++); };
    auto write = [&](B value) { value.store(out), out += out_step; };
    while (c + 1 < e.bit_pair_columns) {
        const B a = read(), b = read();
        write(levels(a));
        write(levels(b));
        write((a & high) | (b & high).shr1());
    }
    if (c < e.bit_pair_columns) {
        const B a = read();
        write(levels(a));
        write(a & high);
    }
    if (e.mixed) {
        const std::uint8_t counted = c + 1 == e.columns ? e.last : 0xFF;
        const B a = read(), plain = B::splat(static_cast<std::uint8_t>(counted & ~e.mixed));
        write((levels(a) & B::splat(e.mixed)) | (a & plain));
        write(a & B::splat(static_cast<std::uint8_t>(kHigh & e.mixed)));
    }
    while (c < e.columns) {
        const bool end = c + 1 == e.columns;
        const B a = read();
        write(end ? a & B::splat(e.last) : a);
    }
}

} // namespace qama
