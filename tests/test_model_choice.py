"""The model a person set up for themselves: kept encrypted, used where nothing else names one, shown to nobody."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent_kernel.account import Account
from agent_kernel.app import open_app
from agent_kernel.choice import Choices, ModelChoice, applied, configured
from agent_kernel.cli import main
from agent_kernel.client import Agent
from agent_kernel.errors import SettingsError
from agent_kernel.settings import Settings
from agent_kernel.testing.messages_api import ScriptedMessages
from agent_kernel.testing.script import Text, ToolUse
from agent_kernel.vault import Vault

KEY = "sk-of-the-person-123456"


@pytest.fixture(autouse=True)
def _no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own is not for tests to write to."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")


@pytest.fixture
def bare(settings: Settings) -> Settings:
    """Settings that say nothing of a model."""
    return replace(settings, model=Settings.model, base_url="", api_key="")


async def test_what_is_kept_is_encrypted_private_and_each_persons_own(tmp_path: Path) -> None:
    choices = Choices(Vault(tmp_path / "secrets"))
    await choices.put("ada", ModelChoice(model="m", api_key=KEY))
    assert await choices.get("ada") == ModelChoice(model="m", api_key=KEY)
    assert await Choices(Vault(tmp_path / "secrets")).get("ada") == ModelChoice(model="m", api_key=KEY)
    assert await choices.get("bob") is None
    for path in (tmp_path / "secrets").iterdir():
        assert KEY.encode() not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0
        if path.name != "key":
            path.write_bytes(b"spoiled")
    assert await choices.get("ada") is None, "what cannot be decrypted is as if it were not there"
    await choices.forget("ada")
    await choices.forget("ada")


@pytest.mark.parametrize("choice", [ModelChoice(), ModelChoice(model="m"), ModelChoice(base_url="ftp://x")])
async def test_what_reaches_no_model_is_refused(tmp_path: Path, choice: ModelChoice) -> None:
    with pytest.raises(SettingsError):
        await Choices(Vault(tmp_path)).put("ada", choice)


async def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SettingsError, match="cannot be kept"):
        await Choices(Vault(tmp_path / "file" / "secrets")).put("ada", ModelChoice(api_key=KEY))


def test_what_the_environment_says_comes_first() -> None:
    assert not configured(Settings())
    assert configured(Settings(base_url="http://x"))
    chosen = applied(Settings(), ModelChoice(model="mine", api_key=KEY))
    assert (chosen.model, chosen.api_key) == ("mine", KEY)
    said = Settings().with_overrides("%agent", model="theirs")
    assert applied(said, ModelChoice(model="mine", api_key=KEY)).model == "theirs"


async def test_a_run_uses_the_persons_model_and_no_event_holds_the_key(
    bare: Settings, workspace: Path, api: ScriptedMessages
) -> None:
    async with await open_app(bare) as app:
        agent = Agent(workspace=workspace, settings=bare, host=Account(app))
        failed = await agent.run("Hi")
        assert (failed.status, failed.reason) == ("failed", "not_configured")
        await app.choices.put(app.settings.owner, ModelChoice(model="mine", base_url=api.url, api_key=KEY))
        api.add([ToolUse("bash", {"command": f"echo {KEY}"})], [Text(f"The key is {KEY}.")])
        run = await agent.run("Hi")
        assert run.status == "completed"
        assert api.bodies[-1]["model"] == "mine"
        assert KEY not in str(await app.log.read(run.id))
        await agent.close()


async def test_the_model_is_tried_before_it_is_kept(bare: Settings, api: ScriptedMessages) -> None:
    async with await open_app(bare) as app:
        assert (await app.try_model("ada"))["ok"] is False
        api.add([Text("ok")])
        good = await app.try_model("ada", ModelChoice(model="mine", base_url=api.url, api_key=KEY))
        assert good == {"ok": True, "model": "mine", "message": "", "hint": ""}
        bad = await app.try_model("ada", ModelChoice(base_url="http://127.0.0.1:9", api_key=KEY))
        assert not bad["ok"]
        assert KEY not in str(bad)
        assert (await app.try_model("ada", ModelChoice(model="demo")))["ok"]


def test_it_is_set_tried_and_forgotten_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: ScriptedMessages
) -> None:
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "AGENT_KERNEL_MODEL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AGENT_KERNEL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path / "config"))

    def call(*arguments: str, **rest: Any) -> Any:
        return CliRunner().invoke(main, ["model", *arguments], **rest)

    assert "No model is set up" in call("test").output
    assert call("set", "--name", "mine", "--endpoint", api.url, input=f"{KEY}\n").exit_code == 0
    api.add([Text("ok")])
    tried = call("test")
    assert (tried.exit_code, tried.output) == (0, "mine answers.\n")
    assert call("forget").exit_code == 0
    assert call("test").exit_code == 1
    assert call("set", "--no-key").exit_code == 2
