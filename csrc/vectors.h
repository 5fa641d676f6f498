// Vectors brought to length 1, in whole numbers of 2^-14.
#pragma once

#include <cstdint>

namespace qama {

// Fills `to` as numpy does: qama.kernels.vectors.whole(unit(rows)). Returns false where a row is so
// short or so long that its squares leave float32, and `to` is then undefined.
bool whole_units(const float* rows, std::int64_t count, std::int64_t dims, std::int16_t* to);

} // namespace qama
