"""What a client says over a WebSocket, a frame at a time."""

from starlette.websockets import WebSocket, WebSocketDisconnect

from api.bodies import decode
from api.errors import Problem


async def next_text(socket: WebSocket) -> str | None:
    """Return the text of the next frame, None for a binary one; raises WebSocketDisconnect when the client has gone."""
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005), message.get("reason"))
    return message.get("text")


def value_of(text: str | None, most_chars: int) -> object:
    """Return the JSON value of a frame; raises Problem for what is too large, binary or no JSON."""
    if text is None:
        raise Problem(400, "binary_frame", "Send frames as text; a binary one is not understood.")
    if len(text) > most_chars:
        raise Problem(413, "too_large", f"A frame may have {most_chars} characters at most.")
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise Problem(400, "invalid_json", "The frame holds a lone surrogate; send valid Unicode.") from None
    return decode(raw)
