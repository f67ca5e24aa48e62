import os
import tempfile

os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", OPENHANDS_SUPPRESS_BANNER="1", DO_NOT_TRACK="1", LOG_LEVEL="ERROR")

from openhands.sdk import LLM, Agent, Conversation, Tool, register_tool
from openhands.sdk.tool import Action, Observation, ToolDefinition, ToolExecutor
from pydantic import SecretStr
from worker import serve


class AddAction(Action):
    a: int
    b: int


class AddObservation(Observation):
    pass


class AddExecutor(ToolExecutor):
    def __call__(self, action, conversation=None):
        return AddObservation.from_text(text=str(action.a + action.b))


class AddTool(ToolDefinition[AddAction, AddObservation]):
    name = "add"

    @classmethod
    def create(cls, conv_state=None, **_):
        return [
            cls(
                action_type=AddAction,
                observation_type=AddObservation,
                description="Add two numbers.",
                executor=AddExecutor(),
            )
        ]


register_tool("AddTool", AddTool)


async def run_once(url, folder):
    model = LLM(
        model="anthropic/claude-sonnet-4-5", base_url=url, api_key=SecretStr("none"), stream=True, num_retries=0,
        usage_id="bench", max_output_tokens=1024,
    )
    seen = []
    conversation = Conversation(
        agent=Agent(llm=model, tools=[Tool(name="AddTool")]), workspace=tempfile.mkdtemp(dir=folder),
        callbacks=[seen.append], token_callbacks=[lambda chunk: None], visualizer=None, persistence_dir=None,
        stuck_detection=False,
    )
    conversation.send_message("go")
    await conversation.arun()
    conversation.close()
    return sum(type(event).__name__ == "ObservationEvent" for event in seen)


serve(run_once)
