# shellcheck shell=bash
# Finds, ends and watches processes, and finds ports for them. Sourced by the other scripts.

# Prints the process ids of commands that contain the text, which ends where the command ends or at a space.
processes_with() {
    # By the environment: as an argument the text would find the searching process itself.
    ps -A -ww -o pid=,args= | text=$1 awk '
        { at = index($0, ENVIRON["text"]); rest = substr($0, at + length(ENVIRON["text"]), 1) }
        at && (rest == "" || rest == " ") { print $1 }'
}

# Ends processes: asks, waits so many seconds, then kills.
end_processes() {
    local seconds=$1 pid
    shift
    [ $# -gt 0 ] || return 0
    kill -TERM "$@" 2>/dev/null || true
    for pid in "$@"; do
        local deadline=$((SECONDS + seconds))
        while kill -0 "$pid" 2>/dev/null; do
            if [ $SECONDS -ge $deadline ]; then
                kill -KILL "$pid" 2>/dev/null || true
                deadline=$((SECONDS + 5))
            fi
            sleep 0.1
        done
    done
}

port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Prints the port that a file keeps where it is still free, else a free one, below the range of outgoing connections.
choose_port() {
    local file=$1 port
    if [ -s "$file" ] && port=$(<"$file") && port_is_free "$port"; then
        printf '%s' "$port"
        return
    fi
    for _ in {1..200}; do
        port=$((18000 + (RANDOM * 32768 + RANDOM) % 14000))
        if port_is_free "$port"; then
            printf '%s' "$port"
            return
        fi
    done
    die "found no free port between 18000 and 32000"
}

# Runs a command in a process group of its own and waits for it, so that this shell can act on a signal at once: bash
# waits for a command in the foreground before it runs a trap. `end_group` ends what is running.
group=
run_in_group() {
    local code=0
    set -m
    "$@" &
    group=$!
    set +m
    wait "$group" || code=$?
    group=
    return $code
}

end_group() {
    [ -n "$group" ] || return 0
    kill -TERM -- "-$group" 2>/dev/null || true
    for _ in {1..50}; do
        kill -0 -- "-$group" 2>/dev/null || break
        sleep 0.1
    done
    kill -KILL -- "-$group" 2>/dev/null || true
    group=
}
