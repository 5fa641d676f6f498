"""From a vector to a code, in the order of the way: transform, levels, quantize, bits."""
