"""Where others expect vectors, codes or codecs: stores, models, benchmarks, the hub."""
