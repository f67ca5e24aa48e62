"""The routes: what they do, who may use them, and what they say to nonsense."""

from __future__ import annotations

import concurrent.futures
import json
from pathlib import Path

import httpx2
import nbformat
import pytest

from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from tests.server.conftest import PATIENCE, TOKEN, Jupyter, Start, eventually


def test_a_run_is_started_followed_and_read_over_http(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    shared_api.add([ToolUse("bash", {"command": "echo hi > made.txt; echo said"})], [Text("Done.")])
    run = jupyter.run("Make a file")
    assert jupyter.ended(run)["status"] == "completed"
    events = jupyter.events(run)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert jupyter.get(f"runs/{run}/events?after=1&limit=2").json() == {
        "head": len(events),
        "events": events[1:3],
    }
    assert "said" in json.dumps([event for event in events if event["type"] == "tool_result"])
    assert (jupyter.folder / "made.txt").read_text() == "hi\n"
    assert jupyter.get("runs").json()["runs"][0]["id"] == run
    undone = jupyter.post(f"runs/{run}/undo").json()
    assert undone["paths"] == ["made.txt"]
    assert not (jupyter.folder / "made.txt").exists()


def test_a_transcript_is_a_download_in_three_formats(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    shared_api.add([Text("The <script>alert(1)</script> end.")])
    run = jupyter.run("Say it")
    jupyter.ended(run)
    notebook = jupyter.get(f"runs/{run}/transcript?format=ipynb")
    nbformat.validate(nbformat.reads(notebook.text, as_version=4))
    for kind in ("html", "md"):
        file = jupyter.get(f"runs/{run}/transcript?format={kind}")
        assert file.headers["content-disposition"] == f'attachment; filename="{run}.{kind}"'
        assert file.headers["content-type"] == "application/octet-stream"
    assert "<script>alert" not in jupyter.get(f"runs/{run}/transcript?format=html").text
    assert jupyter.get(f"runs/{run}/transcript?format=exe").status_code == 400


def test_the_defaults_say_what_a_run_gets_and_which_folder_is_shown(jupyter: Jupyter) -> None:
    assert jupyter.get("defaults").json() == {
        "model": "scripted",
        "permission": "accept-edits",
        "ready": True,
        "root": str(jupyter.folder.resolve()),
    }


def test_a_running_run_hears_pauses_and_stops(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    shared_api.add([Text("So "), Stall()])
    run = jupyter.run("Think")
    jupyter.until(run, lambda event: event.get("reason") == "thinking")
    assert jupyter.post(f"runs/{run}/messages", {"text": "Faster!"}).status_code == 202
    assert jupyter.post(f"runs/{run}/pause").status_code == 202
    assert jupyter.post(f"runs/{run}/resume").status_code == 200
    assert jupyter.post(f"runs/{run}/take-over").status_code == 202
    assert jupyter.until(run, lambda event: event["type"] == "handover")["to"] == "person"
    assert jupyter.post(f"runs/{run}/hand-back").status_code == 202
    assert jupyter.post(f"runs/{run}/cancel").status_code == 202
    assert jupyter.ended(run)["status"] == "cancelled"
    late = jupyter.post(f"runs/{run}/messages", {"text": "Hello?"})
    assert late.status_code == 409
    assert late.json()["error"]["type"] == "RunError"


def test_an_approval_is_answered(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    shared_api.add([ToolUse("bash", {"command": "touch approved"}, id="a/b c")], [Text("Thanks.")])
    run = jupyter.run("Ask me", options={"permission": "ask"})
    asked = jupyter.until(run, lambda event: event["type"] == "approval_request")
    assert jupyter.post(f"runs/{run}/approvals/nothing", {"decision": "allow"}).status_code == 409
    path = f"runs/{run}/approvals/{asked['id'].replace('/', '%2F').replace(' ', '%20')}"
    assert jupyter.post(path, {"decision": "perhaps"}).status_code == 400
    assert jupyter.post(path, {"decision": "allow"}).status_code == 202
    assert jupyter.ended(run)["status"] == "completed"
    assert (jupyter.folder / "approved").exists()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "Invalid JSON"),
        ("[]", "should be an object"),
        ("null", "should be an object"),
        ("{}", "session: Field required"),
        ('{"session": "s", "prompt": ""}', "prompt: "),
        ('{"session": "s", "prompt": "x", "colour": "red"}', "colour: Extra inputs"),
        ('{"session": "s", "prompt": "x", "options": {"permission": "all"}}', "options.permission: "),
        ('{"session": "s", "prompt": "x", "options": {"api_key": "k"}}', "options.api_key: Extra inputs"),
        ('{"session": "s", "prompt": "x", "options": {"budget": NaN}}', "finite number"),
        ("\udcff".encode("utf-8", "surrogateescape"), "Invalid JSON"),
    ],
)
def test_a_body_that_says_nonsense_is_told_so(jupyter: Jupyter, body: str | bytes, said: str) -> None:
    response = jupyter.request("POST", "runs", content=body)
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["type"] == "BadRequest"
    assert said in error["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("runs/r-nothing", 404),
        ("runs/r-nothing/events", 404),
        ("runs?limit=ten", 400),
        ("runs?limit=99999999999999999999", 400),
        ("sessions?before=9223372036854775808", 400),
        (f"runs?before={'0' * 5_000}", 400),
        (f"trust?workspace={'a' * 300}", 400),
        ("trust?workspace=a%00b", 400),
        ("stream", 400),
        ("stream?run=../../etc", 400),
        ("stream?run=r-nothing", 404),
        ("sessions/s-nothing", 404),
        ("runs/%2e%2e%2fsecret", 404),
        ("runs/%25", 404),
    ],
)
def test_a_path_that_leads_nowhere_is_told_so(jupyter: Jupyter, path: str, status: int) -> None:
    response = jupyter.get(path)
    assert response.status_code == status, response.text
    assert response.json()["error"]["message"]


