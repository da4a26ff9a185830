"""Which pages of other origins may talk to this service."""

import re
from urllib.parse import urlsplit

from api.settings import Settings

STUDIO_ORIGINS = ("https://smith.langchain.com", "https://agentchat.vercel.app")
LOCAL_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?|vscode-webview://[\w-]+"


def admitted(settings: Settings, origin: str, host: str | None) -> bool:
    """Whether a page may open a WebSocket: what CORS decides for every other request, browsers ask of nobody here."""
    try:
        if urlsplit(origin).netloc == host:
            return True
    except ValueError:  # such as a bracket that is never closed: no browser says that
        return False
    if settings.cors_origins:
        return origin in settings.cors_origins
    return origin in STUDIO_ORIGINS or re.fullmatch(LOCAL_ORIGIN, origin) is not None
