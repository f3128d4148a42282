#!/bin/sh
# Installs what the real servers need from Debian's packages, as far as it is missing, without starting any service.
set -eu

missing=""
command -v redis-server >/dev/null || missing="$missing redis-server"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v faketime >/dev/null || missing="$missing faketime" # for clocks that are wrong
[ -x /usr/sbin/sshd ] || missing="$missing openssh-server" # no service: tests start their own
command -v cmake >/dev/null || missing="$missing cmake" # for whisper.cpp's own programs
command -v g++ >/dev/null || missing="$missing g++"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "servers: these packages are missing, and only root can install them: apt-get install$missing" >&2
    exit 1
fi

# Asked by every package's installation whether a service may start (invoke-rc.d(8)); 101 says no.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

echo "servers: installing$missing" >&2
apt-get update --quiet=2
mkdir -p /etc/postgresql-common
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then # else the package makes a cluster of its own
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
fi
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $missing >&2
