#!/usr/bin/env bash
# Build the images, run docker/compose.yaml from a small crawl to an answer of the server, and clean up.
# Needs Docker with compose, Python 3.11 or newer, and curl.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=$(mktemp -d)
compose=(docker compose --file docker/compose.yaml --file docker/test/compose.yaml)
export GRISTMILL_CRAWL=$work/crawl

clean_up() {
    status=$?
    [ $status = 0 ] || "${compose[@]}" logs --tail 50
    "${compose[@]}" down --volumes --timeout 60
    rm -rf "$work" docker/secrets/s3.env docker/secrets/server.env
    exit $status
}
trap clean_up EXIT

python3 -c 'import pathlib, sys; from tests import small_crawl; small_crawl.build(pathlib.Path(sys.argv[1]))' \
    "$GRISTMILL_CRAWL"
printf 'AWS_ACCESS_KEY_ID=gristmill\nAWS_SECRET_ACCESS_KEY=%s\n' "$(openssl rand -hex 20)" > docker/secrets/s3.env
key=$(openssl rand -hex 20)
printf 'GRISTMILL_API_KEYS=%s\n' "$key" > docker/secrets/server.env
chmod a+rX -R "$work" docker/secrets/*.env

"${compose[@]}" build
"${compose[@]}" up --detach --wait --wait-timeout 1800 server

ask() {
    curl --silent --show-error --fail-with-body --retry 30 --retry-all-errors --retry-delay 2 \
        --header "Authorization: Bearer $1" --header 'Content-Type: application/json' \
        --data '{"model": "run", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}' \
        http://127.0.0.1:8000/v1/chat/completions
}
ask "$key" | grep '"completion_tokens"'
status=$(curl --silent --output /dev/null --write-out '%{http_code}' --header 'Authorization: Bearer wrong' \
    http://127.0.0.1:8000/v1/models)
[ "$status" = 401 ]
echo 'The server answered, and refused a wrong key.'
