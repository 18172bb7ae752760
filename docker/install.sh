#!/bin/sh
# Installs Gristmill into a fresh environment, every version as pinned. Run it in the repository's folder, with
# the Python that the environment shall have.
#
#   docker/install.sh needs FOLDER EXTRA…   what Gristmill with these extras needs
#   docker/install.sh gristmill FOLDER      Gristmill itself
#
# Two steps, since the first is long and changes only with the pins. uv stays outside of the environment.
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
    echo "error: $step: no such step; it is needs or gristmill" >&2
    exit 1
    ;;
esac
