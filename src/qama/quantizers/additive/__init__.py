"""Byte codes: an additive quantizer. NumPy and the kernels only."""
