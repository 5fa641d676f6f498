#include "blocks.h"

#include <algorithm>
#include <cstring>

#include "scan.h"

namespace qama {
namespace {

// Transposes 8 x 8 bytes, each word a row: swaps the off-diagonal quarters of 2 x 2, 4 x 4, 8 x 8.
void transpose(std::uint64_t (&w)[8]) {
    auto swap = [&w](int step, int shift, std::uint64_t mask) {
        for (int i = 0; i < 8; ++i) {
            if (i & step) continue;
            const std::uint64_t moved = ((w[i] >> shift) ^ w[i + step]) & mask;
            w[i] ^= moved << shift;
            w[i + step] ^= moved;
        }
    };
    swap(1, 8, 0x00FF00FF00FF00FFull);
    swap(2, 16, 0x0000FFFF0000FFFFull);
    swap(4, 32, 0x00000000FFFFFFFFull);
}

// The 8 x 8 bytes at `from`, transposed, at `to`; steps are the bytes between rows.
void transpose(const std::uint8_t* from, std::int64_t from_step, std::uint8_t* to,
               std::int64_t to_step) {
    std::uint64_t w[8];
    for (int i = 0; i < 8; ++i) std::memcpy(&w[i], from + i * from_step, 8);
    transpose(w);
    for (int i = 0; i < 8; ++i) std::memcpy(to + i * to_step, &w[i], 8);
}

// rows x columns bytes at `from` become columns x rows at `to`.
void transpose(const std::uint8_t* from, std::int64_t rows, std::int64_t columns,
               std::int64_t from_step, std::uint8_t* to, std::int64_t to_step) {
    const std::int64_t even_rows = rows / 8 * 8, even_columns = columns / 8 * 8;
    for (std::int64_t r = 0; r < even_rows; r += 8)
        for (std::int64_t c = 0; c < even_columns; c += 8)
            transpose(from + r * from_step + c, from_step, to + c * to_step + r, to_step);
    for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t c = r < even_rows ? even_columns : 0; c < columns; ++c)
            to[c * to_step + r] = from[r * from_step + c];
}

} // namespace

void to_blocks(const std::uint8_t* codes, std::int64_t rows, std::int64_t columns,
               std::int64_t step, std::uint8_t* blocks) {
    for (std::int64_t r = 0; r < rows; r += kRows, blocks += columns * kRows) {
        const std::int64_t real = std::min<std::int64_t>(kRows, rows - r);
        if (real < kRows) std::memset(blocks, 0, static_cast<std::size_t>(columns * kRows));
        transpose(codes + r * step, real, columns, step, blocks, kRows);
    }
}

void from_blocks(const std::uint8_t* blocks, std::int64_t rows, std::int64_t columns,
                 std::uint8_t* codes) {
    for (std::int64_t r = 0; r < rows; r += kRows, blocks += columns * kRows)
        transpose(blocks, columns, std::min<std::int64_t>(kRows, rows - r), kRows,
                  codes + r * columns, columns);
}

} // namespace qama
