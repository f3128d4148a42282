"""What a host still shows of v2t."""

from __future__ import annotations

from support.lab.control import Host

_LOOK = r"""
systemctl list-units --all --plain --no-legend 'v2t-*' | awk '{print "unit " $1}'
systemctl list-unit-files --plain --no-legend 'v2t-*' | awk '{print "unit file " $1}'
getent passwd | awk -F: '$1 ~ /^v2t/ {print "account " $1}'
getent group | awk -F: '$1 ~ /^v2t/ {print "group " $1}'
for place in /opt/v2t /etc/v2t /var/lib/v2t /run/v2t* /tmp/v2t*; do test -e "$place" && echo "folder $place"; done
find /etc -name '*v2t*' -printf 'file %p\n'
grep -n v2t /etc/hosts | sed 's/^/hosts /'
pgrep -af '/opt/v2t|v2t-' | grep -v pgrep | sed 's/^/process /'
nft list tables 2>/dev/null | grep v2t | sed 's/^/firewall /'
ss -Hltn | awk '{sub(/.*:/, "", $4); print $4}' | sort -un |
  grep -xE '443|3000|5432|6379|7233|8081|8233|9000|901[1-3]|9090|9100' | sed 's/^/port /'
exit 0
"""


def traces(host: Host) -> list[str]:
    """Units, accounts, folders, files below /etc, names, processes, rules of the firewall and ports; empty: none."""
    return [line for line in host.read(_LOOK).splitlines() if line]
