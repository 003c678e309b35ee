"""Prometheus metrics of this process. docs/guides/operate.md explains each."""

from prometheus_client import Counter, Gauge, Histogram

connections = Gauge("moat_connections", "Open WebSocket connections.")
hellos = Counter("moat_hellos", "Hello messages received, by outcome.", ["outcome"])
pushes = Counter("moat_pushes", "Push frames accepted.")
ops = Counter("moat_ops", "Op results sent, by status.", ["status"])
push_seconds = Histogram(
    "moat_push_seconds",
    "Seconds from receiving a push to sending its ack.",
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
commits = Counter("moat_commits", "Commits announced in this process.")
commit_changes = Histogram(
    "moat_commit_changes", "Changes per commit.", buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)
)
frames_sent = Counter("moat_frames_sent", "Live frames sent to subscribers.")
change_deliveries = Counter("moat_change_deliveries", "Changes sent to subscribers in live frames.")
catch_ups = Counter("moat_catch_ups", "Catch-ups started, by mode.", ["mode"])
slow_readers = Counter("moat_slow_readers", "Subscribers switched from live to catch-up because they read too slowly.")
protocol_errors = Counter("moat_protocol_errors", "Errors sent to clients, by code.", ["code"])
limit_rejections = Counter(
    "moat_limit_rejections", "Messages and ops rejected because they exceed a limit, by limit.", ["limit"]
)
snapshot_builds = Counter("moat_snapshot_builds", "Snapshots built, by method.", ["how"])
snapshot_seconds = Histogram(
    "moat_snapshot_build_seconds", "Time to build a snapshot.", buckets=(0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
snapshot_parts = Counter("moat_snapshot_parts", "Snapshot parts served, by transport.", ["way"])
wakeups = Counter("moat_wakeups", "Notifications of commits in other processes, by source.", ["way"])
log_lines_dropped = Counter(
    "moat_log_lines_dropped", "Log lines that could not be written: the log is too slow, or its disk is full."
)
cache_fallbacks = Counter(
    "moat_cache_fallbacks", "Counter operations served from local memory because Redis was unavailable."
)
