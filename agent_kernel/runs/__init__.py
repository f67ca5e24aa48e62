"""Where runs live: the store, the bus and the log that joins them."""
