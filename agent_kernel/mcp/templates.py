"""Servers many people want, ready to add: `agent-kernel mcp add github --template github`."""

from __future__ import annotations

from dataclasses import dataclass

from agent_kernel.events import Json


@dataclass(frozen=True, slots=True)
class Template:
    """`said` is what goes into the file; `needs` tells a person what to have ready."""

    says: str
    needs: str
    said: Json


TEMPLATES: dict[str, Template] = {
    "github": Template(
        "Repositories, issues and pull requests, by GitHub's own server",
        "GITHUB_TOKEN in the environment: a personal access token with the rights the agent should have",
        {
            "url": "https://api.githubcopilot.com/mcp/",
            "headers": {"Authorization": "Bearer ${GITHUB_TOKEN}"},
        },
    ),
    "slack": Template(
        "Channels and messages, by Slack's own server",
        "SLACK_TOKEN in the environment: a token of a Slack app of yours",
        {"url": "https://mcp.slack.com/mcp", "headers": {"Authorization": "Bearer ${SLACK_TOKEN}"}},
    ),
    "filesystem": Template(
        "The notebook's folder, read and written in the sandbox",
        "Node (npx); it is fetched from the npm registry, which asks for the network the first time",
        {
            "command": "npx",
            "args": ["-y", "@modelcontextprotocol/server-filesystem", "/workspace"],
            "start_timeout": 120,
        },
    ),
    "postgres": Template(
        "A PostgreSQL database, to read; the program runs outside the sandbox, as you",
        "DATABASE_URL in the environment, of a database user that can only read; Node (npx)",
        {
            "command": "npx",
            "args": ["-y", "@modelcontextprotocol/server-postgres", "${DATABASE_URL}"],
            "trusted": "host",
            "start_timeout": 120,
        },
    ),
}