def test_nobody_gets_in_without_a_token_or_with_a_wrong_one(jupyter: Jupyter) -> None:
    for token in ("", "wrong"):
        for method, path in (("GET", "runs"), ("POST", "runs"), ("GET", "stream?run=x"), ("GET", "health")):
            response = jupyter.request(method, path, token=token)
            assert response.status_code == 403, (method, path, response.text)
    for header in ("", "x", "x:y", ":", "x" * 10_000):
        response = jupyter.get("runs", token="", headers={"X-Agent-Kernel": header})
        assert response.status_code == 403


def test_a_page_of_another_site_cannot_act_with_a_persons_cookie(jupyter: Jupyter) -> None:
    with httpx2.Client(trust_env=False, follow_redirects=True, timeout=PATIENCE) as browser:
        browser.get(f"{jupyter.url}/login?token={TOKEN}")
        browser.get(f"{jupyter.url}/tree?token={TOKEN}")
        assert browser.get(f"{jupyter.url}/api/agent/runs").status_code == 200, "the cookie is good"
        for headers in ({}, {"X-Agent-Kernel": "x:y"}, {"X-XSRFToken": "wrong"}):
            refused = browser.post(f"{jupyter.url}/api/agent/runs", json={}, headers=headers)
            assert refused.status_code == 403, refused.text
        xsrf = browser.cookies["_xsrf"]
        heard = browser.post(f"{jupyter.url}/api/agent/runs", json={}, headers={"X-XSRFToken": xsrf})
        assert heard.status_code == 400, "now the body is looked at"


def test_too_much_and_too_often_is_refused_and_does_no_harm(jupyter: Jupyter) -> None:
    assert jupyter.request("POST", "runs", content=b"x" * (50 << 20)).status_code == 413

    def ask(_: int) -> int:
        return jupyter.get("health").status_code

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(1000)))
    assert set(answers) <= {200, 429}
    assert answers.count(200) >= 100
    if 429 in answers:
        assert jupyter.get(f"{jupyter.url}/api/status").status_code == 200


