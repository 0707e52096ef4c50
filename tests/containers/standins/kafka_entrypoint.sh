#!/usr/bin/env bash
# Starts Apache Kafka as its official image does: each KAFKA_* is a property of the broker, and a data folder that is empty
# is formatted first.
set -euo pipefail

properties=/tmp/server.properties
env | sed -nE '/^KAFKA_(HEAP_OPTS|JVM|OPTS|LOG4J)/d; s/^KAFKA_([A-Z0-9_]+)=(.*)$/\1 \2/p' | while read -r name value; do
    name=${name,,}
    printf '%s=%s\n' "${name//_/.}" "$value"
done >"$properties"

options=(-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData -Dlog4j2.configurationFile=/log4j2.properties -cp '/opt/kafka/libs/*')
# The official image always takes this id, too, where CLUSTER_ID says no other.
if ! [ -s "$KAFKA_LOG_DIRS/meta.properties" ]; then
    java "${options[@]}" kafka.tools.StorageTool format -t "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" -c "$properties"
fi
# shellcheck disable=SC2086 # words, as the official image takes them
exec java ${KAFKA_HEAP_OPTS:-} "${options[@]}" kafka.Kafka "$properties"
