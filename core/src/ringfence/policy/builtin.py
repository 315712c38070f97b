"""The policy in force where none is named: everything stays on the device.

The same as `builtin.yaml`, as data: it is on the way of the first request, and reading YAML would cost 40 ms there.
"""

from __future__ import annotations

from functools import cache

from ringfence.policy.conditions import TaskIn
from ringfence.policy.document import Document, FlowRule, Label, RouteRule
from ringfence.policy.policy import Policy, enforce
from ringfence.recipient import Recipient

NAME = "built-in"
DIGEST = "sha256:56c7df87f75c62371131d25d39fabbd8465ab28d7123ef5a26e6ade277a7fc2b"
"""Of `builtin.yaml`, and so of the document here; a test computes it."""


def builtin_document() -> Document:
    """What `builtin.yaml` says."""
    declared = ("contact", "identity", "financial", "credentials", "health", "work")
    return Document(
        name=NAME,
        recipients={
            "mlx": Recipient(name="mlx", ring="device", provider="mlx", model="smollm2-135m-instruct"),
            "mlx-embed": Recipient(name="mlx-embed", ring="device", provider="mlx", model="all-minilm-l6-v2"),
        },
        labels={
            "public": Label(),
            **{name: Label(declare=True) for name in declared},
            "unclassified": Label(),
        },
        unknown="unclassified",
        flow=(FlowRule(id="device-any", effect="allow", labels=None, to=frozenset({"device"})),),
        route=(
            RouteRule(id="embeddings", when=TaskIn(tasks=frozenset({"embed"})), prefer=("mlx-embed",)),
            RouteRule(id="on-device", prefer=("mlx",)),
        ),
    )


@cache
def builtin_policy() -> Policy:
    """The built-in policy. Every call gives the same object."""
    return enforce(builtin_document(), source=NAME, name=NAME, digest=DIGEST)
