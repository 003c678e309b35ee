#!/usr/bin/env bash
# Start the demo's server on HOST:PORT, by default for this machine only: its passwords are public. Called by `make demo`.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="${DEMO_PYTHON:-.venv/bin/python}"
host="${HOST:-127.0.0.1}"
case "$host" in
    127.*) hosts="localhost,127.0.0.1,[::1],$host" ;;
    localhost) hosts="localhost,127.0.0.1,[::1]" ;;
    0.0.0.0) hosts="*" ;;
    *) hosts="$host,localhost,127.0.0.1" ;;
esac
case "$host" in
    127.* | localhost) ;;
    *) echo "HOST=$host: everybody on your network can sign in with the demo's passwords, and as its administrator." >&2 ;;
esac
export ALLOWED_HOSTS="${ALLOWED_HOSTS:-$hosts}"
exec "$python" manage.py runserver --noreload "$host:${PORT:-8000}"
