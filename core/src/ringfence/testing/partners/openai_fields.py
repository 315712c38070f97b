"""The fields that OpenAI's API takes at the top of a body, and those it needs. A test compares them with the SDK's."""

from __future__ import annotations

from ringfence.testing.partners.loose_json import JsonObject, names
from ringfence.testing.partners.openai_errors import refusal

FIELDS: dict[str, frozenset[str]] = {
    "responses": names(
        """access_programs background background_options context_management conversation image include input
        instructions max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls
        previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention reasoning
        safety_identifier service_tier store stream stream_options temperature text tool_choice tools top_logprobs
        top_p truncation user"""
    ),
    "responses/input_tokens": names(
        """conversation input instructions model parallel_tool_calls personality previous_response_id reasoning text
        tool_choice tools truncation"""
    ),
    "chat/completions": names(
        """audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages
        metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
        prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed
        service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity
        web_search_options"""
    ),
    "embeddings": names("dimensions encoding_format input model user"),
    "images/generations": names(
        """background complexity frame_count frame_duration_ms model moderation n output_compression output_format
        partial_images prompt quality response_format safety_identifier size stream style svg user"""
    ),
    "audio/transcriptions": names(
        """chunking_strategy file include keywords known_speaker_names known_speaker_references language languages model
        prompt response_format stream temperature timestamp_granularities"""
    ),
    "audio/speech": names("input instructions model response_format speed stream_format voice"),
}

NEEDED: dict[str, tuple[str, ...]] = {
    "responses": ("model", "input"),
    "responses/input_tokens": ("model", "input"),
    "chat/completions": ("model", "messages"),
    "embeddings": ("model", "input"),
    "images/generations": ("prompt",),
    "audio/transcriptions": ("file", "model"),
    "audio/speech": ("model", "input", "voice"),
}


def fault_in(route: str, body: JsonObject) -> JsonObject | None:
    """The refusal of a body that lacks a field or has one that the API does not know; `None` if it has neither."""
    for name in NEEDED[route]:
        if name not in body:
            return refusal(f"Missing required parameter: '{name}'.", code="missing_required_parameter", parameter=name)
    for name in body:
        if name not in FIELDS[route]:
            return refusal(f"Unknown parameter: '{name}'.", code="unknown_parameter", parameter=name)
    return None
