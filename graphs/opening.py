"""What a program opens before it runs the graphs: the outer rooms find models and embedders here, no further in."""

from agents.embedders import EmbedderConfig, Embedders, Offline
from agents.embedders import build as open_embedder
from agents.models import ModelRole, Models, ModelSettings, open_models
from graphs.deps import offline_rules

__all__ = [
    "EmbedderConfig",
    "Embedders",
    "ModelRole",
    "ModelSettings",
    "Models",
    "Offline",
    "offline_rules",
    "open_embedder",
    "open_models",
]
