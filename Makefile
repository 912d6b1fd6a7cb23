# Everything a person types. What it does is in xtask (Rust), console (npm) and packaging (this machine); here are the names.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help run demo test test-peers lint bench fuzz torture doctor deps test-deps console-packages clean

CONSOLE_SOURCES := $(shell find console -type f -not -path '*/node_modules/*' -not -path 'console/dist/*' -not -path 'console/test-results/*' 2>/dev/null)
MAINSTAY := cargo run --quiet --release --package mainstay --

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: deps console/dist/index.html ## build what is missing, start Mainstay with data in ./data, open it
	@echo "building Mainstay: minutes the first time, seconds after that"
	cargo build --release --package mainstay
	@exec $(MAINSTAY) up --data ./data --open

demo: deps console/dist/index.html ## a lively synthetic organisation to look at, with data in ./data-demo
	cargo build --release --package mainstay
	@exec $(MAINSTAY) up --demo --data ./data-demo --open

test: deps test-deps console/dist/index.html ## install what the tests need, run all of them
	cargo xtask test
	cargo build --quiet --package mainstay
	npm --prefix console run --silent test

test-peers: test-deps ## protocols against every real peer, the heavy ones too: installs databases, brokers and the like
	@packaging/install-test-packages test-peers
	@packaging/install-java-peers
	npm --prefix packaging/node-peers ci --omit=optional --ignore-scripts --no-audit --no-fund
	cargo test --package probe --test it -- --include-ignored

lint: deps .venv/ready console/node_modules/.package-lock.json ## format, clippy, walls, licences, advisories, documentation, console
	cargo xtask lint

bench: deps console/dist/index.html ## measure what is promised; prints the figures
	cargo xtask bench

fuzz: deps ## a million inputs for every parser
	cargo xtask fuzz

torture: deps test-deps ## kill -9, power cuts, damaged disks, full disks, tampering: the long versions
	cargo xtask torture

doctor: deps console/dist/index.html ## is this machine fit to build and to run Mainstay
	@$(MAINSTAY) doctor

deps: ## is there what a build needs
	@packaging/build-needs

test-deps: .venv/ready console/node_modules/.package-lock.json console/tools/node_modules/.package-lock.json ## install what the tests need (Debian, Python, npm packages)
	@packaging/install-test-packages

console-packages: console/node_modules/.package-lock.json ## install the console's npm packages

clean: ## remove what was built; data stays
	cargo clean
	rm -rf console/dist console/node_modules console/tools/node_modules .venv

# Python tools of the tests, in a virtual environment of their own. Depends on Debian's python3-venv.
.venv/ready: packaging/test-requirements.txt packaging/test-packages.txt
	@packaging/install-test-packages
	python3 -m venv .venv
	.venv/bin/python -m pip install --quiet --requirement packaging/test-requirements.txt
	@touch $@

console/node_modules/.package-lock.json: console/package-lock.json
	npm --prefix console ci --no-audit --no-fund
	@touch $@

# What needs TypeScript's compiler as a library: the types that are generated from the server's own description.
console/tools/node_modules/.package-lock.json: console/tools/package-lock.json
	npm --prefix console/tools ci --no-audit --no-fund
	@touch $@

console/dist/index.html: console/node_modules/.package-lock.json $(CONSOLE_SOURCES)
	npm --prefix console run build
	@touch $@
