"""`ringfence ask`: one request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import click

from ringfence.cli import options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ringfence.assistant import Stream
    from ringfence.assistant.build import RequestOptions
    from ringfence.cli.consent import ConsentPrompt
    from ringfence.cli.media import Out
    from ringfence.policy import Policy
    from ringfence.request import JsonValue, Settings


class _Arguments(TypedDict):
    text: str | None
    task: str | None
    labels: tuple[str, ...]
    policy: str | None
    layers: tuple[str, ...]
    to: tuple[str, ...]
    consent: tuple[str, ...]
    schema: str | None
    attach: tuple[str, ...]
    instructions: str | None
    max_tokens: int | None
    temperature: float | None
    seed: int | None
    stop: tuple[str, ...]
    image_size: str | None
    image_count: int | None
    voice: str | None
    language: str | None
    audio_format: str | None
    out: str | None
    force: bool
    facts: tuple[str, ...]
    no_stream: bool
    ca_file: str | None
    proxy: str | None
    no_audit: bool
    no_download: bool
    as_json: bool


_EXAMPLES = """\b
Examples:
  ringfence ask "What is a mutex?"
  ringfence ask --task notification_summary < messages.txt
  git diff | ringfence ask "Write a commit message for this change."
  ringfence ask --task image --out fox.png "A fox in the snow"
  ringfence ask --task transcribe --attach talk.wav
"""


@click.command(epilog=_EXAMPLES)
@click.argument("text", required=False)
@options.task_option
@options.label_option
@options.policy_option
@options.layer_option
@options.to_option
@options.consent_option
@click.option("--schema", type=click.Path(), metavar="FILE", help="A JSON Schema that the answer must fit.")
@click.option(
    "--attach",
    type=click.Path(),
    multiple=True,
    metavar="FILE",
    help="A picture, recording or other file; may be repeated.",
)
@options.instructions_option
@click.option("--max-tokens", type=int, metavar="N", help="The longest answer, in tokens.")
@click.option("--temperature", type=float, metavar="T", help="How freely to choose words: 0 to 2; 0 is greedy.")
@click.option("--seed", type=int, metavar="N", help="Makes sampling repeatable, where the model can.")
@click.option("--stop", multiple=True, metavar="TEXT", help="End the answer before this text; may be repeated.")
@click.option("--image-size", metavar="WxH", help="The size of a picture in pixels, such as 1024x1024.")
@click.option("--image-count", type=int, metavar="N", help="How many pictures.")
@click.option("--voice", metavar="NAME", help="Whose voice speaks, as the model knows it.")
@click.option("--language", metavar="TAG", help="The language of speech that is transcribed, such as de.")
@click.option("--audio-format", metavar="NAME", help="What spoken sound is written as, such as mp3.")
@click.option("--out", type=click.Path(), metavar="FILE|FOLDER", help="Where pictures and sounds of the answer go.")
@click.option("--force", is_flag=True, help="Overwrite the file that --out names.")
@options.fact_option
@click.option("--no-stream", is_flag=True, help="Print the answer when it is complete.")
@options.ca_option
@options.proxy_option
@options.audit_option
@options.download_option
@options.json_option("A JSON line per event, the last the whole answer; one document with --no-stream.")
def ask(**given: Unpack[_Arguments]) -> None:
    """Asks for one answer to TEXT, or to what stands on stdin ("-" or no TEXT).

    With both, the answer is to TEXT with stdin after it. The answer goes to stdout; a receipt that says where the
    request went, and why, to stderr.
    """
    from ringfence.assistant import Assistant  # noqa: PLC0415  (`--help` waits for none of it)
    from ringfence.cli.consent import ConsentPrompt  # noqa: PLC0415
    from ringfence.cli.given import read_text  # noqa: PLC0415
    from ringfence.cli.media import read_out  # noqa: PLC0415
    from ringfence.transport import Network  # noqa: PLC0415

    policy = options.policy_in_force(given["policy"], given["layers"])
    request, schema = _request(policy, given)
    text = read_text(given["text"], optional=bool(given["attach"]))
    out = read_out(given["out"], task=given["task"], force=given["force"], as_json=given["as_json"])
    consent = ConsentPrompt(policy, given["consent"])
    network = Network(proxy=given["proxy"], ca_file=given["ca_file"])
    with Assistant(policy, audit=not given["no_audit"], consent=consent, network=network) as assistant:
        _answer(policy, given, lambda: assistant.stream(text, output=schema, **request), consent, out)


def _request(policy: Policy, given: _Arguments) -> tuple[RequestOptions, Mapping[str, JsonValue] | None]:
    from ringfence.cli.given import check_names, read_attachments, read_facts, read_schema  # noqa: PLC0415

    check_names(policy, task=given["task"], labels=given["labels"], to=given["to"], consent=given["consent"])
    request: RequestOptions = {
        "labels": given["labels"],
        "attachments": read_attachments(given["attach"]),
        "facts": read_facts(policy, given["facts"]),
        "settings": _settings(given),
    }
    if given["task"] is not None:
        request["task"] = given["task"]
    if given["instructions"] is not None:
        request["instructions"] = given["instructions"]
    if given["to"]:
        request["to"] = given["to"]
    return request, read_schema(given["schema"])


def _settings(given: _Arguments) -> Settings:
    from ringfence.request import Settings  # noqa: PLC0415

    return Settings(
        max_output_tokens=given["max_tokens"],
        temperature=given["temperature"],
        seed=given["seed"],
        stop=given["stop"],
        image_size=given["image_size"],
        image_count=given["image_count"],
        voice=given["voice"],
        language=given["language"],
        audio_format=given["audio_format"],
    )


def _answer(
    policy: Policy, given: _Arguments, start: Callable[[], Stream[Any]], consent: ConsentPrompt, out: Out | None
) -> None:
    from ringfence.cli.answer import printer_for, show_answer  # noqa: PLC0415
    from ringfence.errors import Unavailable  # noqa: PLC0415

    def once() -> None:
        printer = printer_for(policy, as_json=given["as_json"], stream=not given["no_stream"], out=out)
        show_answer(start(), printer, policy.name, consent)

    try:
        once()
    except Unavailable as error:
        from ringfence.cli.bring import bring_missing  # noqa: PLC0415  (only a model that is not here needs it)

        if given["no_download"] or not bring_missing(policy, error):
            raise
        once()


__all__ = ["ask"]
