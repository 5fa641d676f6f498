"""From a vector to a code and back: the additive quantizer, the thermometer quantizer."""
