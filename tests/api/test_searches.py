"""What is measured without a request of its own: searches, whoever asked."""

from prometheus_client import REGISTRY

from api.searches import searches_measured
from store.principal import Principal
from store.search import SearchRequest
from store.search_audit import tell
from store.types import Role


def _counted() -> float:
    labels = {"scope": "user", "route": "none", "outcome": "refused"}
    return REGISTRY.get_sample_value("goals_search_seconds_count", labels) or 0.0


def test_every_search_is_measured_once_while_the_service_is_open() -> None:
    before = _counted()
    with searches_measured():
        tell(Principal("ada", Role.LEARNER), SearchRequest("go"), None, 0.01)
    tell(Principal("ada", Role.LEARNER), SearchRequest("go"), None, 0.01)
    assert _counted() == before + 1
