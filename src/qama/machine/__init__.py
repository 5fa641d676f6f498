"""What this machine can do: whether all is well, how fast it is, and what a collection takes."""
