"""What runs on the host around the whisper command: a POSIX shell that makes its folder, ends it, and removes all.

It lives as long as its stdin is open, so that nothing is left when the connection breaks, whatever the reason.
"""

from __future__ import annotations

from v2t.providers.whisper_command import quote

READY = "ready"
"""It says this when the folder is there, then waits for a line on stdin before it runs the command."""

ENDED = "ended"
"""It says this and the command's exit code, then keeps the folder until stdin ends."""

REFUSED = "refused"
"""It says this when the folder could not be made; what mkdir said stands in the line before."""

_SCRIPT = """
folder=$1 token=$2 seconds=$3
shift 3
exec 2>&1
umask 077
say() { printf '\\n%s %s\\n' "$token" "$*"; }
# In a process group of its own; where there is no setsid(1), as on macOS, the shell's job control makes one.
apart() {
    if command -v setsid >/dev/null 2>&1; then
        setsid "$@" </dev/null &
    else
        set -m
        "$@" </dev/null &
        set +m
    fi
}
end() { kill -KILL "-$1" 2>/dev/null || kill -KILL "$1" 2>/dev/null; }
# For a connection that nobody notices to be gone, and for the death of this shell: ends WORK, removes the folder.
watch() {
    apart sh -c '
        work=$1 folder=$2 shell=$3 left=$4
        while [ "$left" -gt 0 ] && kill -0 "$shell"; do
            sleep 1
            left=$((left - 1))
        done
        kill -KILL "-$work"
        rm -rf "$folder"
        kill -KILL "$shell"
    ' sh "$1" "$folder" "$$" "$seconds" >/dev/null 2>&1
    watcher=$!
}

LC_ALL=C mkdir "$folder" || { say refused; exit 1; }
watch ''
say ready
if read -r go; then
    apart sh -c 'token=$1; shift; "$@" >/dev/null; printf "\\n%s ended %s\\n" "$token" "$?"' sh "$token" "$@"
    work=$!
    end "$watcher"
    watch "$work"
    while read -r more; do :; done
    end "$work"
fi
end "$watcher"
wait
rm -rf "$folder"
"""


def supervised(argv: list[str], *, folder: str, token: str, seconds: float) -> str:
    """A line for the shell of the account on the host.

    Args:
        argv: the command to supervise.
        folder: the private folder to make.
        token: what its own lines begin with, which no command can guess.
        seconds: how long it may live at most.

    Raises:
        ValueError: a word holds NUL.
    """
    return "exec " + quote(["sh", "-c", _SCRIPT, "v2t", folder, token, str(max(1, round(seconds))), *argv])
