"""Skills over REST: a person's own are begun, written, uploaded and removed; nobody else's are."""

from __future__ import annotations

import io
import zipfile

from tests.server.conftest import Jupyter

TEXT = "---\nname: tea\ndescription: Makes tea. Use when somebody is tired.\n---\n# Tea\n\nBoil water.\n"


def zipped(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def test_a_skill_of_ones_own_is_begun_written_and_removed(jupyter: Jupyter) -> None:
    made = jupyter.post("skills", {"name": "tea", "description": "Makes tea."})
    assert made.status_code == 201, made.text
    assert made.json()["text"].startswith('---\nname: tea\ndescription: "Makes tea."')
    assert (jupyter.home / ".agents/skills/tea/SKILL.md").exists()
    again = jupyter.post("skills", {"name": "tea"})
    assert again.status_code == 400 and "there already" in again.json()["error"]["message"]
    assert "Say tea-time." in jupyter.post("skills", {"name": "Tea Time"}).json()["error"]["hint"]
    written = jupyter.request("PUT", "skills/tea", json={"text": TEXT}).json()
    assert written["description"] == "Makes tea. Use when somebody is tired."
    assert [file["path"] for file in written["files"]] == ["SKILL.md"]
    broken = jupyter.request("PUT", "skills/tea", json={"text": "no header"}).json()
    assert broken["problems"], "what is wrong with it is said, and it is kept all the same"
    assert jupyter.get("skills/tea").json()["text"] == "no header"
    assert jupyter.request("DELETE", "skills/tea").status_code == 200
    assert jupyter.get("skills/tea").status_code == 404
    for method, body in (("PUT", {"text": TEXT}), ("DELETE", None)):
        refused = jupyter.request(method, "skills/data-analysis", json=body)
        assert refused.status_code == 400 and "comes with agent-kernel" in refused.json()["error"]["message"]
    assert "# " in jupyter.get("skills/data-analysis").json()["text"]


def test_a_zip_is_installed_whole_or_not_at_all(jupyter: Jupyter) -> None:
    good = zipped({"tea/SKILL.md": TEXT, "tea/scripts/boil.py": "print(100)\n"})
    put = jupyter.request("POST", "skills/upload", content=good)
    assert put.status_code == 201, put.text
    assert [skill["name"] for skill in put.json()["skills"]] == ["tea"]
    assert jupyter.request("POST", "skills/upload", content=good).status_code == 400
    assert jupyter.request("POST", "skills/upload?replace=1", content=good).status_code == 201
    for wrong in (zipped({"../tea/SKILL.md": TEXT}), b"no zip", b""):
        refused = jupyter.request("POST", "skills/upload", content=wrong)
        assert refused.status_code == 400, refused.text
    assert jupyter.request("DELETE", "skills/tea").status_code == 200


def test_servers_are_added_from_templates_or_as_a_file_says_and_removed(jupyter: Jupyter) -> None:
    session = jupyter.session()
    templates = jupyter.get("mcp/templates").json()["templates"]
    assert "github" in [template["name"] for template in templates]
    added = jupyter.post("mcp", {"session": session, "name": "files", "template": "filesystem"})
    assert added.status_code == 201, added.text
    said = {"url": "https://example.org/mcp", "headers": {"Authorization": "Bearer ${BOARD_TOKEN}"}}
    both = jupyter.post("mcp", {"session": session, "name": "board", "said": said}).json()
    assert [(server["name"], server["kind"]) for server in both["servers"]] == [
        ("board", "http"),
        ("files", "sandbox"),
    ]
    for name, wrong in (
        ("files", {"template": "filesystem"}),
        ("x", {"template": "nope"}),
        ("y", {"said": {"url": 3}}),
    ):
        refused = jupyter.post("mcp", {"session": session, "name": name, **wrong})
        assert refused.status_code == 400, refused.text
    for name in ("files", "board"):
        left = jupyter.request("DELETE", f"mcp/servers/{name}?session={session}").json()
    assert left["servers"] == []
    assert jupyter.request("DELETE", f"mcp/servers/files?session={session}").status_code == 400
