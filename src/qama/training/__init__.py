"""Fitting a codec. Everything below needs PyTorch, and nothing above imports it."""

import os

# PyTorch's OpenMP threads wait for each other by spinning, for milliseconds unless told otherwise:
# beside another busy process a small fit took many times as long as alone. This counts only if
# PyTorch is first imported here; what the user has set stays.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
