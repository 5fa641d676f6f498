// What the rows that chose a word add up to.
#pragma once

#include <cstdint>

namespace qama {

struct Chosen {
    const std::uint8_t* codes; // (count, bytes)
    const std::int16_t* rows;  // (count, dims)
    std::int64_t count;
    int bytes, dims, section_words; // 256: a word a byte; 16: two
};

// sums_out: (sections, section_words, dims), zero at first.
void word_sums(const Chosen&, int threads, std::int64_t* sums_out);

} // namespace qama
