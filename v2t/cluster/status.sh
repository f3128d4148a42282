# What a host runs, for `v2t cluster status`: asks for no rights, reads no secret. Arguments: patterns of units.
# One answer a line, of which the first word says what the others are; then a block of properties for each unit.
export LC_ALL=C PATH="$PATH:/usr/sbin:/sbin"
echo now "$(date +%s)"
echo monotonic "$(cut -d ' ' -f 1 /proc/uptime)"
echo load "$(cut -d ' ' -f 1-3 /proc/loadavg)" "$(nproc)"
awk '/^MemTotal:/ {total = $2} /^MemAvailable:/ {print "memory", total, $2}' /proc/meminfo
for folder in / /var/lib /opt; do
  df -P -k "$folder" | awk -v folder="$folder" 'END {print "disk", $6, $2, $4}'
done
[ -e /opt/v2t/application/current ] && echo release "$(basename "$(readlink /opt/v2t/application/current)")"
for link in /opt/v2t/bin/*; do
  [ -L "$link" ] && echo program "$(readlink "$link")"
done
for file in /etc/v2t/ca.crt /etc/v2t/tls/*.crt; do
  [ -r "$file" ] || continue
  end=$(openssl x509 -noout -enddate -in "$file" 2>/dev/null) || continue
  echo certificate "$file" "$(date -d "${end#*=}" +%s)"
done
# Those that systemd knows, and those that it is to start at boot: a stopped instance may be only the latter.
units=$(
  systemctl list-units --all --plain --no-legend --type=service,timer "$@" | cut -d ' ' -f 1
  cd /etc/systemd/system && for pattern in "$@"; do
    for link in *.wants/$pattern; do [ -L "$link" ] && basename "$link"; done
  done
)
[ -z "$units" ] || systemctl show \
  --property=Id,LoadState,ActiveState,SubState,UnitFileState,NRestarts,StateChangeTimestampMonotonic \
  $(echo "$units" | grep -v '@\.service$' | sort -u)
exit 0
