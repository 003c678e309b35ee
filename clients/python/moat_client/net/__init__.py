"""Retry delays and server addresses, for both protocols."""
