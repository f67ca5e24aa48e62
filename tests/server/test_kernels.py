"""Cells of kernels the server started: runs live in the server, and the kernel stays light."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import json
import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from jupyter_client.blocking import BlockingKernelClient

from agent_kernel.events import Message
from agent_kernel.runs.redact import MASK, Redactor
from agent_kernel.settings import KERNEL_VARIABLE, TOKEN_HEADER, TOKEN_VARIABLE
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Stall, Text, ToolUse
from jupyter_ext.kernels import Kernels
from tests.ports import free_port
from tests.server.conftest import TOKEN, Jupyter, Start, eventually, waits_for

READY = 120
"""Seconds for a kernel to come up on a machine that is busy with everything else."""


class Kernel:
    """A notebook's kernel: `run(code)` gives what the cell printed; it fails when the cell does."""

    def __init__(
        self, jupyter: Jupyter, notebook: str, token: str = TOKEN, runtime: Path | None = None
    ) -> None:
        self.jupyter = jupyter
        self.token = token
        self.runtime = runtime or jupyter.home / "runtime"
        body = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
        made = jupyter.post(f"{jupyter.url}/api/sessions", body, token=token)
        assert made.status_code == 201, made.text
        self.session, self.id = str(made.json()["id"]), str(made.json()["kernel"]["id"])
        self._connect()

    def _connect(self) -> None:
        """However often it seems dead: on a busy machine it misses heartbeats."""
        deadline = time.monotonic() + READY
        file = self.runtime / f"kernel-{self.id}.json"
        while True:
            self.client = BlockingKernelClient(connection_file=str(file))
            try:
                self.client.load_connection_file()
                self.client.start_channels()
                self.client.wait_for_ready(timeout=30)
                return
            except (RuntimeError, OSError, ValueError):  # its file, with other ports, may just be written
                self.client.stop_channels()
                if time.monotonic() > deadline:
                    raise

    def restart(self) -> None:
        self.client.stop_channels()
        self.jupyter.post(f"{self.jupyter.url}/api/kernels/{self.id}/restart")
        self._connect()

    def send(self, code: str) -> str:
        return str(self.client.execute(code))

    def begin(self, code: str) -> tuple[str, str]:
        """Send a cell that starts a run. The request, and the run: it may have ended already."""
        before = newest(self.jupyter)
        request = self.send(code)
        eventually(lambda: newest(self.jupyter) != before)
        return request, newest(self.jupyter)

    def run(self, code: str, seconds: float = READY) -> str:
        return self.result(self.send(code), seconds)

    def result(self, request: str, seconds: float = READY) -> str:
        deadline = time.monotonic() + seconds
        printed: str = ""
        while time.monotonic() < deadline:
            with contextlib.suppress(queue.Empty):
                message = self.client.get_iopub_msg(timeout=1)
                content = message["content"]
                if message["parent_header"].get("msg_id") != request:
                    continue
                if message["msg_type"] == "error":
                    raise AssertionError("\n".join(content["traceback"]))
                printed += str(content.get("text", "") or content.get("data", {}).get("text/plain", ""))
                if message["msg_type"] == "status" and content["execution_state"] == "idle":
                    return printed
        raise AssertionError(f"the cell has not ended: {printed}")

    def close(self) -> None:
        self.client.stop_channels()
        self.jupyter.request("DELETE", f"{self.jupyter.url}/api/sessions/{self.session}", token=self.token)


class Started(dict[str, str]):
    """Jupyter's kernel manager, as far as it is asked here: the kernels that live, each with its token."""

    def __init__(self, shown: Callable[[str], str]) -> None:
        self.shown = shown
        self.seen = ""

    async def start_kernel(self, *, kernel_id: str, env: dict[str, str]) -> str:
        token = env[TOKEN_VARIABLE]
        self.seen += self.shown(token)
        await asyncio.sleep(0)
        self[kernel_id] = token
        return kernel_id

    async def restart_kernel(self, kernel_id: str) -> None:
        self.seen += self.shown(self[kernel_id])

    async def shutdown_kernel(self, kernel_id: str) -> None:
        del self[kernel_id]


