# shellcheck shell=bash
# A private Apache Kafka of one node: its jars, its data directory, its start and its end. Sourced by `services`, which sets
# `root`, `dir` (the folder of the pair of servers), `start_timeout_s`, `started`, `write_file` and `show_log`,
# and sources packages.sh and processes.sh.

: "${root:?is the clone}" "${dir:?is the folder of the servers}" "${start_timeout_s:?is the patience with a start}"

readonly kafka_version=4.3.1
readonly jars=$root/.services/kafka-$kafka_version

find_java() {
    java=java
    if [ -n "${JAVA_HOME:-}" ] && [ -x "$JAVA_HOME/bin/java" ]; then java=$JAVA_HOME/bin/java; fi
    local version
    version=$("$java" -version 2>&1 | sed -nE 's/.*version "([0-9]+).*/\1/p' | head -n 1)
    [ "${version:-0}" -ge 17 ] || die "Apache Kafka $kafka_version needs Java 17 or later, found ${version:-none} ($java);" \
        "install with: $(install_command default-jre-headless)"
}

fetch_jars() {
    [ -d "$jars" ] && return
    say "fetching Apache Kafka $kafka_version (45 MB, once)"
    mkdir -p "$root/.services"
    # Fetched into a folder of this process's own and renamed when whole, so that two first starts do no harm.
    local folder=$jars.new.$$ try log=$dir/maven.log
    for try in 1 2 3; do
        rm -rf "$folder"
        if mvn -q -B -f "$root/scripts/kafka/pom.xml" -Dkafka.version=$kafka_version dependency:copy-dependencies \
            -DincludeScope=runtime -DoutputDirectory="$folder" >"$log" 2>&1 9>&-; then
            mv -T "$folder" "$jars" 2>/dev/null || rm -rf "$folder"
            return
        fi
        [ "$try" -eq 3 ] || sleep 3
    done
    rm -rf "$folder"
    show_log "$log"
    die "could not fetch Apache Kafka from Maven Central"
}

kafka_processes() {
    processes_with "kafka.Kafka $dir/kafka/server.properties"
}

kafka_runs() {
    [ -n "$(kafka_processes)" ]
}

kafka_answers() {
    grep -q 'Kafka Server started' "$dir/kafka/kafka.log" 2>/dev/null && ! port_is_free "$(<"$dir/kafka/port")"
}

configure_kafka() {
    write_file "$dir/kafka/server.properties" <<TEXT
# Written by scripts/services at every start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$2
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2
advertised.listeners=PLAINTEXT://127.0.0.1:$1
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/kafka/data
# One node: everything has one copy, and few partitions make a small footprint.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=5
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# A group of one process need not wait for others to join.
group.initial.rebalance.delay.ms=0
# A topic with the wrong number of partitions would break the order per borough: only the program creates them.
auto.create.topics.enable=false
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
TEXT
}

# Formats the data directory under a new cluster id, unless it is formatted. The id tells the pipeline that this is another Kafka.
format_kafka() {
    [ -e "$dir/kafka/formatted" ] && [ -s "$dir/kafka/data/meta.properties" ] && return
    rm -rf "$dir/kafka/data" "$dir/kafka/formatted"
    mkdir -p "$dir/kafka/data"
    local cluster=-
    while [[ $cluster == -* ]]; do cluster=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | tr -d '='); done
    "$java" -Xmx128m -XX:TieredStopAtLevel=1 -XX:-UsePerfData -cp "$jars/*" \
        "-Dlog4j2.configurationFile=$root/scripts/kafka/log4j2.properties" \
        kafka.tools.StorageTool format -t "$cluster" -c "$dir/kafka/server.properties" >"$dir/kafka/format.log" 2>&1 9>&- || {
        show_log "$dir/kafka/format.log"
        die "could not format Kafka's data directory $dir/kafka/data"
    }
    # Set only when whole: a killed format is done again.
    : >"$dir/kafka/formatted"
}

# Launches Kafka without waiting for it, so that PostgreSQL starts meanwhile.
launch_kafka() {
    if kafka_runs && kafka_answers; then return; fi
    stop_kafka
    mkdir -p "$dir/kafka"
    find_java
    fetch_jars
    started+=(kafka)
    local port controller_port
    port=$(choose_port "$dir/kafka/port")
    printf '%s\n' "$port" | write_file "$dir/kafka/port"
    controller_port=$(choose_port "$dir/kafka/controller_port")
    while [ "$controller_port" = "$port" ]; do controller_port=$(choose_port /dev/null); done
    printf '%s\n' "$controller_port" | write_file "$dir/kafka/controller_port"
    configure_kafka "$port" "$controller_port"
    format_kafka
    [ -e "$dir/kafka/kafka.log" ] && mv -f "$dir/kafka/kafka.log" "$dir/kafka/kafka.log.old"
    ulimit -n "$(ulimit -H -n)" 2>/dev/null || true
    (cd "$dir/kafka" && exec setsid "$java" -Xms128m -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
        -XX:+ExitOnOutOfMemoryError "-Dlog4j2.configurationFile=$root/scripts/kafka/log4j2.properties" \
        -cp "$jars/*" kafka.Kafka "$dir/kafka/server.properties" >"$dir/kafka/kafka.log" 2>&1 </dev/null 9>&-) &
    kafka_launched=$!
}

wait_for_kafka() {
    local try deadline
    for try in 1 2 3; do
        deadline=$((SECONDS + start_timeout_s))
        while [ $SECONDS -lt $deadline ]; do
            if kafka_answers; then return; fi
            # Before the program runs under its own name there is only the shell that becomes it.
            if ! kafka_runs && ! kill -0 "${kafka_launched:-0}" 2>/dev/null; then break; fi
            sleep 0.1
        done
        # Another process may have taken the port since it was found free: only then is a second try of use.
        if [ "$try" -eq 3 ] || ! grep -q 'Address already in use' "$dir/kafka/kafka.log"; then break; fi
        stop_kafka
        rm -f "$dir/kafka/port" "$dir/kafka/controller_port"
        launch_kafka
    done
    show_log "$dir/kafka/kafka.log"
    die "Apache Kafka did not start"
}

stop_kafka() {
    local pids
    mapfile -t pids < <(kafka_processes)
    [ ${#pids[@]} -eq 0 ] || end_processes 20 "${pids[@]}"
}
