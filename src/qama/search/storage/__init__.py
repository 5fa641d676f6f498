"""The files of an index: base, log and lock; how they are read, changed, verified and repaired."""
