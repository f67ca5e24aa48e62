"""Blobs, in a folder and in storage that is shared: named by what they hold, checked, silent about credentials."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from uuid import uuid4

import fsspec
import pytest

from agent_kernel.app import open_app, open_blobs
from agent_kernel.doctor import examine, render
from agent_kernel.errors import StoreError
from agent_kernel.runs.blobs import Blobs
from agent_kernel.settings import Settings


@pytest.fixture(params=["", "file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return {
        "": "",
        "file": f"file://{tmp_path}/with space/blobs",
        "memory": f"memory://{uuid4().hex}/blobs/",
    }[request.param]


@pytest.fixture
async def blobs(url: str, tmp_path: Path) -> Blobs:
    return await open_blobs(Settings(data_dir=str(tmp_path), blobs_url=url))


def files(url: str, tmp_path: Path) -> list[str]:
    """Whatever is stored below the folder of blobs."""
    system, folder = fsspec.url_to_fs(url or f"file://{tmp_path}/blobs")
    return [str(path) for path in system.find(folder)]


def spoil(url: str, path: str, data: bytes) -> None:
    fsspec.filesystem("memory" if url.startswith("memory") else "file").pipe_file(path, data)


async def test_blobs_are_named_by_what_they_hold_and_checked(blobs: Blobs, url: str, tmp_path: Path) -> None:
    name = await blobs.put(b"data")
    assert await blobs.put(b"data") == name
    assert await blobs.get(name) == b"data"
    (path,) = files(url, tmp_path)
    assert path.endswith(f"/blobs/{name[:2]}/{name}")
    spoil(url, path, b"evil")
    with pytest.raises(StoreError, match="damaged"):
        await blobs.get(name)
    for bad in ("../../etc/passwd", name.upper(), name + "\n", ""):
        with pytest.raises(StoreError, match="not the name"):
            await blobs.get(bad)


async def test_a_missing_blob_is_one_sentence(blobs: Blobs) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        await blobs.get("0" * 64)


async def test_the_same_blob_written_at_once_is_whole_and_leaves_nothing_else(
    blobs: Blobs, url: str, tmp_path: Path
) -> None:
    data = b"x" * 3_000_000
    (name,) = set(await asyncio.gather(*(blobs.put(data) for _ in range(20))))
    assert await blobs.get(name) == data
    assert len(files(url, tmp_path)) == 1
    empty = await blobs.put(b"")
    assert await blobs.get(empty) == b""


async def test_half_a_shared_blob_is_written_anew(tmp_path: Path) -> None:
    url = f"memory://{uuid4().hex}"
    blobs = await open_blobs(Settings(data_dir=str(tmp_path), blobs_url=url))
    name = await blobs.put(b"data")
    (path,) = files(url, tmp_path)
    spoil(url, path, b"da")
    await blobs.put(b"data")
    assert await blobs.get(name) == b"data"


async def test_two_apps_on_different_hosts_share_blobs(tmp_path: Path) -> None:
    shared = f"file://{tmp_path}/shared"
    one = Settings(data_dir=str(tmp_path / "one"), blobs_url=shared)
    two = Settings(data_dir=str(tmp_path / "two"), blobs_url=shared)
    async with await open_app(one) as first, await open_app(two) as second:
        assert await second.blobs.get(await first.blobs.put(b"seen by both")) == b"seen by both"


async def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    blobs = await open_blobs(Settings(data_dir=str(tmp_path), blobs_url=f"file://{tmp_path}/file"))
    with pytest.raises(StoreError, match="cannot be written to the file storage") as caught:
        await blobs.put(b"data")
    assert "AGENT_KERNEL_BLOBS_URL" in caught.value.hint


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("s3-no-url", "not a URL"),
        ("://x", "not a URL"),
        ("ftp://ada:s3cr3t@127.0.0.1:1/x", "cannot be opened"),
        ("nosuch://ada:s3cr3t@host/x", "cannot be opened"),
        ("sftp://ada:s3cr3t@127.0.0.1:1/x", "need another package"),
    ],
)
async def test_storage_that_cannot_be_used_is_one_sentence_without_credentials(
    url: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match=sentence) as caught:
        await open_app(Settings(data_dir=str(tmp_path), blobs_url=url))
    assert caught.value.hint
    assert "s3cr3t" not in f"{caught.value!s} {caught.value!r} {caught.value.__cause__!r}"
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("AGENT_KERNEL_BLOBS_URL", url)
    report = await examine()
    assert sentence in report["store"]["problem"]
    assert "s3cr3t" not in render(report) + json.dumps(report)
