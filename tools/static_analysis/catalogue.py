"""What each rule means to a learner: source, category, severity, and words in English and Spanish."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydantic import TypeAdapter

from store.findings import Severity, Source


@dataclass(frozen=True, slots=True)
class RuleText:
    """One entry of the catalogue; `en` and `es` are a title and a reason."""

    source: Source
    category: str
    severity: Severity
    hint_key: str
    en: tuple[str, str]
    es: tuple[str, str]

    def title(self, locale: str, detail: str) -> str:
        text = self._words(locale)[0]
        return text.replace("{detail}", detail) if detail else text.replace(" `{detail}`", "")

    def why(self, locale: str) -> str:
        return self._words(locale)[1]

    def _words(self, locale: str) -> tuple[str, str]:
        return self.es if locale.lower().startswith("es") else self.en


@lru_cache(maxsize=1)
def rules() -> Mapping[str, RuleText]:
    """Return every rule by its id, read once."""
    text = Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8")
    return TypeAdapter(dict[str, RuleText]).validate_python(tomllib.loads(text))
