"""What a client learns when a graph fails: what to do next, never what an exception happened to print."""

from dataclasses import dataclass
from typing import Any

from langgraph.errors import EmptyInputError, GraphRecursionError, InvalidUpdateError

from store.errors import StoreError


@dataclass(frozen=True, slots=True)
class Failure:
    """A safe description of a failure."""

    error: str
    message: str
    request_id: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The body of an `error` frame."""
        body: dict[str, Any] = {"error": self.error, "message": self.message}
        if self.request_id is not None:
            body["request_id"] = self.request_id
        return body


def failure_of(error: BaseException, request_id: str | None) -> Failure:
    """Describe `error` for the client. An exception may offer its own safe text as `public_message`."""
    public: object = getattr(error, "public_message", None)
    if isinstance(public, str):
        return Failure(type(error).__name__, public, request_id)
    if isinstance(error, GraphRecursionError):
        text = "The graph took more steps than its recursion limit allows. Ask for less at once or raise the limit."
        return Failure("GraphRecursionError", text, request_id)
    if isinstance(error, EmptyInputError):
        return Failure("EmptyInputError", "There is nothing to continue on this thread; send an input.", request_id)
    if isinstance(error, InvalidUpdateError):
        return Failure("InvalidUpdateError", "The input does not fit the graph's state; see its schemas.", request_id)
    if isinstance(error, StoreError):
        return Failure(type(error).__name__, str(error), request_id)
    hint = f" and quote {request_id}" if request_id else ""
    return Failure(
        type(error).__name__, f"The run failed inside the graph. Try again{hint} if it fails again.", request_id
    )
