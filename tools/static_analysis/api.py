"""What other rooms use of the static layer."""

from .analysis import LANGUAGES, analyse, normalise
from .catalogue import RuleText, rules
from .outcome import Analysis, Depth
from .runner import Limits

__all__ = ["LANGUAGES", "Analysis", "Depth", "Limits", "RuleText", "analyse", "normalise", "rules"]
