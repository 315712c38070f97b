"""`ringfence ask`: what goes in, what comes out, and with which exit code."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from ringfence.cli.receipt_line import receipt_line
from ringfence.receipt import Receipt

if TYPE_CHECKING:
    from tests.cli.conftest import Machine, Run


RECEIPT = re.compile(
    r"^house · echo/echo · 5 in, 2 out · \d+\.\d s · rule work-stays-in-house · policy small$", re.MULTILINE
)


@pytest.mark.parametrize(
    ("cost_usd", "shown"),
    [(0.0012, "$0.0012"), (0.00001, "< $0.0001"), (0.0123456, "$0.0123"), (1.5, "$1.50"), (0.0, None), (None, None)],
)
def test_a_receipt_line_tells_a_price_that_is_known_and_not_nothing(cost_usd: float | None, shown: str | None) -> None:
    receipt = Receipt(
        id="1",
        started_at=0.0,
        outcome="answered",
        policy="small",
        policy_digest="sha256:0",
        task="open_question",
        labels=(),
        ring="partner",
        recipient="gpt",
        model="m",
        cost_usd=cost_usd,
        consented=True,
        duration_s=1.0,
    )
    price = f"{shown} · " if shown else ""
    assert receipt_line(receipt) == f"partner · gpt/m · {price}1.0 s · consented · policy small"


def test_the_answer_goes_to_stdout_and_the_receipt_to_stderr(run: Run) -> None:
    result = run("ask", "hello")
    assert (result.exit_code, result.stdout) == (0, "you said: hello\n")
    assert RECEIPT.fullmatch(result.stderr.strip())


@pytest.mark.parametrize("args", [(), ("-",)])
def test_the_text_may_stand_on_stdin(run: Run, args: tuple[str, ...]) -> None:
    assert run("ask", *args, stdin="hello\n").stdout == "you said: hello\n"


def test_not_streaming_prints_the_same(run: Run) -> None:
    assert run("ask", "--no-stream", "hello").stdout == "you said: hello\n"


def test_json_is_one_document_of_the_fixed_shape(run: Run) -> None:
    result = run("ask", "--json", "--no-stream", "--seed", "7", "hello")
    document = json.loads(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert list(document) == ["text", "output", "finish_reason", "usage", "adjustments", "receipt"]
    assert document["finish_reason"] == {"unified": "stop", "raw": "stop"}
    assert document["adjustments"] == [{"setting": "seed", "action": "ignored", "detail": "tiny has no dice"}]
    assert document["receipt"]["recipient"] == "echo"


def test_streamed_json_is_a_line_per_event_and_the_response_last(run: Run) -> None:
    result = run("ask", "--json", "hello")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    types = [line["type"] for line in lines]
    assert types == ["text_start", "text_delta", "text_delta", "text_end", "usage", "finish", "response"]
    assert lines[2] == {"type": "text_delta", "index": 0, "text": "hello"}
    assert set(lines[-1]) == {"type", "text", "output", "finish_reason", "usage", "adjustments", "receipt"}


def test_json_keeps_every_character(run: Run) -> None:
    document = json.loads(run("ask", "--json", "--no-stream", "妈妈 \U0001f370").stdout)
    assert document["text"] == "you said: 妈妈 \U0001f370"


def test_a_refusal_is_an_error_with_its_decision(run: Run) -> None:
    result = run("ask", "--json", "--label", "health", "hello")
    error = json.loads(result.stdout)["error"]
    assert result.exit_code == 1
    assert list(error) == ["type", "message", "decision"]
    assert (error["type"], error["decision"]["outcome"]) == ("Denied", "deny")
    assert error["decision"]["recipients"]["echo"]["verdict"] == "deny"


def test_a_refusal_gives_people_the_reasons(run: Run) -> None:
    result = run("ask", "--label", "health", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: policy 'small' allows no recipient")
    assert "  echo (house): " in result.stderr
    assert "\ntry: " in result.stderr


def test_a_refused_request_never_reaches_the_provider(run: Run, machine: Machine) -> None:
    run("ask", "--label", "health", "hello")
    assert machine.notes() == []


def test_a_failure_says_where_it_came_from(run: Run) -> None:
    result = run("ask", "--to", "rejects", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: tiny rejects this\ntry: another model\n")
    assert "failed · house · rejects/rejects" in result.stderr


def test_a_failure_in_json_has_no_decision(run: Run) -> None:
    error = json.loads(run("ask", "--json", "--to", "rejects", "hello").stdout)["error"]
    assert error == {"type": "RequestRejected", "message": "tiny rejects this (try: another model)", "decision": None}


def test_a_broken_stream_keeps_what_came_and_fails(run: Run) -> None:
    result = run("ask", "--to", "breaks", "hello")
    assert (result.exit_code, result.stdout) == (1, "half an ans\n")
    assert "error: the stream from 'breaks' broke after 11 characters" in result.stderr


def test_a_broken_stream_in_json_ends_with_the_error(run: Run) -> None:
    result = run("ask", "--json", "--to", "breaks", "hello")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 1
    assert lines[-1]["error"]["type"] == "StreamBroken"


def test_a_cut_answer_and_a_setting_not_honoured_are_said(run: Run) -> None:
    result = run("ask", "--to", "cut", "--seed", "1", "hello")
    assert result.stdout == "cut sho\n"
    assert "seed was ignored: tiny has no dice" in result.stderr
    assert "the answer was cut at the length limit" in result.stderr


def test_structured_output_is_validated(run: Run, machine: Machine) -> None:
    schema = machine.folder / "schema.json"
    schema.write_text('{"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}')
    result = run("ask", "--to", "json", "--schema", str(schema), "--json", "--no-stream", "who?")
    assert json.loads(result.stdout)["output"] == {"name": "Ada"}
    failed = run("ask", "--to", "echo", "--schema", str(schema), "who?")
    assert failed.exit_code == 1
    assert "the structured output is not valid" in failed.stderr


def test_an_attachment_goes_along_and_needs_no_text(run: Run, machine: Machine) -> None:
    picture = machine.folder / "a.png"
    picture.write_bytes(b"\x89PNG")
    assert run("ask", "--attach", str(picture), "look").stdout == "you said: look and 1 attached\n"
    assert run("ask", "--attach", str(picture)).stdout == "you said:  and 1 attached\n"


def test_instructions_facts_and_labels_are_taken(run: Run) -> None:
    result = run("ask", "--instructions", "be brief", "--fact", "user.age=7", "--label", "work", "hi", "--json")
    receipt = json.loads(result.stdout.splitlines()[-1])["receipt"]
    assert "work" in receipt["labels"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--label", "wrk", "x"), "error: label 'wrk' is not declared in policy 'small'\ntry: work\n"),
        (("--to", "ehco", "x"), "error: recipient 'ehco' is not declared in policy 'small'\ntry: echo\n"),
        (("--task", "rewite", "x"), "error: task 'rewite' is not declared in policy 'small'\ntry: rewrite\n"),
        (("--fact", "user.age", "x"), "error: --fact takes NAME=VALUE, not 'user.age'\n"),
        (("--fact", "a=1", "x"), "error: fact 'a' is not declared in policy 'small'\ntry: user.age\n"),
        (("--fact", "user.age=old", "x"), "error: 'old' is not a value of fact 'user.age'\n"),
        (("--schema", "nowhere.json", "x"), "error: schema 'nowhere.json' does not exist\n"),
        (("--attach", "nowhere.png", "x"), "error: attachment 'nowhere.png' does not exist\n"),
        (("--attach", "/", "x"), "error: attachment '/' is a directory\n"),
        (("--temperature", "3", "x"), "error: temperature must lie in [0, 2]\n"),
        (("--temperature", "nan", "x"), "error: temperature must lie in [0, 2]\n"),
        (("--temperature", "hot", "x"), "error: invalid value for '--temperature': 'hot' is not a valid float\n"),
        (("--max-tokens", "0", "x"), "error: max_output_tokens must lie in [1, "),
        (("--stop", "", "x"), "error: every stop sequence must be a non-empty string\n"),
        ((" \n",), "error: TEXT is empty\n"),
        (("one", "two"), "error: got unexpected extra argument (two)\n"),
    ],
)
def test_wrong_usage_is_exit_2_and_one_clear_message(run: Run, args: tuple[str, ...], message: str) -> None:
    result = run("ask", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message.rstrip("\n") in result.stderr
    assert "\ntry: " in result.stderr or "lie in" in result.stderr or "stop" in result.stderr


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (b"", "standard input is empty"),
        (b" \n\n", "standard input is empty"),
        (b"\xff\xfe\x00h", "standard input is not UTF-8 text"),
        (b"\x00\x01\x02", "standard input is not UTF-8 text"),
        (b"x" * (17 << 20), "standard input is larger than 16 MiB"),
    ],
)
def test_stdin_that_is_no_text_is_wrong_usage(run: Run, stdin: bytes, message: str) -> None:
    result = run("ask", stdin=stdin)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"error: {message}\n")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "schema.json:1:2: not JSON"), ("[]", "is not a JSON object"), ('{"type": 7}', "not a valid JSON Schema")],
)
def test_a_bad_schema_is_wrong_usage(run: Run, machine: Machine, content: str, message: str) -> None:
    schema = machine.folder / "schema.json"
    schema.write_text(content)
    result = run("ask", "--schema", str(schema), "x")
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_missing_model_is_downloaded_and_asked(run: Run, machine: Machine) -> None:
    result = run("ask", "--to", "absent", "hello")
    assert (result.exit_code, result.stdout) == (0, "you said: hello\n")
    said = result.stderr
    assert "model absent is not on this machine yet\ndownloading 4.0 MB from example.test\n" in said
    assert f"model absent is kept in {machine.cache / 'tiny' / 'absent'}\n" in said
    assert "downloading 20 %\ndownloading 100 %\n" in said


def test_a_model_that_another_process_brings_is_waited_for(run: Run) -> None:
    result = run("ask", "--to", "arriving", "hello")
    assert (result.exit_code, result.stdout) == (0, "you said: hello\n")
    assert "another process is downloading it\n" in result.stderr


def test_a_download_leaves_json_clean(run: Run) -> None:
    result = run("ask", "--json", "--no-stream", "--to", "absent", "hello")
    assert json.loads(result.stdout)["text"] == "you said: hello"


def test_no_download_fails_with_the_way_out(run: Run, machine: Machine) -> None:
    result = run("ask", "--no-download", "--to", "absent", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "error: model 'absent' is not on this machine\ntry: ringfence models pull absent\n" in result.stderr
    assert not (machine.cache / "tiny" / "absent").exists()


def test_what_no_download_mends_is_not_downloaded(run: Run) -> None:
    result = run("ask", "--to", "homeless", "hello")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: not enough memory\ntry: a smaller model\n")


def test_each_request_is_on_record_unless_asked_otherwise(run: Run, machine: Machine) -> None:
    run("ask", "--no-audit", "hello")
    assert not (machine.state / "audit").exists()
    run("ask", "hello")
    assert len(json.loads(run("audit", "list", "--json").stdout)["records"]) == 1


def test_an_audit_log_that_cannot_be_written_keeps_the_request_back(run: Run, machine: Machine) -> None:
    machine.state.mkdir()
    (machine.state / "audit").write_text("not a folder")
    result = run("ask", "hello")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert machine.notes() == []


def test_the_provider_is_closed_at_the_end(run: Run, machine: Machine) -> None:
    run("ask", "hello")
    assert machine.notes() == ["closed"]


def test_a_pipe_gets_an_answer_as_it_is(run: Run) -> None:
    """Only a terminal could be driven by what a model writes."""
    assert run("ask", "--to", "escapes", "x").stdout == "\x1b[31mred\x07\n"


def test_an_answer_that_began_again_reaches_a_pipe_once(run: Run, machine: Machine) -> None:
    """What a pipe got cannot be taken back, so an answer that may begin again is held until it is whole."""
    again = "prefer: [breaks]\n    fallback: [echo]\n    on_broken_stream: restart\n"
    before, _, _ = machine.policy.read_text().partition("prefer:")
    machine.policy.write_text(before + again)
    result = run("ask", "hello")
    assert (result.exit_code, result.stdout) == (0, "you said: hello\n")
    assert "the stream from breaks broke; it began again at echo\n" in result.stderr
    joined = [json.loads(line) for line in run("ask", "--json", "hello").stdout.splitlines()]
    assert {"type": "joined", "broken": "breaks", "recipient": "echo", "how": "restart"} in joined


def _with_earlier(machine: Machine, recipient: str, flow: str = "") -> None:
    """A policy that prefers a recipient `server` to `echo`."""
    text = machine.policy.read_text()
    text = text.replace("recipients:\n", f"recipients:\n  server: {recipient}\n", 1)
    text = text.replace("prefer: [echo,", "prefer: [server, echo,", 1)
    machine.policy.write_text(text.replace("flow:\n", f"flow:\n{flow}", 1))


@pytest.mark.parametrize(
    ("recipient", "why"),
    [
        ("{ring: house, provider: nowhere, model: x}", "was unavailable (provider 'nowhere' is not installed)"),
        ("{ring: house, provider: tiny, model: homeless}", "was unavailable (no memory)"),
    ],
)
def test_a_recipient_that_was_passed_over_is_said_before_the_receipt(
    run: Run, machine: Machine, recipient: str, why: str
) -> None:
    _with_earlier(machine, recipient)
    result = run("ask", "hello")
    assert result.stdout == "you said: hello\n"
    assert result.stderr.splitlines()[0] == f"server {why}; answered by echo"


def test_a_recipient_that_needs_attesting_is_said(run: Run, machine: Machine) -> None:
    rule = '  - {id: attested, allow: {labels: "*", to: [server]}, require: {attested: true}}\n'
    _with_earlier(machine, "{ring: house, provider: tiny, model: echo}", rule)
    machine.policy.write_text(machine.policy.read_text().replace("to: [house]", "to: [echo]"))
    result = run("ask", "--label", "work", "hello")
    assert "server has to be attested, which its provider cannot do; answered by echo" in result.stderr


def test_what_a_plugin_says_of_an_adjustment_cannot_drive_the_terminal(run: Run, machine: Machine) -> None:
    source = machine.site / "ringfence_tiny" / "__init__.py"
    source.write_text(source.read_text().replace("tiny has no dice", "no \\x1b]0;dice"))
    result = run("ask", "--seed", "7", "hello")
    assert "\x1b" not in result.stderr
    assert "seed was ignored: no \N{REPLACEMENT CHARACTER}]0;dice" in result.stderr
