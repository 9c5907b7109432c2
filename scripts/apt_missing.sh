#!/bin/sh
# Install those of the named Debian packages that are missing; say in one sentence what to do if we may not.
# usage: apt_missing.sh PACKAGE...
if ! command -v apt-get >/dev/null; then
    [ "$(uname)" = Linux ] && echo "Not a Debian or Ubuntu: install what corresponds to: $*" >&2
    exit 0
fi
missing=""
for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
        missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif sudo -n true 2>/dev/null; then
    sudo="sudo"
else
    echo "Please run once: sudo apt-get install$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq && $sudo apt-get install -qq --no-install-recommends $missing >/dev/null
