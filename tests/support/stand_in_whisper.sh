#!/bin/sh
# Stands in for whisper-cli where its speed matters: MODE MODEL AUDIO LANGUAGE OUTPUT [more arguments]
# Says and writes what whisper.cpp 1.8.5 does; MODE tells how it goes wrong.
mode=$1 model=$2 audio=$3 language=$4 output=$5
say() { echo "$*" >&2; }
progress() { printf 'whisper_print_progress_callback: progress = %3d%%\n' "$1" >&2; }
token() { # TEXT FROM TO
    printf '{"text": "%s", "offsets": {"from": %s, "to": %s}, "id": 1, "p": 0.75, "t_dtw": -1}' "$1" "$2" "$3"
}
write() {
    cat >"$output.json" <<END
{
    "params": {"model": "$model", "language": "$language", "translate": false},
    "result": {"language": "en"},
    "transcription": [{
        "offsets": {"from": 0, "to": 900}, "text": " Hello there.",
        "tokens": [$(token "[_BEG_]" 0 0), $(token " Hello" 0 400), $(token " there" 450 800), $(token . 800 900)]
    }]
}
END
}

case $mode in
well | slow)
    [ -s "$audio" ] || exit 2
    progress 5
    say "whisper_full_with_state: auto-detected language: en (p = 0.970000)"
    [ "$mode" = well ] || sleep 0.3
    progress 50
    write
    progress 100
    ;;
hang)
    progress 10
    echo "a line to standard output"
    sleep 1000
    ;;
hold) # and will not end for a signal that asks
    trap '' TERM HUP INT
    progress 10
    sleep 1000 &
    sleep 1001
    ;;
kill) kill -KILL $$ ;;
crash) kill -SEGV $$ ;;
fail)
    say "error: unknown language 'xx'"
    printf 'usage: \033[31mwhisper-cli\033[0m [options] file\n' >&2
    exit 3
    ;;
nothing) say "error: unknown argument: -zz" ;;
half)
    write
    printf '{"result": {"language": "en"}, "transcr' >"$output.json"
    ;;
other) echo '{"text": "not the JSON of whisper.cpp"}' >"$output.json" ;;
silent)
    echo '{"result": {"language": "en"}, "transcription": []}' >"$output.json"
    ;;
fill) head -c 100000000 /dev/zero >"$output.json" ;;
esac
