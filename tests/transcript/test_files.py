"""A transcript left in the workspace, where the agent could have prepared anything."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from agent_kernel import transcript
from agent_kernel.errors import AgentKernelError
from tests.transcript.runs import analysis


def test_a_transcript_is_left_in_a_folder_of_its_own(tmp_path: Path) -> None:
    path = transcript.leave(analysis(), tmp_path, "r-1.ipynb")
    assert path == tmp_path / "agent-transcripts" / "r-1.ipynb"
    nbformat.validate(nbformat.read(path, as_version=4))
    with pytest.raises(AgentKernelError, match="File exists"):
        transcript.leave(analysis(), tmp_path, "r-1.ipynb")
    transcript.leave(analysis(), tmp_path, "r-2.ipynb")


def test_links_that_were_put_there_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "agent-transcripts").symlink_to(outside)
    with pytest.raises(AgentKernelError, match="cannot be left"):
        transcript.leave(analysis(), linked, "r.ipynb")
    filed = tmp_path / "filed" / "agent-transcripts"
    filed.mkdir(parents=True)
    (filed / "r.ipynb").symlink_to(outside / "target")
    with pytest.raises(AgentKernelError, match="cannot be left"):
        transcript.leave(analysis(), tmp_path / "filed", "r.ipynb")
    assert list(outside.iterdir()) == []
