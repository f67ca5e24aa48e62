"""A browser in the sandbox: one persistent Chromium a session, seen as text and as pictures."""
