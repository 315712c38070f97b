"""Names, numbers and limits of the protocol "Ringfence House 1", each in one place."""

from __future__ import annotations

from typing import Final

EVIDENCE_PATH: Final = "/.well-known/ringfence/house/evidence"
"""Every node's evidence, the same bytes for every caller."""
NODE_EVIDENCE_PATH: Final = "/house/v1/nodes/{kid}/evidence"
"""One node's, fresh, with `?nonce=`."""
OHTTP_PATH: Final = "/house/v1/ohttp"
"""Where encapsulated requests go."""
RELEASES_PATH: Final = "/house/releases/"
"""The TUF repository: `metadata/` and `targets/` below it."""

NODE_HEADER: Final = "ringfence-node"
"""Outside of the encryption: the `kid` of the node that can open it, a hint for balancers and nothing else."""
REQUEST_TYPE: Final = "message/ohttp-chunked-req"
RESPONSE_TYPE: Final = "message/ohttp-chunked-res"
KEY_PROBLEM: Final = "https://iana.org/assignments/http-problem-types#ohttp-key"
"""The problem type (RFC 9458, 5.3) of an answer 400, or 404 to the header alone: the key is not there (any more)."""

AUTHORITY: Final = "house.ringfence.invalid"
"""Of the inner request: it cannot be routed, so a gateway that forwards in the clear reaches nobody."""
CHAT_PATH: Final = "/v1/chat/completions"
EMBEDDINGS_PATH: Final = "/v1/embeddings"
INNER_PATHS: Final = frozenset({CHAT_PATH, EMBEDDINGS_PATH})

# Fields of the inner request and answer, inside of the encryption.
EVIDENCE_FIELD: Final = "ringfence-evidence"
"""SHA-256, lower-case hex, of the evidence that the client verified."""
EXPECT_FIELD: Final = "ringfence-expect"
"""`<release id> <model>`: what the client expects to answer."""
TENANT_FIELD: Final = "ringfence-tenant"
"""An opaque key of at most 64 characters, within which the node may reuse work; absent, it reuses nothing."""
LOAD_FIELD: Final = "ringfence-load"
"""In the answer: the share of the node's capacity in use, `0.00` … `1.00`."""

PROFILE: Final = "tag:ringfence,2026:house-node/1"
AK_LABEL: Final = b"ringfence-ak-v1\0"
"""The freshness of an endorsement is SHA-256 of this and the SPKI of the AK, in DER."""

MAX_CHUNK_BYTES: Final = 16_384
"""Of plaintext in one chunk."""
MAX_EVIDENCE_BYTES: Final = 65_536
MAX_NODES: Final = 200
MAX_DIRECTORY_BYTES: Final = 4 * 2**20
MAX_REQUEST_BYTES: Final = 64 * 2**20
"""Of a decapsulated request: pictures included."""
MAX_FIELDS_BYTES: Final = 16_384
"""Of the fields of one inner message."""

PAD_REQUEST_BYTES: Final = 1024
PAD_ANSWER_BYTES: Final = (128, 256)
"""An event of an answer is padded with a comment to a multiple of one of these."""

MAX_TOKEN_LIFE_S: Final = 3600
CLOCK_SKEW_S: Final = 60
MAX_POSTURE_AGE_S: Final = 8 * 86_400
MAX_DATE_SKEW_S: Final = 120
"""How far the `date` of an inner request may be from the node's clock; a seen `enc` is remembered that long."""
KEY_LIFE_S: Final = 3600
KEY_GRACE_S: Final = 300
"""How long a node accepts a key after its life; a key is followed by a new one at half of its life."""
