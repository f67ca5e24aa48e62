"""What is claimed, measured: every figure beside a named reference of the same run. `make bench`."""