async def test_a_kernels_token_is_hidden_from_before_its_start_until_the_kernel_is_gone() -> None:
    redact, kernels = Redactor([]), Kernels()

    def shown(token: str) -> str:
        event = redact("r", Message(role="assistant", text=token))
        assert isinstance(event, Message)
        return event.text.replace(MASK, "")

    manager = Started(shown)
    server = SimpleNamespace(kernel_manager=manager, connection_url="http://here/", identity_provider=None)
    kernels.watch(server, lambda: redact.keep_only("kernels", kernels.tokens))
    await manager.start_kernel(kernel_id="oldest", env={})
    gone = await asyncio.gather(*(manager.start_kernel(kernel_id=f"k{n}", env={}) for n in range(15)))
    tokens = [manager[kernel_id] for kernel_id in gone]
    for kernel_id in gone:
        await manager.shutdown_kernel(kernel_id)
    for number in range(40):
        await manager.start_kernel(kernel_id=f"later{number}", env={})
    await manager.restart_kernel("oldest")
    assert manager.seen == "", "a token was not hidden when its kernel started"
    assert not any(shown(token) for token in manager.values())
    assert [shown(token) for token in tokens] == tokens, "what opens nothing any more is not looked for"


async def test_a_kernel_is_ending_until_the_last_of_what_ends_it_is_through() -> None:
    kernels, restarted = Kernels(), asyncio.Event()

    class Slow(Started):
        async def restart_kernel(self, kernel_id: str) -> None:
            await restarted.wait()

    manager = Slow(lambda token: "")
    server = SimpleNamespace(kernel_manager=manager, connection_url="http://here/", identity_provider=None)
    kernels.watch(server, lambda: None)
    await manager.start_kernel(kernel_id="k", env={})
    restarting = asyncio.create_task(manager.restart_kernel("k"))
    await asyncio.sleep(0)
    await manager.shutdown_kernel("k")
    assert "k" in kernels.ending, "the restart still goes on, and its interrupt is no person's"
    restarted.set()
    await restarting
    assert "k" not in kernels.ending


@pytest.fixture
def kernel(jupyter: Jupyter, request: pytest.FixtureRequest) -> Iterator[Kernel]:
    opened = Kernel(jupyter, f"{request.node.name[:30].strip('[]')}.ipynb")
    opened.run("%load_ext agent_kernel")
    yield opened
    opened.close()


