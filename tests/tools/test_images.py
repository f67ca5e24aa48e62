"""Which images the model is shown: whole ones, of a kind and size its API takes."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import pytest

from agent_kernel.tools.images import MOST_BYTES, image_block, media_type, pixels, problem


def png(width: int, height: int, padding: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * (height * (width + 1))))
    rest = chunk(b"tEXt", b"x" * padding) if padding else b""
    return b"\x89PNG\r\n\x1a\n" + head + rest + rows + chunk(b"IEND", b"")


def drawn(kind: str, **options: Any) -> bytes:
    """A 30 by 20 image as a real encoder writes it."""
    pillow = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    pillow.new("RGB", (30, 20), "red").save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "media"),
    [
        ("PNG", {}, "image/png"),
        ("JPEG", {}, "image/jpeg"),
        ("JPEG", {"progressive": True}, "image/jpeg"),
        ("GIF", {}, "image/gif"),
        ("WEBP", {}, "image/webp"),
        ("WEBP", {"lossless": True}, "image/webp"),
        ("WEBP", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}, "image/webp"),
    ],
)
def test_real_images_are_known_with_their_size(kind: str, options: dict[str, Any], media: str) -> None:
    data = drawn(kind, **options)
    assert (media_type(data), pixels(data), problem(data)) == (media, (30, 20), "")
    block = image_block(base64.b64encode(data).decode())
    assert block is not None and block["source"]["media_type"] == media


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_half_an_image_is_none(kind: str) -> None:
    data = drawn(kind)
    assert "damaged" in problem(data[: len(data) * 2 // 3])
    for end in range(len(data)):
        pixels(data[:end])  # whatever is cut off, nothing is read beyond the end


def test_only_the_first_bytes_are_right() -> None:
    for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP"):
        assert media_type(start) is not None
        assert "damaged" in problem(start + b"<script>")


def test_too_many_pixels_or_bytes_are_said() -> None:
    assert problem(png(8000, 1)) == ""
    assert "8,001 × 1 pixels" in problem(png(8001, 1))
    assert "0 × 5" in problem(png(0, 5))
    assert problem(png(5, 5, MOST_BYTES - 1000)) == ""
    assert "larger than 3,932,160 bytes" in problem(png(5, 5, MOST_BYTES))


def test_the_largest_one_fits_the_api_as_base64() -> None:
    assert len(base64.b64encode(b"x" * MOST_BYTES)) <= 5 * 1024 * 1024


@pytest.mark.parametrize("text", ["", "no base64!", "YWJj", "é"])
def test_what_is_no_image_gives_no_block(text: str) -> None:
    assert image_block(text) is None
