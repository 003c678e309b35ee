#!/usr/bin/env bash
# Builds the web client: what it takes from npm, put where Django serves it. With --dev also what its checks and tests need.
set -euo pipefail
cd "$(dirname "$0")/../.."
. config/scripts/node.sh || { echo "There is no Node: the web client is left out." >&2; exit 1; }
cd clients/web
without=(--omit=dev)
if [ "${1:-}" = "--dev" ]; then
    without=()
    # Nothing is written anew under a server that is running.
    [ -d node_modules/typescript ] && [ -d node_modules/axe-core ] && [ sdk/vendor/.built -nt package-lock.json ] && exit
fi
npm ci --silent --no-audit --no-fund "${without[@]}"
npm run --silent build
touch sdk/vendor/.built
