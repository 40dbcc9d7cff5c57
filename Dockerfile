FROM rust:1.95.0-slim-trixie AS build
WORKDIR /src
# So that the programs are the same wherever they are built; see `make reproducible`.
ENV RUSTFLAGS=--remap-path-prefix=/usr/local/cargo/registry/src=/registry

# First the dependencies, with empty crates in place of our own. This layer changes only with the
# Cargo.toml files and Cargo.lock.
COPY Cargo.toml Cargo.lock ./
COPY crates/bench/Cargo.toml crates/bench/
COPY crates/daemon/Cargo.toml crates/daemon/
COPY crates/decode/Cargo.toml crates/decode/
COPY crates/fleet/Cargo.toml crates/fleet/
COPY crates/head/Cargo.toml crates/head/
COPY crates/identify/Cargo.toml crates/identify/
COPY crates/responder/Cargo.toml crates/responder/
COPY crates/ring/Cargo.toml crates/ring/
COPY crates/testkit/Cargo.toml crates/testkit/
COPY crates/viewer/Cargo.toml crates/viewer/
RUN for crate in crates/*; do mkdir "$crate/src" "$crate/benches" && touch "$crate/src/lib.rs" "$crate/benches/instructions.rs"; done \
    && echo 'fn main() {}' >crates/identify/build.rs \
    && cargo build --release --locked -p forever200-fleet -p forever200-responder -p forever200-viewer

# Cargo compares the times of files. `touch`, because our files may be older than the empty ones.
COPY crates crates
COPY docs/history.sql docs/
RUN find crates -name '*.rs' -exec touch {} + \
    && cargo build --release --locked -p forever200-fleet -p forever200-responder -p forever200-viewer

# The list of crates in the three programs, as in `make sbom`.
COPY scripts/sbom sbom/
RUN { rustc -V \
    && cargo tree --locked -p forever200-fleet -p forever200-responder -p forever200-viewer \
        -e normal,no-proc-macro --prefix depth -f ' {p}|{l}'; } >sbom/crates \
    && cp Cargo.lock sbom

FROM debian:trixie-slim

# Perl, a third of the packages' size, is removed because only memcached-tool needs it.
# /run is writable for everyone, because sockets are made there, and a tmpfs on it takes over its
# mode.
# Debian's su, mount, passwd and the like lose the right to become root, because nobody needs them
# here.
RUN apt-get update \
    && apt-get install -y --no-install-recommends haproxy libloc-database memcached openssl supervisor \
    && dpkg --purge --force-depends $(dpkg-query -W -f '${Package} ' perl 'perl-modules-*' 'libperl5*') \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log \
    && groupadd --gid 10001 forever200 \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin forever200 \
    && install -d -o 10001 -g 10001 -m 700 /var/lib/forever200 \
    && chmod 1777 /run \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} +

COPY --from=build /src/target/release/forever200-fleet /src/target/release/forever200-responder /src/target/release/forever200-viewer /usr/local/bin/
# The list of all crates and Debian packages in the image, for scanners.
COPY --from=build /src/sbom /tmp/sbom
RUN mkdir /usr/share/doc/forever200 \
    && python3 /tmp/sbom/sbom /tmp/sbom/Cargo.lock --debian </tmp/sbom/crates >/usr/share/doc/forever200/sbom.cdx.json \
    && rm -r /tmp/sbom
COPY supervisord.conf /etc/forever200/
COPY supervisor /etc/forever200/supervisor
COPY haproxy /etc/forever200/haproxy

ENV FOREVER200_BIND=:80 \
    FOREVER200_HISTORY=/var/lib/forever200 \
    FOREVER200_LOG_FORMAT=json \
    FOREVER200_RESPONDER_SOCKET=/run/forever200/responder.sock \
    FOREVER200_RUN=/run/forever200 \
    PYTHONPATH=/etc/forever200/supervisor

# In this folder, `docker exec CONTAINER supervisorctl …` finds its configuration.
WORKDIR /etc/forever200

# There is no label for the version here, because scripts/release sets it from Cargo.toml.
# `forever200-viewer --version` prints it.
LABEL org.opencontainers.image.title="forever200" \
      org.opencontainers.image.description="A peek into the unsolicited traffic that is always going round the internet" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"

# Docker lets an unprivileged user listen on port 80 of a container.
USER 10001:10001
# The history outlives the container; see docs/history.md.
VOLUME /var/lib/forever200
EXPOSE 80
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["forever200-viewer", "health"]
ENTRYPOINT ["/etc/forever200/supervisor/docker-entrypoint.sh"]
