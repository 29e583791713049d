"""Tool calls: the formats in which models write them, one file each."""
