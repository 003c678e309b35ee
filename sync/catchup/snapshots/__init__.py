"""Snapshots: ready replica files of a channel. `build` makes the file, `store` cuts, publishes and serves it, `service` decides when."""
