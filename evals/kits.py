"""Opens the models an evaluation asks for: offline rules, a recording, a live server, or one that misbehaves."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import SecretStr

from evals.cassettes import Recording, Replaying, path_of
from evals.chaos import KINDS, ChaosChatModel
from evals.samples import Sample
from graphs.opening import (
    EmbedderConfig,
    Embedders,
    ModelRole,
    Models,
    ModelSettings,
    offline_rules,
    open_embedder,
    open_models,
)


class UnknownModel(ValueError):
    """Name a model as offline, openai:<name>, or replay:<name>."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no model {name!r}. {self.__doc__}")


@dataclass(slots=True)
class Kit:
    """The models of an evaluation, opened anew for every run, and the embedder all runs share."""

    name: str
    cassettes: Path
    record: bool = False
    embedder: Embedders = field(default_factory=lambda: open_embedder(EmbedderConfig()))
    missed: Callable[[], list[str]] = list
    """What the last models opened had no recording for."""

    def open(self, sample: Sample, trial: int) -> Models:
        """Return the models of one run. Raises UnknownModel."""
        models = self._open(sample, trial)
        fault = sample.fault
        if fault is None or fault.kind not in KINDS:
            return models
        spoilt = {
            role: ChaosChatModel(inner=models.chat_models[role], kind=fault.kind, at=fault.at) for role in ModelRole
        }
        return Models(spoilt, offline=models.offline, clients=models.clients)

    def _open(self, sample: Sample, trial: int) -> Models:
        source, _, model = self.name.partition(":")
        match source:
            case "offline" if not model:
                return open_models(ModelSettings(), offline_rules())
            case "openai" if model:
                return self._live(model, sample, trial)
            case "replay" if model:
                tape = Replaying(path_of(self.cassettes, model, sample.id, trial))
                self.missed = lambda: tape.misses
                settings = _settings(model, base_url="http://recorded.invalid/v1", attempts=1)
                return open_models(settings, offline_rules(), (httpx.Client(), httpx.AsyncClient(transport=tape)))
            case _:
                raise UnknownModel(self.name)

    def _live(self, model: str, sample: Sample, trial: int) -> Models:
        key = os.environ.get("OPENAI_API_KEY")
        settings = _settings(model, base_url=os.environ.get("OPENAI_BASE_URL"), attempts=3, key=key)
        if not settings.configured:
            raise UnknownModel(f"{self.name} without OPENAI_API_KEY or OPENAI_BASE_URL")
        if not self.record:
            return open_models(settings, offline_rules())
        tape = Recording(path_of(self.cassettes, model, sample.id, trial), httpx.AsyncHTTPTransport())
        return open_models(settings, offline_rules(), (httpx.Client(), httpx.AsyncClient(transport=tape)))


def _settings(model: str, *, base_url: str | None, attempts: int, key: str | None = None) -> ModelSettings:
    return ModelSettings(
        api_key=SecretStr(key) if key else None,
        base_url=base_url,
        plan=model,
        review=model,
        explain=model,
        attempts=attempts,
    )
