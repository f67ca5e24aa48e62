"""Blobs in storage that several hosts share, by an fsspec URL.

No text of the library is passed on: it can hold the URL, and with it credentials.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any
from uuid import uuid4

from agent_kernel.errors import StoreError
from agent_kernel.runs.blobs import Blobs, checked, checked_name

URL_HINT = "Check AGENT_KERNEL_BLOBS_URL, the storage's credentials and that it can be reached."


async def open_shared_blobs(url: str) -> Blobs:
    """Raises StoreError when there is no such storage; some kinds connect here, others when first used."""
    return await asyncio.to_thread(_open, url)


def _open(url: str) -> Blobs:
    kind = url.partition("://")[0] if "://" in url else ""
    if not kind.replace("+", "").isalnum():
        raise StoreError(
            "blobs_url is not a URL.", hint="It looks like s3://bucket/folder or file:///folder."
        )
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        raise StoreError(
            "Shared blobs need the package fsspec.",
            hint='Install it: pip install "agent-kernel[fsspec]"',
        ) from error
    try:
        system, folder = url_to_fs(url)
    except ImportError:
        raise StoreError(
            f"Blobs in {kind} storage need another package.",
            hint=f"Install the one fsspec uses for {kind}://, for example s3fs for s3://.",
        ) from None
    except Exception as error:  # each storage has its own errors
        raise _failed(f"The {kind} storage of blobs cannot be opened", error) from None
    return SharedBlobs(system, str(folder), kind)


class SharedBlobs(Blobs):
    """Written once; whole or not at all where files can be moved or the storage puts objects whole."""

    def __init__(self, system: Any, folder: str, kind: str) -> None:
        self._system = system
        self._base = folder.rstrip("/")
        self._kind = kind

    def _place(self, name: str) -> str:
        return f"{self._base}/{checked_name(name)[:2]}/{name}"

    def _put(self, data: bytes) -> str:
        name = hashlib.sha256(data).hexdigest()
        place = self._place(name)
        try:
            if not self._holds(place, len(data)):
                self._write(place, data)
        except Exception as error:  # each storage has its own errors
            raise _failed(f"A blob cannot be written to the {self._kind} storage", error) from None
        return name

    def _holds(self, place: str, size: int) -> bool:
        try:
            return bool(self._system.info(place)["size"] == size)
        except FileNotFoundError:
            return False

    def _write(self, place: str, data: bytes) -> None:
        if not getattr(self._system, "local_file", False):
            self._system.pipe_file(place, data)
            return
        self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
        beside = f"{place}.{uuid4().hex}"
        self._system.pipe_file(beside, data)
        self._system.mv(beside, place)

    def _get(self, name: str) -> bytes:
        place = self._place(name)
        try:
            data: bytes = self._system.cat_file(place)
        except Exception as error:  # each storage has its own errors
            raise _failed(f"Blob {name} cannot be read from the {self._kind} storage", error) from None
        return checked(name, data, f"it from the {self._kind} storage")


def _failed(what: str, error: Exception) -> StoreError:
    reason = "it is not there" if isinstance(error, FileNotFoundError) else type(error).__name__
    return StoreError(f"{what} ({reason}).", hint=URL_HINT)
