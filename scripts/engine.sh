# shellcheck shell=bash
# A private Docker engine, with images made of Debian's packages and of what this machine has, for where no registry of images
# can be reached. Sourced by test_containers, which sets `root` and `dir` (the folder of the engine and of what it keeps for
# the next run), and sources packages.sh, processes.sh and kafka.sh.

: "${root:?is the clone}" "${dir:?is the folder of the engine}" "${jars:?is where those of Kafka are}"

readonly suite=trixie
readonly base=nyc311-test/base:$suite
readonly tools=$dir/tools

# As root, or by sudo: an engine needs it. Its socket belongs to the group of whoever asked.
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)

engine_processes() {
    processes_with "--data-root $dir/engine/data"
}

# Makes the programs available. The client is that of the engine: a newer one builds with a plugin of its own.
need_engine() {
    local -a missing=()
    command -v ps >/dev/null || missing+=(procps)
    command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] || missing+=(debootstrap)
    command -v python3 >/dev/null && python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    # Two roots, two package managers: the one unpacks while the other fetches.
    make_base &
    local making=$!
    missing=()
    [ -x /usr/sbin/dockerd ] && [ -x /usr/bin/docker ] || missing+=(docker.io)
    command -v iptables >/dev/null || [ -x /usr/sbin/iptables ] || missing+=(iptables)
    [ -d "$jars" ] || command -v mvn >/dev/null || missing+=(maven)
    [ -d "$jars" ] || command -v java >/dev/null || missing+=(default-jre-headless)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    find_java
    fetch_jars
    wait $making || die "could not make a Debian $suite: see $dir/debootstrap.log"
}

# Makes the files of a minimal Debian, once.
make_base() {
    [ -s "$dir/base.tar" ] && return
    say "fetching a minimal Debian $suite (once)"
    "${as_root[@]}" rm -rf "$dir/rootfs"
    # Away from the folder of the clone, which the root of the new system need not be able to enter.
    (cd / && "${as_root[@]}" env PATH="$PATH:/usr/sbin:/sbin" debootstrap --variant=minbase --include=ca-certificates "$suite" \
        "$dir/rootfs") >"$dir/debootstrap.log" 2>&1 || return 1
    "${as_root[@]}" tar -C "$dir/rootfs" --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' -c . \
        >"$dir/base.tar.new"
    "${as_root[@]}" rm -rf "$dir/rootfs"
    mv "$dir/base.tar.new" "$dir/base.tar"
}

start_engine() {
    stop_engine
    mkdir -p "$dir/engine" "$tools" "$dir/client"
    ln -sf /usr/bin/docker "$tools/docker"
    export DOCKER_HOST=unix://$dir/engine/docker.sock DOCKER_BUILDKIT=1 DOCKER_CONFIG=$dir/client PATH=$tools:$PATH
    # The limit of open files, because the hard one of this machine may be below the engine's own.
    "${as_root[@]}" setsid env PATH="$PATH:/usr/sbin:/sbin" /usr/sbin/dockerd --data-root "$dir/engine/data" \
        --exec-root "$dir/engine/exec" --pidfile "$dir/engine/pid" --host "$DOCKER_HOST" --group "$(id -gn)" \
        --default-ulimit nofile=8192:8192 >"$dir/engine/log" 2>&1 </dev/null 8>&- &
    local deadline=$((SECONDS + 60))
    until docker version >/dev/null 2>&1; do
        [ $SECONDS -lt $deadline ] || { tail -n 15 "$dir/engine/log" >&2 && die "the private Docker engine did not start"; }
        sleep 0.2
    done
}

