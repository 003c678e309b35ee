#!/usr/bin/python3
"""A WebKitGTK browser for WebDriver whose profile outlives it; WebKit's own MiniBrowser forgets everything when automated."""

from webkit_view import new_context, run

run(new_context())
