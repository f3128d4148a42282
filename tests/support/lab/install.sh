#!/bin/sh
# Installs what the lab needs from Debian's packages, as far as it is missing.
set -eu

missing=""
while read -r program package; do
    command -v "$program" >/dev/null || missing="$missing $package"
done <<'END'
systemd-nspawn systemd-container
mmdebstrap mmdebstrap
ssh openssh-client
iptables iptables
ip iproute2
unshare util-linux
END
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing="$missing debian-archive-keyring"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "lab: these packages are missing, and only root can install them: apt-get install$missing" >&2
    exit 1
fi

echo "lab: installing$missing" >&2
apt-get update --quiet=2
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $missing >&2