def test_a_named_frame_goes_to_the_sandbox_and_the_run_becomes_a_clean_notebook(
    jupyter: Jupyter, kernel: Kernel, shared_api: ScriptedMessages
) -> None:
    total = "import pandas as pd\nprint(pd.read_parquet('/workspace/agent-data/sales.parquet').amount.sum())"
    shared_api.add(
        [ToolUse("notebook_export", {"name": "sales"})], [ToolUse("python", {"code": total})], [Text("Six.")]
    )
    kernel.run("import pandas as pd\nsales = pd.DataFrame({'amount': [1, 2, 3]})")
    kernel.run("run = %agent Total @sales")
    assert kernel.run("print(run.to_notebook('clean.ipynb').name)") == "clean.ipynb\n"
    made = json.loads((jupyter.folder / "clean.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in made["cells"] if cell["cell_type"] == "code"]
    assert code == ["import pandas as pd", "print(pd.read_parquet('agent-data/sales.parquet').amount.sum())"]
    assert "6" in "".join(made["cells"][2]["outputs"][0]["text"])


def test_a_cells_run_lives_in_the_server_and_the_kernel_stays_light(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    shared_api.add([ToolUse("bash", {"command": "echo from the agent > light.txt"})], [Text("All good.")])
    kernel.run("run = get_ipython().run_cell_magic('agent', '', 'Do it')")
    assert kernel.run("print(run.status, run.text)") == "completed All good.\n"
    assert (jupyter.folder / "light.txt").exists()
    run = kernel.run("print(run.id)").strip()
    assert jupyter.get(f"runs/{run}").json()["status"] == "completed"
    loaded = kernel.run(
        "import sys; print([m for m in ('sqlalchemy', 'anthropic', 'alembic') if m in sys.modules])"
    )
    assert loaded == "[]\n"


def test_code_for_the_notebook_runs_in_the_kernel_that_asked_once(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    code = "counter = globals().get('counter', 0) + 1; print('secret', secret); counter"
    shared_api.add([ToolUse("notebook_python", {"code": code})], [Text("Seen.")])
    kernel.run("secret = 'from the kernel'")
    kernel.run("run = get_ipython().run_cell_magic('agent', '--permission bypass', 'Look at my variables')")
    run = kernel.run("print(run.id)").strip()
    assert kernel.run("print(counter)") == "1\n"
    results = [event for event in jupyter.events(run) if event["type"] == "tool_result"]
    assert len(results) == 1
    assert "secret from the kernel" in json.dumps(results[0]["content"])
    starts = [event for event in jupyter.events(run) if event["type"] == "tool_start"]
    assert starts[0]["executor"].startswith(f"kernel/{kernel.id}/0@")


def test_variables_are_looked_at_in_the_kernel_that_asked_without_a_question(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    calls = [ToolUse("notebook_variables", {"names": ["secret"]}), ToolUse("list_files", {})]
    shared_api.add(calls, [Text("Seen.")])
    kernel.run("secret = 'from the kernel'")
    kernel.run("run = get_ipython().run_cell_magic('agent', '', 'What are my variables?')")
    run = kernel.run("print(run.id)").strip()
    events = jupyter.events(run)
    results = [event for event in events if event["type"] == "tool_result"]
    assert [result["is_error"] for result in results] == [False, False]
    assert results[0]["content"][0]["text"] == "secret: str, 15 characters"
    assert not [event for event in events if event["type"] in ("approval_request", "code_generation")]
    starts = [event["executor"] for event in events if event["type"] == "tool_start"]
    assert starts[0].startswith(f"kernel/{kernel.id}/0@")
    assert len(starts) == 2


def test_code_that_died_with_its_kernel_is_interrupted_and_never_run_again(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    code = "import os; open('ran.txt', 'a').write('x'); os.kill(os.getpid(), 9)"
    shared_api.add([ToolUse("notebook_python", {"code": code})], [Text("I see.")])
    _, run = kernel.begin("get_ipython().run_cell_magic('agent', '--permission bypass', 'Sleep')")
    assert jupyter.ended(run)["status"] == "completed"
    (result,) = [event for event in jupyter.events(run) if event["type"] == "tool_result"]
    assert result["is_error"]
    assert "Interrupted" in result["content"][0]["text"]
    assert (jupyter.folder / "ran.txt").read_text() == "x"


def test_of_two_who_are_attached_one_executes_and_with_nobody_the_run_waits(
    jupyter: Jupyter, shared_api: ScriptedMessages
) -> None:
    shared_api.add([ToolUse("notebook_python", {"code": "1 + 1"}, id="c1")], [Text("Two.")])
    run = jupyter.run("Count", kernel=True, options={"permission": "bypass"})
    jupyter.until(run, lambda event: event.get("reason") == "kernel")
    assert jupyter.get(f"runs/{run}").json()["status"] == "waiting"
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = [future.result().json() for future in [
            pool.submit(jupyter.post, f"runs/{run}/results/c1/begin") for _ in range(8)
        ]]  # fmt: skip
    assert [answer["yours"] for answer in answers].count(True) == 1
    late = jupyter.post(f"runs/{run}/results/c1/begin", {"attempt": "late"})
    assert not late.json()["yours"]
    body = {"content": [{"type": "text", "text": "2"}]}
    assert jupyter.post(f"runs/{run}/results/c1", body).status_code == 201
    assert jupyter.post(f"runs/{run}/results/c1", body).status_code == 409
    assert jupyter.ended(run)["status"] == "completed"


def test_who_lost_the_answer_to_a_begin_asks_once_more_and_nobody_else_gets_it(
    jupyter: Jupyter, shared_api: ScriptedMessages
) -> None:
    shared_api.add([ToolUse("notebook_python", {"code": "1 + 1"}, id="c1")], [Text("Two.")])
    run = jupyter.run("Count", kernel=True, options={"permission": "bypass"})
    jupyter.until(run, lambda event: event.get("reason") == "kernel")
    begin = f"runs/{run}/results/c1/begin"
    asked = [jupyter.post(begin, {"attempt": name}).json()["yours"] for name in ("one", "two", "one")]
    assert asked == [True, False, True]
    assert not jupyter.post(begin).json()["yours"]
    assert sum(event["type"] == "tool_start" for event in jupyter.events(run)) == 1
    assert jupyter.post(f"runs/{run}/results/c1", {"content": [{"type": "text", "text": "2"}]}).is_success
    assert jupyter.ended(run)["status"] == "completed"


def test_a_run_goes_on_while_the_kernel_restarts_and_a_new_cell_has_it_whole(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    late = waits_for("restarted", "echo late > late.txt")
    shared_api.add([ToolUse("bash", late)], [Text("Went on.")])
    _, run = kernel.begin("run = get_ipython().run_cell_magic('agent', '', 'Take your time')")
    jupyter.until(run, lambda event: event["type"] == "tool_start")
    kernel.restart()
    (jupyter.folder / "restarted").touch()
    assert jupyter.ended(run)["status"] == "completed"
    assert (jupyter.folder / "late.txt").exists()
    kernel.run("%load_ext agent_kernel")
    assert "completed" in kernel.run("%agent /status")
    assert run in kernel.run("%agent /runs")
    kernel.run("shown = get_ipython().run_line_magic('agent', '/show')")
    assert kernel.run("print(len(shown.events), shown.status)") == f"{len(jupyter.events(run))} completed\n"


def test_a_restarted_kernel_that_shows_a_run_executes_what_waits_for_it(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    shared_api.add(
        [ToolUse("bash", waits_for("another-kernel"))],
        [ToolUse("notebook_python", {"code": "6 * 7"})],
        [Text("Forty-two.")],
    )
    kernel.run("get_ipython().run_cell_magic('agent', '--background --permission bypass', 'Multiply')")
    run = newest(jupyter)
    kernel.restart()
    (jupyter.folder / "another-kernel").touch()
    jupyter.until(run, lambda event: event.get("reason") == "kernel")
    kernel.run("%load_ext agent_kernel")
    kernel.run(f"shown = get_ipython().run_line_magic('agent', '/show {run}')")
    assert kernel.run("print(shown.status)") == "completed\n"
    (result,) = [e for e in jupyter.events(run) if e["type"] == "tool_result" and "42" in str(e["content"])]
    assert not result["is_error"]


def newest(jupyter: Jupyter) -> str:
    """The run that began last, if there is one."""
    rows = jupyter.get("runs?limit=1").json()["runs"]
    return str(rows[0]["id"]) if rows else ""


def test_an_interrupt_stops_the_run_in_the_server(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    shared_api.add([Text("So "), Stall()])
    request, run = kernel.begin("get_ipython().run_cell_magic('agent', '', 'Think long')")
    jupyter.until(run, lambda event: event.get("reason") == "thinking")
    jupyter.post(f"{jupyter.url}/api/kernels/{kernel.id}/interrupt")
    with pytest.raises(AssertionError, match="Stopped"):
        kernel.result(request)
    assert jupyter.ended(run)["status"] == "cancelled"
    assert kernel.run("print(1 + 1)") == "2\n"


def test_a_kernels_token_opens_its_own_notebooks_runs_only_and_while_it_lives(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    other = Kernel(jupyter, "other.ipynb")
    shared_api.add([Text("Mine.")])
    kernel.run("run = get_ipython().run_cell_magic('agent', '', 'Say')")
    run = kernel.run("print(run.id)").strip()

    def header(one: Kernel) -> dict[str, str]:
        token = one.run("import os; print(os.environ['AGENT_KERNEL_TOKEN'])").strip()
        return {"X-Agent-Kernel": f"{one.id}:{token}"}

    own, foreign = header(kernel), header(other)
    assert jupyter.get(f"runs/{run}", token="", headers=own).status_code == 200
    for path in (f"runs/{run}", f"runs/{run}/events", f"stream?run={run}", f"runs/{run}/transcript"):
        assert jupyter.get(path, token="", headers=foreign).status_code == 404, path
    for action in ("cancel", "resume", "undo", "messages"):
        body = {"text": "x"} if action == "messages" else {}
        assert jupyter.post(f"runs/{run}/{action}", body, token="", headers=foreign).status_code == 404, (
            action
        )
    assert jupyter.get("model", token="", headers=own).status_code == 403
    stolen = {"base_url": "http://127.0.0.1:9"}
    assert jupyter.request("PUT", "model", json=stolen, token="", headers=own).status_code == 403
    assert jupyter.post("model/test", stolen, token="", headers=own).status_code == 403
    assert jupyter.get("trust?workspace=.", token="", headers=own).status_code == 403
    yes = {"workspace": ".", "kind": "skill", "name": "x", "hash": "0" * 64}
    assert jupyter.post("trust", yes, token="", headers=own).status_code == 403
    session = jupyter.get(f"runs/{run}").json()["session_id"]
    reaches = {"session": session, "prompt": "Look", "beside": "other.ipynb"}
    refused = jupyter.post("runs", reaches, token="", headers=own)
    assert refused.status_code == 400 and "has its own notebook" in refused.text
    shows = {"notebooks": ["other.ipynb"]}
    assert jupyter.request("PUT", "pages/p", json=shows, token="", headers=own).status_code == 403
    assert jupyter.post("pages/p/answers/q", {"answer": {}}, token="", headers=own).status_code == 403
    assert jupyter.get(f"stream?run={run}&page=p", token="", headers=own).status_code == 400
    mixed = {"X-Agent-Kernel": f"{kernel.id}:{foreign['X-Agent-Kernel'].partition(':')[2]}"}
    assert jupyter.get(f"runs/{run}", token="", headers=mixed).status_code == 403
    shared_api.add([ToolUse("notebook_python", {"code": "import os; dict(os.environ)"})], [Text("Seen.")])
    kernel.run("run = get_ipython().run_cell_magic('agent', '--permission bypass', 'Look')")
    told = json.dumps(jupyter.events(kernel.run("print(run.id)").strip()))
    assert "AGENT_KERNEL_TOKEN" in told
    assert own["X-Agent-Kernel"].partition(":")[2] not in told, "a token in an event is a token given away"
    other.close()
    eventually(lambda: jupyter.get("health", token="", headers=foreign).status_code == 403)


def test_a_program_that_inherits_the_environment_hosts_its_own_runs(jupyter: Jupyter, kernel: Kernel) -> None:
    code = "from agent_kernel.remote import address; import ipykernel.zmqshell; print(address())"
    printed = kernel.run(
        f"import subprocess, sys; print(subprocess.check_output([sys.executable, '-c', {code!r}], text=True))"
    )
    assert printed.strip() == "None"
    assert "Address" in kernel.run("from agent_kernel.remote import address; print(address())")


def test_the_server_goes_away_and_comes_back_and_the_cell_says_so(
    start: Start, shared_api: ScriptedMessages, tmp_path: Path
) -> None:
    """The connection is cut by a proxy between the kernel and the server, as a network does."""
    from tests.server.proxy import Proxy

    port = free_port()
    with Proxy(port) as proxy, start(tmp_path / "home", tmp_path / "work", shared_api, port=port) as jupyter:
        kernel = Kernel(jupyter, "cut.ipynb")
        kernel.run(f"import os; os.environ['AGENT_KERNEL_SERVER_URL'] = 'http://127.0.0.1:{proxy.port}/'")
        kernel.run("%load_ext agent_kernel")
        shared_api.add([ToolUse("bash", waits_for("mended"))], [Text("Back again.")])
        request, run = kernel.begin("run = get_ipython().run_cell_magic('agent', '', 'Go on')")
        jupyter.until(run, lambda event: event["type"] == "tool_start")
        proxy.cut()
        eventually(lambda: proxy.refused > 2)
        proxy.mend()
        (jupyter.folder / "mended").touch()
        printed = kernel.result(request)
        assert kernel.run("print(run.status, run.text)") == "completed Back again.\n", printed
        seqs = kernel.run("print([event.seq for event in run.events])")
        assert seqs.strip() == str([event["seq"] for event in jupyter.events(run)])
        kernel.close()


def test_a_cell_forks_a_run_another_way(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    shared_api.add([ToolUse("bash", {"command": "echo one > way.txt"})], [Text("One.")], [Text("Another.")])
    kernel.run("run = get_ipython().run_cell_magic('agent', '', 'Find a way')")
    kernel.run("copy = get_ipython().run_line_magic('agent', '/fork Try another')")
    said = kernel.run("print(copy.status, copy.id != run.id, copy.text)")
    assert said.startswith("completed True")
    assert said.endswith("Another.\n")
    asked = str(shared_api.bodies[-1]["messages"])
    assert asked.index("Find a way") < asked.index("One.") < asked.index("Try another")
    events = jupyter.events(kernel.run("print(run.id)").strip())
    result = next(event["seq"] for event in events if event["type"] == "tool_result")
    shared_api.add([Text("From the middle.")])
    kernel.run(f"copy = get_ipython().run_line_magic('agent', '/fork {result}')")
    assert kernel.run("print(copy.text)").endswith("From the middle.\n")
    assert "is not" in kernel.run(
        "from agent_kernel.errors import AgentKernelError\n"
        "try: get_ipython().run_line_magic('agent', '/fork 99999 x')\n"
        "except AgentKernelError as error: print('it is not:', error)"
    )


def test_a_cell_makes_and_ends_a_schedule(jupyter: Jupyter, kernel: Kernel) -> None:
    def says(command: str) -> str:
        return kernel.run(
            "from agent_kernel.shell.magic import *\n"
            "from IPython.utils.capture import capture_output\n"
            f"with capture_output() as said: get_ipython().run_line_magic('agent', {command!r})\n"
            "print([output.data for output in said.outputs], said.stdout)"
        )

    made = says(
        "--budget 2 /schedule --timezone Asia/Tokyo report '0 9 * * MON-FRI' Don't forget the \"total\""
    )
    assert "report" in made
    assert "09:00" in made
    (listed,) = jupyter.get("schedules").json()["schedules"]
    assert (listed["cron"], listed["timezone"]) == ("0 9 * * MON-FRI", "Asia/Tokyo")
    assert listed["prompt"] == 'Don\'t forget the "total"'
    assert listed["options"]["budget"] == 2
    assert "paused" in says("/schedule pause report")
    assert "report" in says("/schedules")
    assert "There are no schedules" in says("/schedule delete report")
    assert jupyter.get("schedules").json()["schedules"] == []


def test_a_background_cell_leaves_a_transcript(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    shared_api.add([Text("Done behind the curtain.")])
    kernel.run("run = get_ipython().run_cell_magic('agent', '--background', 'Do it later')")
    run = kernel.run("print(run.id)").strip()
    jupyter.ended(run)
    file = jupyter.folder / "agent-transcripts" / f"{run}.ipynb"
    eventually(file.exists)
    assert "Done behind the curtain." in file.read_text()


def test_a_kernel_holds_no_connection_for_runs_that_have_ended(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    """Each would be one of a hundred that a client has, and a run that the server follows for nobody."""
    shared_api.add(*[[Text("Yes.")]] * 7)
    kernel.run(
        "import os\n"
        "def leads_to(fd):\n"
        "    try: return os.readlink(f'/proc/self/fd/{fd}')\n"
        "    except OSError: return ''\n"
        "def connections(): return sum(leads_to(fd).startswith('socket:') for fd in os.listdir('/proc/self/fd'))"
    )
    kernel.run("run = %agent Is it so?")
    before = int(kernel.run("print(connections())"))
    for _ in range(6):
        kernel.run("run = %agent And is it still so?")
    # Two that wait for the next request are nobody's: how many there are depends on what happened side by side.
    eventually(lambda: int(kernel.run("print(connections())")) <= before + 2)


def test_the_result_of_a_call_reaches_a_server_that_is_asked_too_often(
    start: Start, shared_api: ScriptedMessages, tmp_path: Path
) -> None:
    """Too often is what the slowest machine can ask."""
    rate = "--AgentKernelExtension.requests_per_second=5"
    with start(tmp_path / "home", tmp_path / "work", shared_api, rate) as jupyter:
        kernel = Kernel(jupyter, "often.ipynb")
        kernel.run("%load_ext agent_kernel")
        _ask_often(jupyter, shared_api, kernel)
        kernel.close()


def _ask_often(jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel) -> None:
    headers = f"{{{TOKEN_HEADER!r}: os.environ[{KERNEL_VARIABLE!r}] + ':' + os.environ[{TOKEN_VARIABLE!r}]}}"
    code = f"""
import os, threading, time, urllib.error, urllib.request
where = os.environ['AGENT_KERNEL_SERVER_URL'].rstrip('/') + '/api/agent/health'
refused = threading.Event()
def ask():
    asked, left = urllib.request.Request(where, headers={headers}), 200
    while left := left - refused.is_set():
        try:
            urllib.request.urlopen(asked).close()
        except urllib.error.HTTPError as error:
            if error.code == 429:
                refused.set()
for _ in range(3):
    threading.Thread(target=ask, daemon=True).start()
refused.wait(90)
"""
    shared_api.add([ToolUse("notebook_python", {"code": code})], [Text("Refused, and heard.")])
    kernel.run("run = get_ipython().run_cell_magic('agent', '--permission bypass', 'Ask often')")
    assert kernel.run("print(run.status, run.text)") == "completed Refused, and heard.\n"
    run = kernel.run("print(run.id)").strip()
    (result,) = [event for event in jupyter.events(run) if event["type"] == "tool_result"]
    assert "True" in str(result["content"]), "the server refused nothing"


def test_another_cell_steers_a_background_run_and_answers_what_it_asks(
    jupyter: Jupyter, shared_api: ScriptedMessages, kernel: Kernel
) -> None:
    shared_api.add([ToolUse("bash", {"command": "echo yes > asked.txt"})], [Text("Heard.")])
    kernel.run("import os; os.environ['AGENT_KERNEL_VIEW'] = 'widget'")  # as for a person at a page
    kernel.run("run = get_ipython().run_cell_magic('agent', '--background --permission ask', 'Ask me')")
    run = kernel.run("print(run.id)").strip()
    jupyter.until(run, lambda event: event["type"] == "approval_request")
    kernel.run("%agent /approve")
    kernel.run("%agent /say And be quick")
    kernel.run("%agent /approve allow")
    assert jupyter.ended(run)["status"] == "completed"
    assert (jupyter.folder / "asked.txt").exists()
    assert "And be quick" in str(shared_api.bodies[-1]["messages"])
    (request,) = [e for e in jupyter.events(run) if e["type"] == "approval_request"]
    late = jupyter.post(f"runs/{run}/approvals/{request['id']}", {"decision": "deny"})
    assert late.status_code == 409
    assert "It has been answered: allow" in late.json()["error"]["message"]
    assert jupyter.post(f"runs/{run}/approvals/{request['id']}", {"decision": "allow"}).status_code == 202
