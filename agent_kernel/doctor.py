"""What works on this machine, every setting, and where it came from."""

from __future__ import annotations

import platform
import sys
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from agent_kernel._version import __version__
from agent_kernel.choice import Choices, applied, configured
from agent_kernel.errors import AgentKernelError
from agent_kernel.settings import SECRET_SETTINGS, Settings, load_settings
from agent_kernel.vault import Vault

PACKAGES = ("anthropic", "anywidget", "ipykernel", "ipywidgets", "jupyter-server", "jupyterlab", "notebook",
            "sqlalchemy", "pandas", "matplotlib", "daytona", "redis")  # fmt: skip


async def examine() -> dict[str, Any]:
    """The report as plain JSON; `ok` is False when prompts cannot be worked on here."""
    problems: list[str] = []
    try:
        settings = load_settings(workspace=Path.cwd())
    except AgentKernelError as error:
        settings, problems = Settings(), [str(error)]
    report: dict[str, Any] = {
        "version": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "platform": platform.platform(),
        "model": await _model(settings),
        "sandbox": _sandbox(settings),
        **_screens(settings),
        "daytona": await _daytona(settings),
        "store": await _store(settings),
        "bus": await _bus(settings),
        "view": _view(),
        "packages": {name: _version(name) for name in PACKAGES},
        "settings": _settings(settings),
    }
    checks = [
        report[name] for name in ("model", "sandbox", "browser", "desktop", "daytona", "store", "bus", "view")
    ]
    problems += [check["problem"] for check in checks if check["problem"]]
    return {**report, "problems": problems, "ok": not problems}


async def _model(settings: Settings) -> dict[str, Any]:
    if not configured(settings):
        choice = await Choices(Vault(settings.folder / "secrets")).get(settings.owner)
        settings = applied(settings, choice) if choice else settings
    problem = "" if configured(settings) else (
        "No model is configured: agent-kernel model set, or set ANTHROPIC_API_KEY or ANTHROPIC_BASE_URL. "
        "`--model demo` works offline."
    )  # fmt: skip
    return {"name": settings.model, "endpoint": settings.base_url or "Anthropic", "problem": problem}


def _sandbox(settings: Settings) -> dict[str, Any]:
    from agent_kernel.sandbox import probe

    tiers = [
        {"tier": report.tier, "available": report.available, "note": report.reason} for report in probe()
    ]
    chosen = next((tier["tier"] for tier in tiers if tier["available"]), None)
    problem = "" if chosen else "No sandbox can run here: " + "; ".join(str(tier["note"]) for tier in tiers)
    if settings.sandbox == "daytona":
        chosen, problem = "daytona", ""
    return {"tier": chosen, "tiers": tiers, "problem": problem}


def _screens(settings: Settings) -> dict[str, dict[str, Any]]:
    """What browser and desktop of a sandbox here need; a problem only for who insists on them."""
    from agent_kernel.sandbox.desktop import missing_packages
    from agent_kernel.tools.browser.relay import find_program

    program, missing = find_program(), " ".join(missing_packages())
    browser = str(program or "not installed: apt install chromium")
    desktop = f"not installed: apt install {missing}" if missing else "its programs are installed"
    return {
        "browser": {
            "where": browser,
            "problem": "" if program or settings.browser != "on" else f"browser: {browser}",
        },
        "desktop": {
            "where": desktop,
            "problem": f"desktop: {desktop}" if missing and settings.desktop == "on" else "",
        },
    }


