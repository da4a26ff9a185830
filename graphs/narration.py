"""How a graph speaks while it works: streamed words as AI messages, and progress as custom events."""

from langchain_core.messages import AIMessage
from langgraph.runtime import Runtime

from agents.offline import Speaker
from graphs.context import LearnerContext


async def say(text: str) -> AIMessage:
    """Stream a text the service composed and return it as the message to keep in the state."""
    return await Speaker(words=text).ainvoke("speak")


def progress(runtime: Runtime[LearnerContext], step: str, text: str, **facts: object) -> None:
    """Tell custom-mode clients what is happening now, in one line, with the figures behind it."""
    runtime.stream_writer({"type": "progress", "step": step, "text": text, **facts})
