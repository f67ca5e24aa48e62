"""The model a person set up for themselves, where neither the environment nor a configuration names one."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields

from agent_kernel.errors import SettingsError
from agent_kernel.settings import DEFAULT_MODEL, DEMO_MODEL, Settings
from agent_kernel.vault import Vault


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """What is needed to speak to a model. Empty: the default."""

    model: str = ""
    base_url: str = ""
    api_key: str = field(default="", repr=False)
    auth_token: str = field(default="", repr=False)
    legacy_auth: bool = False

    @property
    def secrets(self) -> list[str]:
        return [value for value in (self.api_key, self.auth_token) if value]


class Choices:
    """Choices by person, kept in `vault`."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def get(self, owner: str) -> ModelChoice | None:
        """Fields of a newer program are left out."""
        found = await self._vault.get(f"model/{owner}")
        if not isinstance(found, dict):
            return None
        return ModelChoice(**{f.name: found[f.name] for f in fields(ModelChoice) if f.name in found})

    async def put(self, owner: str, choice: ModelChoice) -> None:
        """Raises SettingsError for one that cannot be."""
        applied(Settings(), choice)
        if not (choice.secrets or choice.base_url or choice.model.startswith(DEMO_MODEL)):
            raise SettingsError("A model needs a key or an endpoint.", hint="Or choose the offline demo.")
        await self._vault.put(f"model/{owner}", asdict(choice))

    async def forget(self, owner: str) -> None:
        await self._vault.forget(f"model/{owner}")


def configured(settings: Settings) -> bool:
    """Whether the settings alone are enough to speak to a model."""
    known = settings.api_key or settings.auth_token or settings.base_url
    return bool(known) or settings.model.startswith(DEMO_MODEL)


def applied(settings: Settings, choice: ModelChoice) -> Settings:
    """`settings` with the person's choice, which names no model where somebody has named one already."""
    said = {name: value for name, value in asdict(choice).items() if value}
    if "model" in settings.sources or settings.model != DEFAULT_MODEL:
        said.pop("model", None)
    return settings.with_overrides("your choice", **said)
