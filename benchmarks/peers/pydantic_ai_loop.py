from anthropic import AsyncAnthropic
from pydantic_ai import Agent
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from worker import serve

clients = {}


async def run_once(url, folder):
    calls = 0
    client = clients.setdefault(url, AsyncAnthropic(base_url=url, api_key="none", max_retries=0))
    agent = Agent(AnthropicModel("scripted", provider=AnthropicProvider(anthropic_client=client)), system_prompt="You add.")

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        nonlocal calls
        calls += 1
        return a + b

    async def streamed(_, events):
        async for _event in events:
            pass

    await agent.run("go", event_stream_handler=streamed)
    return calls


serve(run_once)
