"""Grid codes: thermometers of adapted dims. NumPy to use, PyTorch to train."""
