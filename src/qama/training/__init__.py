"""Fitting a codec. Everything below needs PyTorch, and nothing above imports it."""
