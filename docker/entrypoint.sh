#!/bin/sh
# The first process of every image: files of NAME=value lines in /run/secrets (or SECRETS) become environment,
# then the command takes this process's place, so that signals reach it.
set -eu

for file in "${SECRETS:-/run/secrets}"/*.env; do
    if [ -r "$file" ]; then
        set -a
        # shellcheck source=/dev/null
        . "$file"
        set +a
    fi
done
exec "$@"
