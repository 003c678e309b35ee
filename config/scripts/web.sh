#!/usr/bin/env bash
# Build the web client: install its npm packages where Django serves them. With --dev, also the tools for its tests.
set -euo pipefail
cd "$(dirname "$0")/../.."
. config/scripts/node.sh || { echo "Node.js not found: skipping the web client." >&2; exit 1; }
cd clients/web
without=(--omit=dev)
if [ "${1:-}" = "--dev" ]; then
    without=()
    # Skip an up-to-date build, so that files do not change under a running server.
    [ -d node_modules/typescript ] && [ -d node_modules/axe-core ] && [ sdk/vendor/.built -nt package-lock.json ] && exit
fi
npm ci --silent --no-audit --no-fund "${without[@]}"
npm run --silent build
touch sdk/vendor/.built