# Ends what runs in it, and the engine. Images and the caches of builds stay.
stop_engine() {
    local -a pids left
    mapfile -t pids < <(engine_processes)
    [ ${#pids[@]} -gt 0 ] || return 0
    if [ -S "$dir/engine/docker.sock" ]; then
        mapfile -t left < <(timeout 20 /usr/bin/docker --host "unix://$dir/engine/docker.sock" ps -q 2>/dev/null)
        [ ${#left[@]} -eq 0 ] ||
            timeout 60 /usr/bin/docker --host "unix://$dir/engine/docker.sock" kill "${left[@]}" >/dev/null 2>&1 || true
    fi
    "${as_root[@]}" kill -TERM "${pids[@]}" 2>/dev/null || true
    local deadline=$((SECONDS + 30))
    while [ -n "$(engine_processes)" ]; do
        if [ $SECONDS -ge $deadline ]; then
            "${as_root[@]}" kill -KILL "${pids[@]}" 2>/dev/null || true
            break
        fi
        sleep 0.2
    done
}

# Builds quietly, and shows what was said where it failed: build NAME ARGUMENTS...
build() {
    local name=$1 log=$dir/build-${1//\//-}.log
    shift
    docker build --network host --tag "$name" "$@" >"$log" 2>&1 || {
        tail -n 30 "$log" >&2
        die "could not build the image $name"
    }
}

# Makes the images that the stack is built from and runs on here.
make_images() {
    rust=nyc311-test/rust:$(rustc --version | cut -d' ' -f2)
    docker image inspect "$base" >/dev/null 2>&1 || docker import - "$base" <"$dir/base.tar" >/dev/null
    make_compose
    local context=$dir/context target
    rm -rf "$context"
    mkdir -p "$context"
    cp "$root"/tests/containers/standins/* "$root/scripts/kafka/log4j2.properties" "$context"
    # As links: they are large.
    cp -al "$jars" "$context/jars" 2>/dev/null || cp -a "$jars" "$context/jars"
    local -a making=()
    make_rust & making+=($!)
    for target in postgres kafka prometheus; do
        build "nyc311-test/$target" --build-arg "BASE=$base" --target "$target" "$context" & making+=($!)
    done
    local pid
    for pid in "${making[@]}"; do wait "$pid" || die "could not make the images"; done
}

# Debian 13 has Compose as a package, which runs on Debian 12, too.
make_compose() {
    [ -x "$tools/docker-compose" ] && return
    docker run --rm --network host --volume "$tools:/out" "$base" sh -ec '
        apt-get update -q && cd /tmp && apt-get download -q docker-compose && dpkg -x docker-compose*.deb x
        cp x/usr/libexec/docker/cli-plugins/docker-compose /out/new && chmod 755 /out/new && mv /out/new /out/docker-compose
    ' >"$dir/compose.log" 2>&1 || { tail -n 15 "$dir/compose.log" >&2 && die "could not fetch Docker Compose"; }
}

# The toolchain of this machine on a minimal Debian, with what the Dockerfile installs there already in it.
make_rust() {
    local sysroot context=$dir/rust
    docker image inspect "$rust" >/dev/null 2>&1 && return
    sysroot=$(rustc --print sysroot)
    mkdir -p "$context"
    cat >"$context/Dockerfile" <<TEXT
FROM $base
RUN apt-get update -q && apt-get install -yq --no-install-recommends build-essential libssl-dev pkg-config zlib1g-dev
COPY toolchain /usr/local
# Those of this machine: it may be behind a proxy that signs for the registry of crates.
COPY ca-certificates.crt /etc/ssl/certs/
TEXT
    cp -L /etc/ssl/certs/ca-certificates.crt "$context"
    local part
    mkdir -p "$context/toolchain/bin" "$context/toolchain/lib/rustlib"
    for part in bin/cargo bin/rustc lib/rustlib/"$(rustc -vV | sed -n 's/^host: //p')"; do
        cp -aL "$sysroot/$part" "$context/toolchain/$part"
    done
    cp -aL "$sysroot"/lib/*.so* "$context/toolchain/lib/"
    build "$rust" "$context"
    rm -rf "$context"
}
