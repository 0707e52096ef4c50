# shellcheck shell=bash
# Builds the program and runs it with a simulator against the private servers. Sourced by demo and check_data, which set
# `dir`, where their files are, and source packages.sh and processes.sh.

: "${dir:?is where the files of the sourcing script are}"

# The program under a path of its own in that folder: what a killed script has left running is found by it, nothing else is.
program=$dir/nyc311
service=
simulator=
port=
log=$dir/pipeline.log

say_log() {
    say "--- the last lines of $log"
    tail -n 15 "$log" >&2 2>/dev/null || true
    say "---"
}

fail() {
    say_log
    die "$@"
}

# Makes the folder, and this script the only one that uses it, by descriptor 8, which no child is to inherit.
occupy_folder() {
    mkdir -p "$dir"
    # The user that PostgreSQL runs as must be able to pass through.
    if [ "$(id -u)" -eq 0 ]; then chmod 711 "$(dirname "$dir")" "$dir"; fi
    command -v flock >/dev/null || install_packages util-linux
    exec 8>"$dir/script.lock"
    flock -n 8 || die "this runs already, in $dir"
}

# Builds the program: `build_program release` for speed, `build_program dev` for a quick start.
build_program() {
    local profile=$1 folder=$1 features=()
    [ "$profile" != dev ] || { folder=debug && features=(--no-default-features); }
    need_build_tools
    say "building (a few minutes the first time)"
    GIT_COMMIT=$(scripts/commit) cargo build --profile "$profile" "${features[@]}" --quiet --bin nyc311 8>&-
    # What a killed script has left running. Its rows are safe: whatever it had not stored is read again.
    local what built
    built=$(cargo metadata --format-version 1 --no-deps | sed -nE 's/.*"target_directory":"([^"]*)".*/\1/p')/$folder/nyc311
    local -a leftovers
    mapfile -t leftovers < <(for what in run poll simulate rewind; do processes_with "$program $what"; done)
    [ ${#leftovers[@]} -eq 0 ] || end_processes 5 "${leftovers[@]}"
    ln -f "$built" "$program" 2>/dev/null || { rm -f "$program" && cp "$built" "$program"; }
}

# Runs the program where no settings file of the caller's lies.
run_program() {
    cd "$dir" && exec "$program" "$@"
}

# Starts it apart from the terminal, so that Ctrl-C reaches this script alone, which ends things in their order.
launch_program() {
    cd "$dir" && exec setsid "$program" "$@" </dev/null 8>&-
}

# Starts a simulator with these arguments and sets the source's address.
start_simulator() {
    : >"$dir/simulator.out"
    launch_program simulate --listen 127.0.0.1:0 "$@" >"$dir/simulator.out" 2>"$dir/simulator.log" &
    simulator=$!
    while ! grep -q . "$dir/simulator.out"; do
        if ! kill -0 "$simulator" 2>/dev/null; then
            log=$dir/simulator.log
            fail "the simulator did not start"
        fi
        sleep 0.1
    done
    NYC311_SOURCE__URL=$(head -n 1 "$dir/simulator.out")
    export NYC311_SOURCE__URL
}

# Runs a statement, or whatever psql's arguments say.
sql() {
    scripts/services psql --name "$(basename "$dir")" -- -X -q -v ON_ERROR_STOP=1 -P pager=off "$@"
}

# Sets the settings for a database, topics and groups of this name, and makes the database where it is missing. The name
# nyc311 gets the topics of the documentation.
use_database() {
    local database=$1
    [ "$(sql -d postgres -Atc "select 1 from pg_database where datname = '$database'")" = 1 ] ||
        sql -d postgres -c "create database $database"
    export NYC311_DATABASE__URL=${NYC311_DATABASE__URL%/*}/$database
    export NYC311_KAFKA__RAW_TOPIC=$database.raw NYC311_KAFKA__ENRICHED_TOPIC=$database.enriched
    export NYC311_KAFKA__DEAD_LETTER_TOPIC=$database.dead_letter NYC311_KAFKA__GROUP_PREFIX=$database
    # The same at every start, so that a restart takes its place in the groups, and its running poll, back at once.
    export NYC311_INSTANCE__ID=$database
    log=$dir/$database.log
}

# Asks the pipeline whether it is ready, in a shell of its own: the descriptor goes with it.
ready() (
    exec 3<>"/dev/tcp/127.0.0.1/$port" || exit 1
    printf 'GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
    read -r -t 5 _ code _ <&3 && [ "$code" = 200 ]
)

# Fails where the pipeline has ended by itself.
expect_service() {
    local code=0
    kill -0 "$service" 2>/dev/null && return
    wait "$service" || code=$?
    service=
    fail "the pipeline ended with exit code $code"
}

# Starts the pipeline on a port and waits until it is ready.
start_pipeline() {
    port=$1
    export NYC311_HTTP__LISTEN=127.0.0.1:$port NYC311_CLIENT__URL=http://127.0.0.1:$port
    launch_program run >"$log" 2>&1 &
    service=$!
    local deadline=$((SECONDS + 60))
    until ready 2>/dev/null; do
        expect_service
        [ $SECONDS -lt $deadline ] || fail "the pipeline was not ready within a minute"
        sleep 0.2
    done
}

# Ends the pipeline, so that it commits what is in flight, and then the simulator.
end_pipeline() {
    local code=0
    if [ -n "$service" ]; then
        end_processes 40 "$service"
        wait "$service" 2>/dev/null || code=$?
        [ $code -eq 0 ] || say "the pipeline ended with exit code $code"
        service=
    fi
    if [ -n "$simulator" ]; then
        end_processes 5 "$simulator"
        wait "$simulator" 2>/dev/null || true
        simulator=
    fi
    return $code
}
