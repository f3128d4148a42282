#!/bin/sh
# Runs one host until it is switched off: boot.sh FOLDER BASE MACHINE HOSTNAME BRIDGE [CGROUP...]
# The keeper starts it as the first process of namespaces of its own, so that its end is the end of all that it made.
set -eu
folder=$1 base=$2 machine=$3 hostname=$4 bridge=$5
shift 5

for group; do
    echo 0 >"$group/cgroup.procs"
done
mount -t overlay overlay -o "lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
mount -t tmpfs -o mode=755 tmpfs /run/systemd # where nspawn notes things down, and a hard kill would leave them

while :; do
    code=0
    # without a time zone of this machine: its link keeps tzdata, and so PostgreSQL, from being installed
    systemd-nspawn --quiet --register=no --keep-unit --link-journal=no --timezone=off --resolv-conf=off \
        --machine="$machine" --hostname="$hostname" --directory="$folder/root" --network-bridge="$bridge" \
        --console=pipe /sbin/first-process || code=$?
    [ "$code" = 133 ] || exit "$code" # the host asked for a reboot
done
