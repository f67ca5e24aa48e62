"""Under which name somebody's sessions and runs are kept."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from jupyter_server.auth import IdentityProvider, PasswordIdentityProvider

from agent_kernel.settings import load_settings


def owner_of(user: Any, provider: Any) -> str:
    """A server with a token or a password has one person, whatever name Jupyter makes up for a browser."""
    if user is None or type(provider) in (IdentityProvider, PasswordIdentityProvider):
        return _server_owner()
    return str(user.username)


@cache
def _server_owner() -> str:
    """Asked once: settings are read by running Jupyter's configuration files."""
    return os.environ.get("JUPYTERHUB_USER") or load_settings().owner
