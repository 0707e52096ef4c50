# The image of nyc311: built with its toolchain, run without it. docs/deployment.md says how to run it.
#
# Build arguments:
#   VERSION     for the label; scripts/containers takes it from Cargo.toml
#   GIT_COMMIT  for the label and for `nyc311 --version`
#   FEATURES    of the crate, without its default ones
#   PROFILE     release, or dev for a build in a hurry
#   RUST_IMAGE, RUNTIME_IMAGE  what to build with and what to run on
# The platform is that of the builder: nothing here names one.

ARG RUST_IMAGE=rust:1.95.0-slim-trixie
ARG RUNTIME_IMAGE=debian:13.1-slim

FROM ${RUST_IMAGE} AS build
# What librdkafka and the allocator are built with.
RUN apt-get update \
    && apt-get install -y --no-install-recommends build-essential libssl-dev pkg-config zlib1g-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG FEATURES=jemalloc,kafka-tls
ARG PROFILE=release
ARG GIT_COMMIT=
# Both caches stay with the builder and are no part of a layer: a change of the sources compiles the workspace anew and
# nothing else. Cargo tells old from new by the times of the files, and those of another clone may be older than the last
# build of this one: so all are made new.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    find . -path ./target -prune -o -type f -exec touch {} + \
    && CARGO_HOME=/usr/local/cargo GIT_COMMIT=${GIT_COMMIT} cargo build --locked --profile "${PROFILE}" \
        --no-default-features --features "${FEATURES}" --bin nyc311 \
    && folder=${PROFILE} && if [ "${PROFILE}" = dev ]; then folder=debug; fi \
    && strip --strip-all -o /nyc311 "target/${folder}/nyc311"

FROM ${RUNTIME_IMAGE}
# Certificates for the city's API, and the one library that a minimal system may lack. No home, no shell, no password.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates libssl3t64 \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/* /var/log/* \
    && groupadd --gid 10001 nyc311 \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin nyc311
COPY --from=build /nyc311 /usr/local/bin/nyc311

ARG VERSION=
ARG GIT_COMMIT=
LABEL org.opencontainers.image.title="nyc311" \
    org.opencontainers.image.description="New York's 311 service requests, from the Socrata API through Kafka to PostgreSQL, exactly once" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${GIT_COMMIT}"

# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
# Where no settings file lies that nobody meant.
WORKDIR /
EXPOSE 8311
# The poller stops, what is in flight is committed, and the process ends with code 0 (supervision.drain_timeout).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=6 CMD ["nyc311", "health"]
ENTRYPOINT ["nyc311"]
CMD ["run"]
