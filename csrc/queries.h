// Queries of additive codes made ready: lookup tables of their products with codewords.
#pragma once

#include <cmath>
#include <cstdint>

#include "scan.h"

namespace qama {

// Rounds a query (dims) half to even to 8 bits, by the least power of two that leaves as many, and
// returns that.
int round_query(const std::int16_t* query, int dims, std::int8_t* to);

// Queries, and the codewords of 4-bit entries that they are multiplied with.
struct NibbleQueries {
    const std::int16_t* queries; // (count, dims)
    const std::int16_t* mean;    // (dims): its product with a query is what scores begin with
    int dims;
    NibbleProducts codewords; // without rows and products
};

// Fills `out`, whose terms are made here: the products of queries that are rounded to 8 bits.
void nibble_tables(const Kernels&, const NibbleQueries&, const RoundedTables& out,
                   std::int64_t count, int threads);

// Fills what RoundedTables says of `count` queries.
void round_tables(const Kernels&, const RoundedTables& t, std::int64_t count, int threads);

// The scale of tables that were rounded by 2^power.
inline float scale_of(std::int32_t power) { return std::ldexp(1.0f, power - kUnitExponent); }

} // namespace qama
