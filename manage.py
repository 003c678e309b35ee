#!/usr/bin/env python
"""Django's command line for Moat."""

import os
import sys

from django.core.management import execute_from_command_line

from config.private_files import create_private_files

if __name__ == "__main__":
    create_private_files()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.dev")
    execute_from_command_line(sys.argv)
