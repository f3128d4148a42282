#!/bin/sh
# The first process of a host. systemd-nspawn mounts cgroups of version 1 read-only, without which no limit of a unit
# works; they are the host's own, so they are made writable before systemd starts. With version 2 there is nothing to do.
for controller in cpu cpuacct memory pids blkio devices freezer cpuset; do
    mount -o remount,bind,rw "/sys/fs/cgroup/$controller" 2>/dev/null
done
exec /lib/systemd/systemd
