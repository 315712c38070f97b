"""Tools that run at the server: those that send or load something elsewhere are the operator's to allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ringfence.errors import InvalidRequest
from ringfence.request import JsonValue

_HARMLESS = frozenset(
    {
        # Called in the app, which is not this provider's to allow.
        "function",
        "custom",
        "computer",
        "computer_use_preview",
        "local_shell",
        "apply_patch",
        # They stay with the vendor.
        "file_search",
        "image_generation",
        "programmatic_tool_calling",
        "tool_search",
        "namespace",
    }
)
_FAMILIES = ("web_search", "code_interpreter", "mcp", "shell")
"""Of the vendor; `web_search_preview` and dated kinds are `web_search`."""

_FIELDS: Mapping[str, str] = {"web_search_options": "web_search"}
"""Fields that are such a tool by themselves."""


def check_server_tools(name: str, value: JsonValue, allowed: frozenset[str]) -> None:
    """Does nothing if the field `name`, which the app gave, brings no tool along but harmless and `allowed` ones.

    Raises:
        InvalidRequest: it brings another. A kind that is not known is another: nobody knows where it reaches.
    """
    kinds = {_FIELDS[name]} if name in _FIELDS else _kinds(value) if name == "tools" else ()
    for kind in kinds:
        family = next((one for one in _FAMILIES if kind == one or kind.startswith(f"{one}_")), None)
        # INVARIANT: nothing of a request goes on from the recipient to a host that the operator did not allow.
        if kind not in _HARMLESS | allowed and family not in allowed:
            raise InvalidRequest(
                f"tools of the server are the operator's to allow{f', such as {family}' if family else ''}",
                way_out=f"options: {{server_tools: [{family or 'its type'}]}}, at the recipient in the policy",
            )


def _kinds(tools: JsonValue) -> Iterator[str]:
    """The type of every tool, those inside of others included; an empty one where it has none."""
    if not isinstance(tools, Sequence) or isinstance(tools, str):
        tools = (tools,)
    for tool in tools:
        if not isinstance(tool, Mapping):
            yield ""
            continue
        kind = tool.get("type")
        yield kind if isinstance(kind, str) else ""
        if "tools" in tool:
            yield from _kinds(tool["tools"])


__all__ = ["check_server_tools"]
