"""Many machines: shards behind Ray Serve (`qama.distributed.serving`)."""
