"""The demo: docstrings of installed packages, searched by meaning."""
