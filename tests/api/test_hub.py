"""What a process remembers of the threads it works on, and for how long."""

from api.runs.hub import TAIL_FRAMES, Hub
from store.frames import Frame


def frames(first: int, last: int) -> list[Frame]:
    return [Frame(seq, "run", "values", "", "{}") for seq in range(first, last + 1)]


def test_a_run_that_begins_here_needs_no_look_at_the_log() -> None:
    hub = Hub()
    hub.keep("t", after=7)
    assert hub.since("t", 7) == []
    hub.publish("t", frames(8, 9))
    assert hub.since("t", 7) == frames(8, 9)
    assert hub.since("t", 8) == frames(9, 9)
    assert hub.since("t", 6) is None
    assert hub.since("t", 10) is None


def test_frames_are_forgotten_with_the_last_who_may_want_them() -> None:
    hub = Hub()
    hub.keep("t", after=0)
    hub.publish("t", frames(1, 2))
    with hub.subscribe("t", stale=False) as subscription:
        hub.release("t")
        assert hub.since("t", 0) == frames(1, 2)
        assert not subscription.stale
    assert hub.since("t", 0) is None
    hub.publish("t", frames(3, 3))
    assert hub.since("t", 2) is None


def test_a_gap_is_never_bridged() -> None:
    hub = Hub()
    hub.keep("t", after=0)
    hub.publish("t", frames(1, 2))
    hub.publish("t", frames(5, 6))
    assert hub.since("t", 2) is None
    assert hub.since("t", 4) == frames(5, 6)


def test_memory_is_bounded_and_what_left_it_is_in_the_log() -> None:
    hub = Hub()
    hub.keep("t", after=0)
    hub.publish("t", frames(1, 2 * TAIL_FRAMES + 1))
    assert hub.since("t", 0) is None
    last = 2 * TAIL_FRAMES + 1
    assert hub.since("t", last - 3) == frames(last - 2, last)
