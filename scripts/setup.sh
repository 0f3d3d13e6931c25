#!/bin/sh
# Sets up what Volant needs. Words, any number of them:
#   python   makes .venv from the hash-pinned lock
#   host     sees to QEMU, busybox, the guest kernel and the hello image
#   all      both; what the demo takes, and what no word means
#   plugins  sees to what builds root disks from Debian packages
#   bridge   sees to what the bridge network takes
# Installs Debian packages itself when it may (root, or sudo that asks nothing), otherwise says exactly which command to
# run. Running it again costs nothing when all is there.
set -eu
cd "$(dirname "$0")/.."
VENV=.venv
export PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*" >&2; }
die() { say "setup: $*"; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then sudo -n "$@"
    else return 1
    fi
}

need_packages() { # installs the named Debian packages, or says how to
    say "setup: installing $*"
    command -v apt-get >/dev/null 2>&1 || die "cannot install $*: this is not a Debian system. Install them by hand, then try again."
    if ! as_root true; then die "cannot install packages without root. Run: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"; fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq || die "cannot reach the package lists. Is the network up? Run: apt-get update"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
        || die "cannot install $*. Run: apt-get install -y --no-install-recommends $*"
}

python_version_ok() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11 /usr/bin/python3; do
        if command -v "$candidate" >/dev/null 2>&1 && python_version_ok "$candidate"; then echo "$candidate"; return; fi
    done
    return 1
}

setup_python() {
    python=$(find_python) || { need_packages python3 python3-venv; python=$(find_python) || die "Python 3.11 or newer is needed; set PYTHON=/path/to/python3"; }
    "$python" -c 'import venv, ensurepip' 2>/dev/null || need_packages python3-venv
    [ -x "$VENV/bin/python" ] && python_version_ok "$VENV/bin/python" || "$python" -m venv --clear "$VENV"
    say "setup: installing Python packages into $VENV"
    "$VENV/bin/python" -m pip install -q --require-hashes -r requirements.lock || die "cannot install the locked Python packages (see above)"
    "$VENV/bin/python" -m pip install -q --no-deps --no-build-isolation -e . || die "cannot install volant itself (see above)"
}

lacks() { ! PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null 2>&1; }

setup_plugins() {
    missing=
    if lacks mke2fs || lacks debugfs; then missing="$missing e2fsprogs"; fi
    if lacks qemu-img; then missing="$missing qemu-utils"; fi
    if lacks dpkg-deb; then missing="$missing dpkg"; fi
    if lacks zstd; then missing="$missing zstd"; fi
    if lacks psql; then missing="$missing postgresql-client"; fi # asks the postgres plugin, in tests and examples
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || need_packages $missing
    # Choosing packages needs package lists; fetching and unpacking need no root.
    apt-cache show base-files >/dev/null 2>&1 || as_root apt-get update -qq \
        || die "cannot choose packages for images: apt has no lists. Run: sudo apt-get update, then try again."
}

setup_bridge() {
    missing=
    if lacks nft; then missing="$missing nftables"; fi
    if lacks ip; then missing="$missing iproute2"; fi
    if lacks modprobe; then missing="$missing kmod"; fi
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || need_packages $missing
}

setup_tests() { # what only the tests use: disks that boot themselves, the bridge, and what asks a guest
    setup_plugins
    setup_bridge
    missing=
    if lacks syslinux; then missing="$missing syslinux"; fi
    if lacks mformat; then missing="$missing mtools"; fi
    if lacks curl; then missing="$missing curl"; fi
    if lacks git; then missing="$missing git"; fi
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || need_packages $missing
}

setup_host() {
    missing=
    command -v qemu-system-x86_64 >/dev/null 2>&1 || missing="$missing qemu-system-x86"
    command -v qemu-img >/dev/null 2>&1 || missing="$missing qemu-utils"
    command -v dpkg-deb >/dev/null 2>&1 || missing="$missing dpkg"
    command -v setpriv >/dev/null 2>&1 || missing="$missing util-linux"
    [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || missing="$missing busybox-static"
    # shellcheck disable=SC2086 # a list of words
    [ -z "$missing" ] || need_packages $missing
    if ! "$VENV/bin/volant" image kernel --cache .cache/volant --if-present >/dev/null; then
        # Fetching needs package lists; unpacking needs no root, and nothing of it is installed.
        "$VENV/bin/volant" image kernel --cache .cache/volant \
            || { as_root apt-get update -qq && "$VENV/bin/volant" image kernel --cache .cache/volant; } \
            || die "cannot fetch a guest kernel. Run: sudo apt-get update, then try again."
    fi
    manifest=.cache/volant/hello/hello.json
    if [ ! -f "$manifest" ] || [ -n "$(find src/volant/images -newer "$manifest" ! -path '*__pycache__*' -print -quit)" ]; then
        "$VENV/bin/volant" image build hello --cache .cache/volant --output "${manifest%/*}" >&2
    fi
}

[ $# -gt 0 ] || set -- all
for word in "$@"; do
    case "$word" in
        python) setup_python ;;
        host) setup_host ;;
        plugins) setup_plugins ;;
        bridge) setup_bridge ;;
        tests) setup_tests ;;
        all) setup_python; setup_host ;;
        *) die "usage: scripts/setup.sh [python|host|plugins|bridge|tests|all]..." ;;
    esac
done
