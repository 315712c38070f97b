"""A request in the words of the service. Pure; what the service cannot do is refused here, before anything is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from ringfence.errors import Unsupported
from ringfence.provider import ModelCard, Plan
from ringfence.recipient import Recipient
from ringfence.request import Request, Settings, TextPart

# What the service calls the settings that it honours. Any other is refused.
SETTINGS = {
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
}
OTHER_TASKS = ("image", "embed", "transcribe", "speak")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Call:
    """One request, ready but for the key. Its `repr` holds no content."""

    recipient: Recipient
    url: str
    body: Mapping[str, object]

    def __repr__(self) -> str:
        return f"Call({self.recipient.name})"


def make_plan(request: Request, recipient: Recipient, card: ModelCard) -> Plan[object]:
    """The plan of `request`.

    Raises:
        Unsupported: something in it is beyond the service.
    """
    _refuse(request)
    base = recipient.url or "https://api.parrot.example/v1"
    body = {
        "model": card.name,
        "stream": request.stream,
        "messages": [{"role": message.role, "text": message.text} for message in request.messages],
        **_settings(request.settings),
    }
    return Plan(request=request, card=card, native=Call(recipient=recipient, url=f"{base}/answer", body=body))


def _refuse(request: Request) -> None:
    if request.task in OTHER_TASKS:
        raise Unsupported("parrot answers in text", setting="task", way_out="use another recipient")
    if request.tools:
        raise Unsupported("parrot has no tools", setting="tools", way_out="use another recipient")
    if request.output is not None:
        raise Unsupported("parrot has no structured output", setting="output", way_out="use another recipient")
    if request.provider_options:
        raise Unsupported("parrot has no options", setting="provider_options", way_out="leave them out")
    if any(not isinstance(part, TextPart) for message in request.messages for part in message.parts):
        raise Unsupported("parrot reads nothing but text", setting="messages", way_out="use another recipient")


def _settings(settings: Settings) -> dict[str, object]:
    given = {item.name: getattr(settings, item.name) for item in fields(settings)}
    asked = {name: value for name, value in given.items() if value not in (None, ())}
    for name in asked:
        if name not in SETTINGS:
            raise Unsupported(f"parrot has no setting {name}", setting=name, way_out="leave it out")
    return {SETTINGS[name]: value for name, value in asked.items()}
