"""Sandboxes: where tools act."""
