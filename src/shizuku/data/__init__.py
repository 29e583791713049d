"""The town, cleaning, splitting, token shards and packing."""
