"""Tools for notebooks: read one, change its cells, and see what the person's kernel holds."""