async def _daytona(settings: Settings) -> dict[str, Any]:
    """Whether its key is taken there. It is a problem only for who uses it."""
    from agent_kernel.places import daytona_access
    from agent_kernel.sandbox.daytona import LABEL_APP
    from agent_kernel.sandbox.daytona_api import INSTALL, MISSING, Patience, Service

    wanted = settings.sandbox == "daytona"
    where = settings.daytona_api_url
    if _version("daytona") is None:
        return {"state": "not installed", "where": where, "problem": f"{MISSING} {INSTALL}" if wanted else ""}
    if not settings.daytona_api_key:
        problem = "There is no key for Daytona: set DAYTONA_API_KEY." if wanted else ""
        return {"state": "no key", "where": where, "problem": problem}
    service = Service(daytona_access(settings), Patience(request=10, attempts=2))
    try:
        count = await service.count(LABEL_APP)
    except AgentKernelError as error:
        return {"state": str(error), "where": where, "problem": str(error) if wanted else ""}
    finally:
        await service.close()
    return {"state": f"{count} sandbox{'es' * (count != 1)} of ours", "where": where, "problem": ""}


async def _store(settings: Settings) -> dict[str, Any]:
    from agent_kernel.app import open_app

    where = "PostgreSQL" if settings.database_url.startswith("postgres") else str(settings.folder / "runs.db")
    try:
        async with await open_app(settings):
            return {"where": where, "problem": ""}
    except AgentKernelError as error:
        return {"where": where, "problem": str(error)}


async def _bus(settings: Settings) -> dict[str, Any]:
    from agent_kernel.app import open_bus

    where = "Redis" if settings.redis_url else "this process"
    try:
        bus = open_bus(settings)
        try:
            await bus.check()
        finally:
            await bus.close()
    except AgentKernelError as error:
        return {"where": where, "problem": str(error)}
    return {"where": where, "problem": ""}


def _view() -> dict[str, Any]:
    file = Path(__file__).parent / "static" / "cell.js"
    problem = "" if file.is_file() else f"The cell view is not built ({file}); run `make install`."
    return {"file": str(file), "problem": problem}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _settings(settings: Settings) -> dict[str, dict[str, Any]]:
    shown: dict[str, dict[str, Any]] = {}
    for field in fields(settings):
        if field.name == "sources":
            continue
        value = getattr(settings, field.name)
        if field.name in SECRET_SETTINGS and value:
            value = "(set, hidden)"
        source = settings.sources.get(field.name, "default")
        shown[field.name] = {"value": list(value) if isinstance(value, tuple) else value, "from": source}
    return shown


def render(report: dict[str, Any]) -> str:
    """The report as text for a terminal."""
    lines = [
        f"agent-kernel {report['version']} · Python {report['python']} · {report['platform']}",
        "",
        _check("model", f"{report['model']['name']} at {report['model']['endpoint']}", report["model"]),
        _check("sandbox", str(report["sandbox"]["tier"]), report["sandbox"]),
    ]
    for tier in report["sandbox"]["tiers"]:
        mark = "available" if tier["available"] else "not here"
        note = f" ({tier['note']})" if tier["note"] else ""
        lines.append(f"              {tier['tier']}: {mark}{note}")
    lines += [
        _check("browser", report["browser"]["where"], report["browser"]),
        _check("desktop", report["desktop"]["where"], report["desktop"]),
        _check("daytona", f"{report['daytona']['state']} ({report['daytona']['where']})", report["daytona"]),
        _check("store", report["store"]["where"], report["store"]),
        _check("bus", report["bus"]["where"], report["bus"]),
        _check("view", report["view"]["file"], report["view"]),
        "",
        "Packages  " + ", ".join(f"{name} {found or '–'}" for name, found in report["packages"].items()),
        "",
        "Settings",
    ]
    width = max(map(len, report["settings"]))
    lines += [
        f"  {name:<{width}}  {entry['value']!r:<28} {entry['from']}"
        for name, entry in report["settings"].items()
    ]
    if report["problems"]:
        lines += ["", "Problems", *(f"  ! {problem}" for problem in report["problems"])]
    return "\n".join(lines)


def _check(name: str, value: str, check: dict[str, Any]) -> str:
    return f"{'!' if check['problem'] else '✓'} {name:<10}  {value}"
