"""What can go wrong with a model, as a few typed outcomes a learner can be told about."""

from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache

import httpx


class FailureKind(StrEnum):
    """How a model failed."""

    TIMEOUT = "timeout"
    RATE_LIMITED = "rate_limited"
    UNAUTHORISED = "unauthorised"
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    CUT_OFF = "cut_off"
    MALFORMED = "malformed"
    BUDGET = "budget"


ADVICE = {
    FailureKind.TIMEOUT: "The model did not answer in time. Nothing was changed; send the request again.",
    FailureKind.RATE_LIMITED: "The model's provider is limiting requests. Nothing was changed; try again in a minute.",
    FailureKind.UNAUTHORISED: "The model's provider refused the service's key. Whoever runs the service has to fix it.",
    FailureKind.UNAVAILABLE: "The model's provider cannot be reached. Nothing was changed; try again in a minute.",
    FailureKind.REFUSED: "The model's provider refused the request. Say it differently, or shorten it.",
    FailureKind.CUT_OFF: "The model's answer stopped half-way, and half an answer is not used. Send the request again.",
    FailureKind.MALFORMED: "The model did not answer in a usable form, even when asked again. Send the request again.",
    FailureKind.BUDGET: "This run has used up its budget of model and tool calls. Ask for a smaller step.",
}


class ModelFailure(Exception):
    """A model gave no usable answer; the message is safe to show and holds nothing a provider sent."""

    def __init__(self, kind: FailureKind) -> None:
        super().__init__(ADVICE[kind])
        self.kind = kind


@cache
def _kinds() -> tuple[tuple[tuple[type[BaseException], ...], FailureKind], ...]:
    """The most telling class first; a subclass stands before its base."""
    import openai  # noqa: PLC0415 - two seconds that only a deployment with a real model should pay

    return (
        ((openai.APITimeoutError, httpx.TimeoutException, TimeoutError), FailureKind.TIMEOUT),
        ((openai.RateLimitError,), FailureKind.RATE_LIMITED),
        ((openai.AuthenticationError, openai.PermissionDeniedError), FailureKind.UNAUTHORISED),
        ((openai.LengthFinishReasonError,), FailureKind.CUT_OFF),
        ((openai.ContentFilterFinishReasonError,), FailureKind.REFUSED),
        ((openai.InternalServerError,), FailureKind.UNAVAILABLE),
        ((openai.APIResponseValidationError,), FailureKind.MALFORMED),
        ((openai.APIStatusError,), FailureKind.REFUSED),
        ((openai.OpenAIError, httpx.HTTPError), FailureKind.UNAVAILABLE),
    )


def kind_of(error: BaseException) -> FailureKind | None:
    """Classify an error of the model libraries; None when it is not theirs."""
    if isinstance(error, ModelFailure):
        return error.kind
    found = next((kind for kinds, kind in _kinds() if isinstance(error, kinds)), None)
    return FailureKind.CUT_OFF if found is FailureKind.UNAVAILABLE and _broke_off(error) else found


def _broke_off(error: BaseException) -> bool:
    """Tell whether a connection that had begun to answer was lost; the libraries wrap that more than once."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.RemoteProtocolError | httpx.ReadError):
            return True
        cause = cause.__cause__
    return False


@contextmanager
def translated() -> Generator[None]:
    """Turn the libraries' errors into `ModelFailure`, once, at the border."""
    try:
        yield
    except ModelFailure:
        raise
    except Exception as error:
        kind = kind_of(error)
        if kind is None:
            raise
        raise ModelFailure(kind) from error
