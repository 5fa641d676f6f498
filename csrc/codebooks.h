// Where the codewords of an additive code lie: the one home of that arithmetic in C++. See
// src/qama/kernels/layout.py, which says the same in Python.
//
// A code of an additive quantizer chooses one codeword of each codebook. Each of its leading bytes,
// the full ones, is a choice among 256 codewords. Each later byte makes two choices among 16, one
// by its high nibble and one by its low nibble. Whatever has an entry per codeword (the codewords
// themselves, the lookup table of a query) holds the entries in this order: 256 for each full byte,
// then, for each later byte, 16 for its high nibble and 16 for its low nibble.
#pragma once

#include <cstdint>

namespace qama {

constexpr int kByteSize = 256;  // codewords that a full byte chooses from
constexpr int kNibbleSize = 16; // codewords that a nibble chooses from

static constexpr int high_nibble(unsigned byte) { return static_cast<int>(byte >> 4); }
static constexpr int low_nibble(unsigned byte) { return static_cast<int>(byte & 15); }
static constexpr std::uint8_t joined_nibbles(unsigned high, unsigned low) {
    return static_cast<std::uint8_t>(high << 4 | low);
}

// The codewords that one byte chooses from.
static constexpr int byte_codewords(bool full) { return full ? kByteSize : 2 * kNibbleSize; }

struct CodebookLayout {
    int bytes; // of a code
    int full;  // leading bytes that choose one codeword of 256
};

// The number of the first codeword of a byte; of the byte past the last one, how many there are.
static inline std::int64_t first_codeword(CodebookLayout layout, int byte) {
    const std::int64_t full = byte < layout.full ? byte : layout.full;
    return byte_codewords(true) * full + byte_codewords(false) * (byte - full);
}

static inline std::int64_t codeword_count(CodebookLayout layout) {
    return first_codeword(layout, layout.bytes);
}

static inline int codebook_count(CodebookLayout layout) { return 2 * layout.bytes - layout.full; }

// One codebook: the bits of a code that choose from it, and the number of its first codeword.
struct Codebook {
    int byte, shift, mask;
    std::int64_t first;
};

static inline Codebook codebook_at(CodebookLayout layout, int number) {
    if (number < layout.full) return {number, 0, kByteSize - 1, first_codeword(layout, number)};
    const int nibble = number - layout.full, byte = layout.full + nibble / 2;
    const std::int64_t first = first_codeword(layout, byte);
    if (nibble % 2 == 0) return {byte, 4, kNibbleSize - 1, first};
    return {byte, 0, kNibbleSize - 1, first + kNibbleSize};
}

static inline int chosen(const Codebook& book, const std::uint8_t* code) {
    return code[book.byte] >> book.shift & book.mask;
}

// The entries of a high nibble are split when each is the sum of one entry for its two top bits and
// one for its two low bits: table[4 i + j] = table[4 i] + table[j] - table[0].
constexpr int kSplitSize = 4;

// The terms of which split codebooks are made: 256 for each full byte, then, for each later byte,
// four and four for its high nibble and 16 for its low nibble.
constexpr int kByteTerms = 2 * kSplitSize + kNibbleSize; // of a later byte

static inline std::int64_t term_count(CodebookLayout layout) {
    return std::int64_t{kByteSize} * layout.full +
           std::int64_t{kByteTerms} * (layout.bytes - layout.full);
}

static inline bool is_split(const std::int16_t* table) {
    for (int i = kSplitSize; i < kNibbleSize; i += kSplitSize)
        for (int j = 1; j < kSplitSize; ++j)
            if (table[i + j] + table[0] != table[i] + table[j]) return false;
    return true;
}

} // namespace qama
