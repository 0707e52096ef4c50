# shellcheck shell=bash
# Installs system packages where they are missing. Sourced by the other scripts, which run under `set -euo pipefail`.

say() { printf '%s\n' "$*" >&2; }

die() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Prints the command that installs packages, for messages.
install_command() {
    if command -v apt-get >/dev/null; then
        printf 'sudo apt-get install --no-install-recommends %s' "$*"
    else
        printf "your system's package manager, for what Debian calls: %s" "$*"
    fi
}

# Installs packages with apt: as root, or by sudo where that asks for no password or there is a terminal to ask at.
# Fails with the command to run where neither is possible.
install_packages() {
    local -a as_root=()
    command -v apt-get >/dev/null || die "missing here: $*; install with $(install_command "$@")"
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { [ -t 0 ] || sudo -n true 2>/dev/null; }; then
            as_root=(sudo)
        else
            die "missing here: $*; install with: $(install_command "$@")"
        fi
    fi
    say "installing $* (system packages)"
    local log
    log=$(mktemp)
    local -a apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
    # The lists of a fresh image are empty or old: a failed install is tried again after an update.
    if ! "${apt[@]}" install --no-install-recommends "$@" >"$log" 2>&1 &&
        ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        die "could not install $*; try: $(install_command "$@")"
    fi
    rm -f "$log"
}

# Makes cargo and what librdkafka is built with available.
need_build_tools() {
    local -a missing=()
    command -v cc >/dev/null && command -v c++ >/dev/null && command -v make >/dev/null || missing+=(build-essential)
    [ -e /usr/include/zlib.h ] || { command -v cc >/dev/null && echo '#include <zlib.h>' | cc -E - >/dev/null 2>&1; } ||
        missing+=(zlib1g-dev)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    command -v cargo >/dev/null ||
        die "found no Rust; install it with: curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
}

# Makes what librdkafka is built with available where it has TLS (the feature kafka-tls).
need_openssl() {
    local -a missing=()
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    [ -e /usr/include/openssl/ssl.h ] || { echo '#include <openssl/ssl.h>' | cc -E - >/dev/null 2>&1; } || missing+=(libssl-dev)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
}
