"""Images for the model: only whole ones of a kind and size its API takes. One it refuses would stay in the
history, and every later request of the session would fail."""

from __future__ import annotations

import base64
import binascii
import struct

from agent_kernel.events import Json

# The API allows 5 MiB of base64, which is four thirds of the bytes.
MOST_BYTES = (5 << 20) * 3 // 4
MOST_PIXELS = 8000


def image_block(encoded: str) -> Json | None:
    """The content block of a base64 image; None when a model could not see it."""
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None
    media = media_type(data)
    if media is None or problem(data):
        return None
    return {"type": "image", "source": {"type": "base64", "media_type": media, "data": encoded}}


def media_type(head: bytes) -> str | None:
    """By the first bytes, whatever the file's name says."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return None


def problem(data: bytes) -> str:
    """Why the model cannot see this image; empty when it can."""
    if len(data) > MOST_BYTES:
        return f"it is larger than {MOST_BYTES:,} bytes"
    size = pixels(data)
    if size is None:
        return "it is damaged or cut off"
    if not 0 < max(size) <= MOST_PIXELS or min(size) < 1:
        return f"it has {size[0]:,} × {size[1]:,} pixels; at most {MOST_PIXELS:,} a side can be shown"
    return ""


def pixels(data: bytes) -> tuple[int, int] | None:
    """Width and height; None when the image does not begin and end as its kind must."""
    match media_type(data):
        case "image/png" if data[12:16] == b"IHDR" and b"IEND" in data[-16:]:
            return _unpack(">II", data, 16)
        case "image/gif" if data.rstrip(b"\0").endswith(b";"):
            return _unpack("<HH", data, 6)
        case "image/jpeg" if b"\xff\xd9" in data[len(data) // 2 :]:
            return _jpeg_pixels(data)
        case "image/webp" if int.from_bytes(data[4:8], "little") + 8 <= len(data) + 1:
            return _webp_pixels(data)
    return None


def _unpack(form: str, data: bytes, offset: int) -> tuple[int, int] | None:
    if len(data) < offset + struct.calcsize(form):
        return None
    first, second = struct.unpack_from(form, data, offset)
    return int(first), int(second)


def _jpeg_pixels(data: bytes) -> tuple[int, int] | None:
    """From segment to segment until the one that starts the frame."""
    at = 2
    while at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            size = _unpack(">HH", data, at + 5)
            return (size[1], size[0]) if size else None
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _webp_pixels(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X" and len(data) >= 30:
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and len(data) >= 25:
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        size = _unpack("<HH", data, 26)
        return (size[0] & 0x3FFF, size[1] & 0x3FFF) if size else None
    return None
