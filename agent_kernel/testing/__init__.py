"""A wire-level Messages API on loopback: scripted for tests, and the offline demo model."""
