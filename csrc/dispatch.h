// Which kernels this CPU can run, best first.
#pragma once

#include <string>
#include <vector>

#include "scan.h"

namespace qama {

std::vector<const Kernels*> available_kernels();

// Throws std::invalid_argument for a name that is not among the available ones.
const Kernels& kernels_named(const std::string& name);

} // namespace qama
