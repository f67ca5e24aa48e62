import claude_agent_sdk as sdk
from worker import serve


async def run_once(url, folder):
    calls = 0

    @sdk.tool("add", "Add two numbers.", {"a": int, "b": int})
    async def add(args):
        nonlocal calls
        calls += 1
        return {"content": [{"type": "text", "text": str(args["a"] + args["b"])}]}

    options = sdk.ClaudeAgentOptions(
        mcp_servers={"bench": sdk.create_sdk_mcp_server("bench", tools=[add])},
        allowed_tools=["mcp__bench__add"], tools=[], system_prompt="You add.", model="claude-sonnet-4-5",
        setting_sources=[], max_turns=60, include_partial_messages=True, cwd=folder,
        env={
            "ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none", "CLAUDE_CONFIG_DIR": f"{folder}/claude",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1", "DISABLE_AUTOUPDATER": "1",
            "IS_SANDBOX": "1",
        },
    )
    async for _ in sdk.query(prompt="go", options=options):
        pass
    return calls


serve(run_once)
