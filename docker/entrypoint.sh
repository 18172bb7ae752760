#!/bin/sh
# First process of every image: export the NAME=value lines of files in /run/secrets (or SECRETS), then replace this
# process by the command, so that signals reach it.
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
