"""Counters and gauges of the serving path, in the process's Prometheus registry."""

from prometheus_client import Counter, Gauge, Histogram

_FAST = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

RUNS_FINISHED = Counter("goals_runs_finished_total", "Runs that ended, by graph and outcome.", ["graph", "status"])
RUNS_ACTIVE = Gauge("goals_runs_active", "Runs this process executes now.", multiprocess_mode="livesum")
RUNS_QUEUED = Gauge(
    "goals_runs_queued", "Runs waiting for a worker, in the whole database.", multiprocess_mode="livemostrecent"
)
LEASES_LOST = Counter(
    "goals_run_leases_lost_total", "Runs this process had to give up because somebody else took over."
)
RUNS_REAPED = Counter("goals_runs_reaped_total", "Runs put back into the queue because their owner went silent.")
FRAMES_WRITTEN = Counter("goals_run_frames_total", "Frames committed to the log.")
FRAMES_WAITING = Gauge("goals_run_frames_waiting", "Frames not committed yet.", multiprocess_mode="livesum")
STREAMS_OPEN = Gauge("goals_streams_open", "Streams with a client at the other end.", multiprocess_mode="livesum")
STREAMS_DROPPED = Counter("goals_streams_dropped_total", "Streams closed because their reader was too slow.")
FIRST_FRAME = Histogram("goals_run_first_frame_seconds", "From the claim to the first visible frame.", buckets=_FAST)
FIRST_TOKEN = Histogram("goals_run_first_token_seconds", "From the claim to the first visible words.", buckets=_FAST)
CURSOR_LAG = Histogram(
    "goals_stream_lag_frames", "Frames a reader was behind when it was served.", buckets=(1, 10, 100, 1000)
)
