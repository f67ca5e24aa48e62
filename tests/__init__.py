# Tests share fixtures here.
