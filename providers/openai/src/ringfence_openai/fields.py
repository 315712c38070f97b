"""The fields of each route that an app may set by `provider_options`: those of the SDK's parameters; a test compares.

Another server may know more; those go in `extra_body`, which is the SDK's own word for it.
"""

from __future__ import annotations

from collections.abc import Mapping

FIELDS: Mapping[str, frozenset[str]] = {
    route: frozenset(names.split())
    for route, names in {
        "/responses": """access_programs background background_options context_management conversation image include
            input instructions max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls
            previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention reasoning
            safety_identifier service_tier store stream stream_options temperature text tool_choice tools top_logprobs
            top_p truncation user""",
        "/chat/completions": """audio frequency_penalty function_call functions logit_bias logprobs
            max_completion_tokens max_tokens messages metadata modalities model moderation n parallel_tool_calls
            prediction presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
            response_format safety_identifier seed service_tier stop store stream stream_options temperature
            tool_choice tools top_logprobs top_p user verbosity web_search_options""",
        "/embeddings": "dimensions encoding_format input model user",
        "/images/generations": """background complexity frame_count frame_duration_ms model moderation n
            output_compression output_format partial_images prompt quality response_format safety_identifier size
            stream style svg user""",
        "/audio/transcriptions": """chunking_strategy file include keywords known_speaker_names
            known_speaker_references language languages model prompt response_format stream temperature
            timestamp_granularities""",
        "/audio/speech": "input instructions model response_format speed stream_format voice",
    }.items()
}

PROTECTED = frozenset(
    {"model", "stream", "input", "messages", "store", "prompt", "instructions", "n", "stream_options", "file"}
    # What another form of the answer needs, which is not read here.
    | {"stream_format", "partial_images", "encoding_format", "modalities", "audio", "functions", "function_call"}
)
"""What the request and the recipient's options decide."""

STORED = frozenset(
    {
        "background_options",
        "conversation",
        "previous_response_id",
        "prompt_cache_options",
        "prompt_cache_retention",
    }
)
"""They make the vendor keep the prompt or the answer, or read one that it keeps; `background` does where it is no
colour."""


def keeps(route: str, name: str) -> bool:
    """Whether the field `name` makes the vendor keep something, or read what it keeps."""
    return name in STORED or (name == "background" and route != "/images/generations")


__all__ = ["FIELDS", "PROTECTED", "STORED", "keeps"]
