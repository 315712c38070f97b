"""Every rule that a provider must keep. The kit says what happens, and `reply` says it on the wire of the service."""

import json
from dataclasses import asdict

from ringfence.testing.kit import ProviderConformance, Reply, WireBackend
from ringfence.testing.scenes import Backend, Scene, Seen

from ringfence_parrot.provider import ParrotProvider

STATUS = {
    "bad_request": 400,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
    "context_length": 400,
    "rate_limited": 429,
    "server": 500,
    "overloaded": 503,
}
END = {"stop": "stop", "length": "max_tokens", "content_filter": "filtered"}
USAGE = {"input_tokens": "input", "output_tokens": "output", "cached_input_tokens": "cached"}


class TestConformance(ProviderConformance):
    """The provider, and the model that the rules ask."""

    provider = ParrotProvider
    model = "parrot-1"

    def backend(self) -> Backend:
        """The service."""
        return WireBackend(reply)


def reply(scene: Scene, seen: Seen) -> Reply:
    """What the service answers."""
    if scene.error is not None:
        wait = {} if scene.retry_after_s is None else {"Retry-After": f"{scene.retry_after_s:g}"}
        # Services repeat what they refuse: the kit looks whether the provider passes that on.
        said = {"message": "".join(scene.text), "request": seen.body.decode(), "key": seen.headers.get("authorization")}
        return Reply(status=STATUS[scene.error], headers=wait, events=[line(said)])
    usage = {USAGE.get(name, "reasoning"): count for name, count in asdict(scene.usage).items()}
    last = {"usage": usage, "end": END[scene.finish or "stop"]}
    if json.loads(seen.body)["stream"]:
        events = [*(line({"text": text}) for text in scene.text), line(last)]
    else:
        events = [line({"text": "".join(scene.text), **last})]
    return Reply(events=events, error_event=line({"failed": "".join(scene.text)}))


def line(said: object) -> bytes:
    """One line of the wire."""
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"
