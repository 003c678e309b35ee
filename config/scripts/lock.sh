#!/usr/bin/env bash
# Rewrite requirements.txt: resolve pyproject.toml in a fresh environment and pin the result. Called by `make lock`.
set -euo pipefail
cd "$(dirname "$0")/../.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
"${1:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check ".[scale,dev]" ./clients/python
{
    head -n 1 requirements.txt
    "$work/venv/bin/pip" freeze --exclude moat --exclude moat-client
} > "$work/requirements.txt"
mv "$work/requirements.txt" requirements.txt
echo "requirements.txt now pins $(grep -c == requirements.txt) packages."
