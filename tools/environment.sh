#!/bin/sh
# environment.sh PYTHON FOLDER REQUIREMENT...: a virtual environment with this project (editable) and what it needs.
# Debian's python3 comes without pip and cannot make an environment with one, so several ways are tried.
set -eu
python=$1 venv=$2
shift 2

fail() {
    echo "hubbub: $1" >&2
    exit 1
}

command -v "$python" >/dev/null || fail "no $python here: install Python 3.11 or later, or say make PYTHON=..."
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "$("$python" --version) is too old: Python 3.11 or later is needed; say make PYTHON=python3.11"

if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    echo "making the environment $venv with $("$python" --version)"
    rm -rf "$venv"
    if "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        "$python" -m venv "$venv"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install -q pip
    elif "$python" -m virtualenv --version >/dev/null 2>&1; then
        "$python" -m virtualenv -q "$venv"
    elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "this Python cannot make environments: installing Debian's python3-venv"
        apt-get update -qq
        apt-get install -y -qq python3-venv >/dev/null
        "$python" -m venv "$venv"
    else
        fail "this Python cannot make environments: apt-get install python3-venv, then run make again"
    fi
fi

echo "installing hubbub and what it needs into $venv (some minutes the first time)"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
project=$1
shift
"$venv/bin/python" -m pip install -q "$@" -e "$project"
echo "the core is $("$venv/bin/python" -c 'from hubbub import native; print(native.describe())')"
command -v cc >/dev/null || echo "no C compiler here: everything works, only slower, but the benchmarks do not build"
