#!/bin/sh
# Install Gristmill into a new environment, with pinned versions. Run it in the repository's folder, with the
# Python that the environment is for.
#
#   docker/install.sh needs FOLDER EXTRA…   dependencies of Gristmill with these extras
#   docker/install.sh gristmill FOLDER      Gristmill itself
#
# Two steps, because the first is slow and changes only with the pins. uv is installed outside the environment.
set -eu

step=$1
environment=$2
tools=$environment-tools
shift 2

install() {
    "$tools/bin/uv" pip install --quiet --python "$environment/bin/python" --compile-bytecode \
        --constraints constraints.txt --build-constraints constraints.txt "$@"
}

case $step in
needs)
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt uv
    python3 -m venv --without-pip "$environment"
    for extra; do
        shift
        set -- "$@" --extra "$extra"
    done
    install --requirements pyproject.toml "$@"
    ;;
gristmill)
    install --no-deps .
    ;;
*)
    echo "error: $step: no such step; use needs or gristmill" >&2
    exit 1
    ;;
esac
