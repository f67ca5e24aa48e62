"""Settings: which layer wins, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_kernel.errors import SettingsError
from agent_kernel.settings import Settings, load_settings, tightened


def load(environ: dict[str, str] | None = None, *files: Path) -> Settings:
    return load_settings(environ or {}, config_files=list(files))


def test_the_environment_wins_over_jupyter_configuration(tmp_path: Path) -> None:
    config = tmp_path / "jupyter_server_config.py"
    config.write_text("c.AgentKernel.model = 'from-config'\nc.AgentKernel.max_turns = 7\n")
    settings = load({"AGENT_KERNEL_MODEL": "from-env"}, config)
    assert (settings.model, settings.max_turns) == ("from-env", 7)
    assert settings.sources == {"model": "AGENT_KERNEL_MODEL", "max_turns": str(config)}


def test_json_configuration_is_read_too(tmp_path: Path) -> None:
    config = tmp_path / "jupyter_server_config.json"
    config.write_text('{"AgentKernel": {"network": ["example.org"]}}')
    assert load({}, config).network == ("example.org",)


def test_the_models_own_variables_count() -> None:
    settings = load({"ANTHROPIC_API_KEY": "k-123456789", "ANTHROPIC_BASE_URL": "http://localhost:1"})
    assert (settings.api_key, settings.base_url) == ("k-123456789", "http://localhost:1")


def test_no_secret_is_in_the_repr() -> None:
    assert "k-123456789" not in repr(load({"ANTHROPIC_API_KEY": "k-123456789"}))


def test_credentials_of_urls_are_secrets_but_a_password_that_is_a_word_stays_a_word() -> None:
    settings = load(
        {
            "AGENT_KERNEL_REDIS_URL": "rediss://:pa/ss@w:rd@redis:6379/0",
            "AGENT_KERNEL_DATABASE_URL": "postgresql://ada:postgres@db/runs",
        }
    )
    assert settings.secrets() == ["ada:postgres@", ":pa/ss@w:rd@"]
    assert "postgres@" not in repr(settings) and "w:rd" not in repr(settings)
    assert load({"AGENT_KERNEL_REDIS_URL": "redis://localhost:6379"}).secrets() == []
    asked = load({"AGENT_KERNEL_DATABASE_URL": "postgresql://db/runs?user=ada&password=pass&sslmode=require"})
    assert asked.secrets() == ["password=pass"]


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("AGENT_KERNEL_MAX_TURNS", "many", "max_turns = 'many' is not a int"),
        ("AGENT_KERNEL_PERMISSION", "yolo", "permission = 'yolo' is not one of plan, ask"),
        ("AGENT_KERNEL_BUDGET", "-1", "budget = -1.0 is negative"),
        ("AGENT_KERNEL_MAX_ATTEMPTS", "0", "max_attempts = 0 leaves the model no answer"),
        ("AGENT_KERNEL_REQUEST_TIMEOUT", "0", "request_timeout = 0.0 leaves the model no answer"),
        ("AGENT_KERNEL_LEGACY_AUTH", "maybe", "legacy_auth = 'maybe' is not a bool"),
        ("AGENT_KERNEL_DATABASE_URL", "runs", "database_url = (hidden) is not the address of a database"),
        ("ANTHROPIC_BASE_URL", "localhost:1", "base_url = 'localhost:1' is not an http(s) address"),
    ],
)
def test_a_bad_value_is_named_with_its_place(variable: str, value: str, sentence: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({variable: value})
    assert sentence in str(caught.value)
    assert variable in str(caught.value)


def test_a_setting_there_is_none_of_is_named_with_those_there_are() -> None:
    with pytest.raises(SettingsError, match=r"run: unknown setting max_turn\. Known are: .*max_turns"):
        Settings().with_overrides("run", max_turn=3)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("jupyter_server_config.py", "c.AgentKernel.model = "),
        ("jupyter_server_config.json", "{"),
        ("jupyter_server_config.py", "c.AgentKernel.modle = 'x'"),
    ],
)
def test_a_malformed_configuration_file_is_one_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(SettingsError, match=name.replace(".", r"\.")):
        load({}, tmp_path / name)


@pytest.mark.parametrize(
    "text",
    ["permission = ", "\xff\xfe", "permission = 3", "colour = 'red'", "max_turns = inf", "budget = nan"],
)
def test_a_malformed_workspace_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "agent-kernel.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"agent-kernel\.toml"):
        tightened(Settings(), tmp_path)


def test_the_workspace_file_may_only_tighten(tmp_path: Path) -> None:
    (tmp_path / "agent-kernel.toml").write_text(
        'permission = "bypass"\nbudget = 2.0\nmax_turns = 500\nbase_url = "https://example.org"\n'
    )
    settings = tightened(Settings(), tmp_path)
    assert (settings.permission, settings.budget) == ("accept-edits", 2.0)
    assert (settings.max_turns, settings.base_url) == (100, "")


def test_the_workspace_file_is_not_followed_through_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('permission = "plan"')
    (tmp_path / "agent-kernel.toml").symlink_to(tmp_path / "elsewhere")
    assert tightened(Settings(), tmp_path).permission == "accept-edits"
