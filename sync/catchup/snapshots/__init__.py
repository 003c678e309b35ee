"""Snapshots: ready replica files of a channel. `build` makes them, `store` keeps them, `service` decides when."""
