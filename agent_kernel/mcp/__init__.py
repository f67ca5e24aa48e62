"""Servers of the Model Context Protocol: their tools become tools of a session.

Everything a server sends is text of strangers. What it declares is tidied before the model sees it
(`declared.py`), what it answers is capped and marked (`results.py`), and it runs in the session's sandbox unless
the person says otherwise (`wire.py`).
"""
