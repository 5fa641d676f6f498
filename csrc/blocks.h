// From rows of bytes to blocks of 64 rows, one byte column at a time, and back.
#pragma once

#include <cstdint>

namespace qama {

// codes: (rows, columns), `step` bytes from one row to the next. blocks: (ceil(rows / 64), columns,
// 64); rows past the last become zero.
void to_blocks(const std::uint8_t* codes, std::int64_t rows, std::int64_t columns,
               std::int64_t step, std::uint8_t* blocks);

void from_blocks(const std::uint8_t* blocks, std::int64_t rows, std::int64_t columns,
                 std::uint8_t* codes);

} // namespace qama
