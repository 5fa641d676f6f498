"""Where others expect vectors: stores of frameworks over `qama.Documents`, and MTEB."""
