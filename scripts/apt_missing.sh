#!/bin/sh
# Install those of the named Debian packages that are missing; without the right to, say what to run.
# usage: apt_missing.sh PACKAGE...
if ! command -v apt-get >/dev/null; then
    [ "$(uname)" = Linux ] && echo "Not a Debian or Ubuntu: install what corresponds to: $*" >&2
    exit 0
fi
# With what they provide: some have another name in a newer release
installed=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides} \n' | grep '^installed ' | tr -d ,)
missing=""
for package in "$@"; do
    echo "$installed" | grep -qF " $package " || missing="$missing $package"
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
echo "Installing$missing"
$sudo apt-get update -qq &&
    $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends $missing >/dev/null
