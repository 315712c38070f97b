"""A loopback double of both partners' clouds, which speaks their real wire.

    with PartnerServer() as server:
        server.openai.play(Scene(text=("Hi",)))
        ...  # a recipient with `url: {server.openai.url}`
        assert server.openai.seen()[0].path == "/v1/responses"

Without a scene it answers every request sensibly: `python -m ringfence.testing.partners` is a partner for a demo; with
`--echo` it answers "I was asked: …", with what came over the wire.
"""

from ringfence.testing.partners.backend import Api, PartnerBackend, PartnerServer, wire_events

__all__ = ["Api", "PartnerBackend", "PartnerServer", "wire_events"]
