"""Tools: the model calls functions of yours, you approve, and the answer comes with every turn and receipt.

A scripted model stands in here, so that it runs anywhere; leave out `providers=` and name a policy to ask a real one.
"""

import json

from ringfence import Assistant, ToolCallPart, ToolError, ToolResultPart, tool
from ringfence.response import Finish, ProviderEvent, ToolCallDelta, ToolCallEnd, ToolCallStart
from ringfence.testing import ScriptedProvider

FREE = {"Monday": ["9:00", "14:30"], "Tuesday": []}


@tool
def free_times(day: str) -> list[str]:
    """The times at which the calendar is free.

    Args:
        day: a day of the week, in English
    """
    if day not in FREE:
        raise ToolError(f"the calendar has no {day}")
    return FREE[day]


@tool(ask=True)
async def create_event(title: str, day: str, time: str, minutes: int = 30) -> str:
    """Puts an event into the calendar."""
    return f"{title}: {day}, {time}, {minutes} minutes"


def approve(call: ToolCallPart) -> bool:
    """An app asks a person here: it may block, and only `True` is a yes."""
    print("run", call.name, call.arguments)
    return call.name in {"free_times", "create_event"}


def calls(*asked: tuple[str, dict[str, str]]) -> list[ProviderEvent]:
    """What a model sends that asks for tools."""
    events: list[ProviderEvent] = []
    for place, (name, arguments) in enumerate(asked):
        events += [ToolCallStart(place, f"call-{place}", name), ToolCallDelta(place, json.dumps(arguments))]
        events += [ToolCallEnd(place)]
    return [*events, Finish("tool_calls")]


model = ScriptedProvider(
    calls(("free_times", {"day": "Monday"}), ("free_times", {"day": "Sunday"})),
    calls(("create_event", {"title": "Tea", "day": "Monday", "time": "14:30"})),
    "Tea is on Monday at 14:30.",
)

with Assistant(providers={"mlx": model}) as assistant:
    response = assistant.respond(
        "Find half an hour for tea.", task="action", tools=[free_times, create_event], approve=approve
    )
    for message in response.messages:
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                print(part.name, "failed:" if part.is_error else "said:", part.text)
    print(response.text)
    print(len(response.receipts), "model calls")