def test_a_session_is_forgotten_with_all_its_runs(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    shared_api.add([ToolUse("bash", {"command": "echo kept > kept.txt"})], [Text("Done.")])
    session = jupyter.session("to forget")
    run = jupyter.run("Go", session)
    jupyter.ended(run)
    shared_api.add([Stall(), Text("Never.")])
    second = jupyter.run("Longer", session)
    assert session in [row["id"] for row in jupyter.get("sessions").json()["sessions"]]
    assert jupyter.request("DELETE", f"sessions/{session}").status_code == 409, "one is being worked on"
    jupyter.post(f"runs/{second}/cancel")
    jupyter.ended(second)
    # Its activation still tidies up.
    eventually(lambda: jupyter.request("DELETE", f"sessions/{session}").status_code == 200)
    assert jupyter.get(f"sessions/{session}").status_code == 404
    assert jupyter.get(f"runs/{run}").status_code == 404
    assert jupyter.get(f"runs/{run}/events").status_code == 404
    assert not (jupyter.home / "agent-kernel" / "sandboxes" / session).exists()
    assert (jupyter.folder / "kept.txt").exists()


def test_what_was_used_is_summed_by_day_and_model(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    def used() -> dict[str, int]:
        days = jupyter.get("usage?days=2").json()["days"]
        return {name: sum(day["used"][name] for day in days) for name in ("turns", "output_tokens")}

    before = used()
    shared_api.add([Text("Counted")])
    run = jupyter.ended(jupyter.run("Count me"))
    assert run["used"]["turns"] == 1
    assert used()["turns"] == before["turns"] + 1
    assert used()["output_tokens"] == before["output_tokens"] + run["used"]["output_tokens"]
    assert jupyter.get("usage?days=all").status_code == 400


def test_the_openapi_document_names_every_route(jupyter: Jupyter) -> None:
    document = jupyter.get("openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert "/api/agent/runs/{run}/approvals/{request}" in document["paths"]
    assert document["paths"]["/api/agent/runs"]["post"]["requestBody"]
    assert document["components"]["schemas"]["NewRun"]["additionalProperties"] is False


def test_a_conversation_is_compacted_and_cleared_between_its_runs(
    jupyter: Jupyter, shared_api: ScriptedMessages
) -> None:
    session = jupyter.session("long")
    assert jupyter.post(f"sessions/{session}/clear").status_code == 409, "nothing was said yet"
    shared_api.add([Text("The answer is 41.")], [Text("SUMMARY: 41.")], [Text("Still 41.")], [Text("What?")])
    first = jupyter.run("How many?", session)
    jupyter.ended(first)
    event = jupyter.post(f"sessions/{session}/compact").json()
    assert (event["type"], event["summary"], event["up_to_run"]) == ("compaction", "SUMMARY: 41.", first)
    assert jupyter.events(first)[-1]["seq"] == event["seq"], "it stands in the log"
    assert jupyter.post(f"sessions/{session}/compact").status_code == 409, "there is nothing more to say"
    second = jupyter.run("Sure?", session)
    jupyter.ended(second)
    before = jupyter.get(f"runs/{first}/ahead").json()
    assert before["earlier"] == 0
    assert min(before["system"], before["tools"], before["skills"]) > 100
    assert jupyter.get(f"runs/{second}/ahead").json()["earlier"] >= len("SUMMARY: 41.")
    said = json.dumps(shared_api.bodies[-1]["messages"])
    assert "SUMMARY: 41." in said
    assert "How many?" not in said
    assert jupyter.post(f"sessions/{session}/clear").json()["summary"] == ""
    jupyter.ended(jupyter.run("And now?", session))
    (only,) = shared_api.bodies[-1]["messages"]
    assert [block["text"] for block in only["content"]] == ["And now?"]
    assert jupyter.post("sessions/s-of-nobody/clear").status_code == 404


def test_a_person_sets_up_their_model_and_never_reads_the_key_again(
    tmp_path: Path, start: Start, shared_api: ScriptedMessages
) -> None:
    environ = dict.fromkeys(("AGENT_KERNEL_MODEL", "ANTHROPIC_BASE_URL", "ANTHROPIC_API_KEY"), "")
    environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    with start(tmp_path / "home", tmp_path / "work", shared_api, environ=environ) as jupyter:
        assert jupyter.get("model").json()["by"] == ""
        assert jupyter.ended(jupyter.run("Before"))["reason"] == "not_configured"
        setup = {"model": "mine", "base_url": shared_api.url, "api_key": "sk-of-the-person-123456"}
        shared_api.add([Text("ok")], [Text("Reached.")])
        assert jupyter.post("model/test", setup).json()["ok"]
        kept = jupyter.request("PUT", "model", json=setup)
        assert kept.json() == {
            "by": "you",
            "model": "mine",
            "base_url": shared_api.url,
            "key": True,
            "demo": False,
        }
        assert "sk-of" not in jupyter.get("model").text
        assert jupyter.ended(jupyter.run("After"))["status"] == "completed"
        assert jupyter.request("PUT", "model", json={"api_key": "with space"}).status_code == 400
        assert jupyter.request("PUT", "model", json={"base_url": "file:///etc"}).status_code == 400
        assert jupyter.request("DELETE", "model").json()["by"] == ""


def test_skills_are_listed_and_switched_in_a_session(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    folder = jupyter.folder / ".agents/skills/local"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text("---\nname: local\ndescription: Written by anybody.\n---\nObey.")
    session = jupyter.session("skilled")

    def states(query: str) -> dict[str, str]:
        return {skill["name"]: skill["state"] for skill in jupyter.get(f"skills{query}").json()["skills"]}

    assert "local" not in states("")
    assert states(f"?session={session}")["local"] == "untrusted"
    where = f"sessions/{session}/skills/data-analysis"
    assert jupyter.request("PUT", where, json={"on": False}).json()["state"] == "off"
    assert states(f"?session={session}")["data-analysis"] == "off"
    assert states("")["data-analysis"] == "on"
    shared_api.add([Text("Fine.")])
    jupyter.ended(jupyter.run("Hi", session))
    assert "data-analysis" not in json.dumps(shared_api.bodies[-1]["system"])
    missing = jupyter.request("PUT", f"sessions/{session}/skills/gone", json={"on": True})
    assert (missing.status_code, missing.json()["error"]["type"]) == (404, "SkillError")
    assert jupyter.request("PUT", where, json={"on": "perhaps"}).status_code == 400
    assert jupyter.get("skills?session=s-of-nobody").status_code == 404

    (asked,) = jupyter.get(f"trust?workspace={jupyter.folder}").json()["asking"]
    assert (asked["kind"], asked["name"], asked["place"]) == ("skill", "local", ".agents/skills/local")
    assert [file["path"] for file in asked["files"]] == ["SKILL.md"]
    assert asked["files"][0]["text"].endswith("Obey.")
    (folder / "more.py").write_text("print()")
    yes = {"workspace": str(jupyter.folder), "kind": "skill", "name": "local"}
    changed = jupyter.post("trust", {**yes, "hash": asked["hash"]})
    assert (changed.status_code, "has changed" in changed.text) == (400, True)
    assert states(f"?session={session}")["local"] == "untrusted"
    (asked,) = jupyter.get(f"trust?workspace={jupyter.folder}").json()["asking"]
    assert jupyter.post("trust", {**yes, "hash": asked["hash"]}).json() == {"asking": []}
    assert states(f"?session={session}")["local"] == "on"
    agents = jupyter.folder / ".agents/agents"
    agents.mkdir()
    (agents / "reader.yaml").write_text("description: Only reads.\nprompt: Read.\n")
    (asked,) = jupyter.get(f"trust?workspace={jupyter.folder}").json()["asking"]
    assert (asked["kind"], asked["name"], asked["about"]) == ("agent", "reader", "Only reads.")
    said = {"workspace": str(jupyter.folder), **{key: asked[key] for key in ("kind", "name", "hash")}}
    assert jupyter.post("trust", said).json() == {"asking": []}
    servers = jupyter.folder / ".mcp.json"
    servers.write_text('{"mcpServers": {"theirs": {"command": "true"}}}')
    (asked,) = jupyter.get(f"trust?workspace={jupyter.folder}").json()["asking"]
    assert (asked["kind"], "theirs" in asked["files"][0]["text"]) == ("mcp", True)
    said = {"workspace": str(jupyter.folder), **{key: asked[key] for key in ("kind", "name", "hash")}}
    assert jupyter.post("trust", said).json() == {"asking": []}
    servers.unlink()


def metrics(jupyter: Jupyter) -> dict[str, float]:
    text = jupyter.get(f"{jupyter.url}/metrics").text
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("agent_kernel_")]
    return {name: float(value) for name, _, value in lines}


def test_runs_tokens_and_tools_are_counted(jupyter: Jupyter, shared_api: ScriptedMessages) -> None:
    shared_api.add([ToolUse("read_file", {"path": "none"}), ToolUse("todo", {"items": []})], [Text("Done.")])
    run = jupyter.ended(jupyter.run("a secret word"))
    eventually(lambda: metrics(jupyter).get("agent_kernel_runs_working") == 0)
    found = metrics(jupyter)
    assert found['agent_kernel_runs_total{model="scripted",status="completed"}'] >= 1
    assert found['agent_kernel_run_seconds_count{status="completed"}'] >= 1
    assert found['agent_kernel_tool_calls_total{outcome="error",tool="read_file"}'] >= 1
    assert found['agent_kernel_request_seconds_count{model="scripted"}'] >= 2
    assert found['agent_kernel_tokens_total{kind="output",model="scripted"}'] >= run["used"]["output_tokens"]
    assert found['agent_kernel_runs_unfinished{status="queued"}'] == 0
    assert "secret" not in jupyter.get(f"{jupyter.url}/metrics").text

    rows = jupyter.get("usage?days=1").json()["runs"]
    (row,) = [row for row in rows if row["status"] == "completed"]
    assert (row["model"], row["agent"]) == ("scripted", "") and row["runs"] >= 1
    assert row["used"]["turns"] >= 2 and row["used"]["output_tokens"] >= run["used"]["output_tokens"]
    assert row["seconds"] > 0
