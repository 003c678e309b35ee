#!/usr/bin/env bash
# Serve for production: one uvicorn process, settings `prod`. Called by `make serve`.
set -euo pipefail
cd "$(dirname "$0")/../.."
export DJANGO_SETTINGS_MODULE=config.settings.prod
export PORT="${PORT:-8000}" MOAT_DATA_DIR="${MOAT_DATA_DIR:-$PWD/var}"

if [ -z "${SECRET_KEY:-}" ]; then
    key_file="$MOAT_DATA_DIR/secret.key"
    if [ ! -s "$key_file" ]; then
        mkdir -m 700 -p "$MOAT_DATA_DIR"
        (umask 077 && .venv/bin/python -c 'import secrets; print(secrets.token_urlsafe(64))' > "$key_file.new" && mv "$key_file.new" "$key_file")
        echo "SECRET_KEY is not set, so a new one was saved to $key_file. Back it up with your data and keep it secret."
    fi
    SECRET_KEY="$(cat "$key_file")"
    export SECRET_KEY
fi
case "${HTTPS:-1}" in
    0 | false | off | no) ;;
    *)
        echo "HTTPS is required: plain requests are redirected. Behind a TLS-terminating proxy, set HTTPS_PROXY_HEADER=1;"
        echo "to test on a plain local port, run: make serve HTTPS=0"
        ;;
esac

.venv/bin/python manage.py migrate --verbosity 0
exec .venv/bin/python -m config.serve
