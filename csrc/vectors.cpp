#include "vectors.h"

#include <cmath>

namespace qama {
namespace {

constexpr float kShortest = 1e-15f, kLongest = 1e15f; // see qama.kernels.vectors.unit
constexpr float kUnits = 1 << 14;
constexpr float kWhole = 3 << 22; // what is added to it has no bits left for fractions

// The sum of squares in the order in which numpy adds: eight sums side by side of at most 128
// values, halves of more.
float sum_of_squares(const float* values, std::int64_t count) {
    constexpr int kSums = 8, kMost = 128;
    if (count > kMost) {
        const std::int64_t half = count / 2 / kSums * kSums;
        return sum_of_squares(values, half) + sum_of_squares(values + half, count - half);
    }
    float sum = 0;
    std::int64_t i = 0;
    if (count >= kSums) {
        float s[kSums] = {};
        for (; i + kSums <= count; i += kSums)
            for (int k = 0; k < kSums; ++k) s[k] += values[i + k] * values[i + k];
        sum = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
    }
    for (; i < count; ++i) sum += values[i] * values[i];
    return sum;
}

} // namespace

bool whole_units(const float* rows, std::int64_t count, std::int64_t dims, std::int16_t* to) {
    for (std::int64_t row = 0; row < count; ++row, rows += dims, to += dims) {
        const float length = std::sqrt(sum_of_squares(rows, dims));
        if (!(length > kShortest && length < kLongest)) return false;
        for (std::int64_t k = 0; k < dims; ++k) // of length 1: no clamp is needed
            to[k] = static_cast<std::int16_t>(rows[k] / length * kUnits + kWhole - kWhole);
    }
    return true;
}

} // namespace qama
