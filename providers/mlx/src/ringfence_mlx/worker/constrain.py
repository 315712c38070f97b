"""Structured output: a mask on the logits that leaves only tokens with which the answer can still satisfy a schema."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakKeyDictionary

import llguidance
import llguidance.hf
import mlx.core as mx
import numpy as np

from ringfence_mlx.worker.schemalimits import ConstraintError, check_limits
from ringfence_mlx.worker.schemas import closed
from ringfence_mlx.worker.toolgrammar import tool_call_grammar

__all__ = ["Constraint", "ConstraintError", "ConstraintProcessor"]

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

# For what MLX's types know only in part.
_mx: Any = mx

# One space after a comma and a colon, as in most JSON that models have read, and never more: a model that may write
# white space without end sometimes does.
_OPTIONS: JsonCompileOptions = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "coerce_one_of": False,
    "lenient": False,
}


class Constraint:
    """A schema compiled for one tokenizer. Immutable; `processor` gives each request its own state."""

    def __init__(self, matcher: llguidance.LLMatcher, eos_tokens: Sequence[int]) -> None:
        self._matcher = matcher
        self._eos_tokens = tuple(eos_tokens)

    @classmethod
    def compile(cls, tokenizer: Any, schema: Mapping[str, Any]) -> Constraint:
        """Compiles `schema` for `tokenizer`, an `mlx_lm.tokenizer_utils.TokenizerWrapper`. Uses no MLX array.

        Raises:
            ConstraintError: a keyword cannot be enforced, nothing satisfies the schema, or it is too large.
        """
        check_limits(schema)
        try:
            grammar = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(closed(schema)), overrides=_OPTIONS)
        except ValueError:
            raise ConstraintError("the schema is not JSON") from None
        return cls._from_grammar(tokenizer, grammar)

    @classmethod
    def compile_tools(
        cls, tokenizer: Any, tools: Sequence[Mapping[str, Any]], *, schema: Mapping[str, Any] | None = None
    ) -> Constraint:
        """Compiles a constraint that leaves exactly one valid call of one of `tools`, in the model's own format.

        With a `schema` it leaves that, or an answer that satisfies the schema.

        Raises:
            ConstraintError: a tool's parameters cannot be enforced, or the format cannot be forced here.
        """
        for one in (*tools, *([] if schema is None else [schema])):
            check_limits(one)
        vocabulary = _vocabulary(tokenizer)
        grammar = tool_call_grammar(tokenizer, tools, _OPTIONS, vocabulary, schema=schema) if tools else None
        if grammar is None:
            raise ConstraintError("the model's format of tool calls cannot be forced")
        return cls._from_grammar(tokenizer, llguidance.LLMatcher.grammar_from_lark(grammar))

    @classmethod
    def _from_grammar(cls, tokenizer: Any, grammar: str) -> Constraint:
        vocabulary = _vocabulary(tokenizer)
        matcher = llguidance.LLMatcher(vocabulary, grammar, log_level=0, limits=_limits())
        # Some grammars show only at the first mask that they are too complex.
        trial = matcher.deep_copy()
        if not trial.is_error():
            trial.compute_bitmask()
        if trial.is_error():
            raise _refusal(trial.get_error())
        return cls(matcher, vocabulary.eos_tokens)

    def processor(self) -> ConstraintProcessor:
        """A logits processor for one request. Put it last: what comes after it could allow a token again."""
        return ConstraintProcessor(self._matcher.deep_copy(), self._eos_tokens)


class ConstraintProcessor:
    """Masks the logits of one request. Never raises, because an exception would end the whole batch.

    `finished` holds once the answer is complete and nothing can follow; in a `BatchGenerator` that is known when the
    last token comes out, one step before the end token would. `failure` says why the answer cannot be trusted, or is
    `None`; after it only end tokens are allowed.
    """

    def __init__(self, matcher: llguidance.LLMatcher, eos_tokens: Sequence[int]) -> None:
        self._matcher = matcher
        self._eos_tokens = list(eos_tokens)
        self._read: int | None = None
        self.failure: str | None = None

    @property
    def finished(self) -> bool:
        """Whether the answer satisfies the schema and nothing can follow."""
        return self.failure is None and self._matcher.is_stopped() and not self._matcher.is_error()

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """`logits` with −inf where a token is not allowed.

        Args:
            tokens: the prompt and every token so far, int32 of shape [n]. In the first call, the prompt alone.
            logits: any float dtype, shape [1, vocabulary]; the vocabulary may be larger than the tokenizer's.
        """
        try:
            # Starts the model's pass, so that the mask is made meanwhile.
            _mx.async_eval(logits)
            self._consume(tokens)
            allowed = self._allowed(logits.shape[-1])
        except Exception as error:  # noqa: BLE001 - INVARIANT: no exception leaves a processor
            self.failure = self.failure or f"the constraint failed with {type(error).__name__}"
            allowed = _only(self._eos_tokens, logits.shape[-1])
        return mx.where(_mx.array(allowed), logits, mx.array(-mx.inf, dtype=logits.dtype))

    def _consume(self, tokens: mx.array) -> None:
        if self._read is None:
            self._read = tokens.size
            return
        for token in cast("list[int]", tokens[self._read :].tolist()):
            if self.failure is None and not self._matcher.consume_token(token):
                self.failure = (
                    "the grammar became too complex" if self._matcher.is_error() else "a token was not allowed"
                )
        self._read = tokens.size

    def _allowed(self, size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
        if self.failure is not None or self._matcher.is_stopped():
            return _only(self._eos_tokens, size)
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            self.failure = "the grammar became too complex"
            return _only(self._eos_tokens, size)
        allowed = np.zeros(size, dtype=np.bool_)
        found = np.unpackbits(bits, bitorder="little")[:size]
        allowed[: found.size] = found
        return allowed


def _only(tokens: Sequence[int], size: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    allowed = np.zeros(size, dtype=np.bool_)
    allowed[[token for token in tokens if token < size]] = True
    return allowed


# ---------------------------------------------------------------- llguidance

_VOCABULARIES: WeakKeyDictionary[Any, llguidance.LLTokenizer] = WeakKeyDictionary()


def _vocabulary(tokenizer: Any) -> llguidance.LLTokenizer:
    """The tokenizer as llguidance sees it. Takes 0.6 s for 49,152 tokens, once."""
    found = _VOCABULARIES.get(tokenizer)
    if found is None:
        fast = tokenizer._tokenizer  # noqa: SLF001 - llguidance asks for the class that mlx-lm wraps
        found = llguidance.hf.from_tokenizer(fast, eos_token=sorted(tokenizer.eos_token_ids))
        _VOCABULARIES[tokenizer] = found
    return found


def _limits() -> llguidance.LLParserLimits:
    """Bounds on time and memory: fuel is about 50,000 a millisecond, a lexer state about 2 kB."""
    return llguidance.LLParserLimits(
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=500_000,
        step_max_items=50_000,
        max_items_in_row=20_000,
        max_lexer_states=20_000,
        max_grammar_size=200_000,
        verbose_errors=False,
    )


# What llguidance 1.9 says, and the keyword it is about. Its text may quote the schema, so none of it is passed on.
_KEYWORD_OF = (
    ("regex parse error", "pattern"),
    ("Unknown format", "format"),
    ("oneOf", "oneOf"),
    ("Resource", "$ref"),
    ("Invalid type", "type"),
    ("multipleOf", "multipleOf"),
    ("integer range", "minimum or maximum"),
    ("float range", "minimum or maximum"),
)


def _refusal(message: str) -> ConstraintError:
    if found := re.search(r"Unimplemented keys: (\[.*?\])", message):
        keywords = sorted(name for name in json.loads(found[1]) if re.fullmatch(r"\$?[A-Za-z]{1,24}", name))
        return ConstraintError(f"the schema uses what cannot be enforced: {', '.join(keywords)}", keywords=keywords)
    if "nsatisfiable" in message:
        return ConstraintError("nothing satisfies the schema")
    for sign, keyword in _KEYWORD_OF:
        if sign in message:
            return ConstraintError(f"the schema uses {keyword} in a way that cannot be enforced", keywords=(keyword,))
    return ConstraintError("the schema is too complex, or is not JSON Schema")
