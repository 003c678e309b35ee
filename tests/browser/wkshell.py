#!/usr/bin/python3
"""A WebKitGTK browser for WebDriver whose profile outlives it; an automated MiniBrowser would forget everything."""

from webkit_view import new_context, run

run(new_context())
