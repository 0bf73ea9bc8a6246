# Two commands for a fresh Debian machine: `make lab` and `make test`. Both need root or sudo
# (packages, network namespace), a Rust toolchain, and nothing else that is not packaged.

CARGO ?= cargo
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
STAGE := @tests/lab/stage.sh

.PHONY: help lab test services bench clean-lab packages build

help:
	@echo 'make lab        builds bp, makes the lab of blueprints/lab.yml on this machine, shows its state'
	@echo 'make clean-lab  takes that lab away'
	@echo 'make test       everything that CI runs, real virtual machines included'
	@echo 'make services   the part of make test that is about the stacks that bp ships'
	@echo 'make bench      what an up with nothing to do costs on 1, 25 and 100 hosts'

packages:
	$(STAGE) packages tests/lab/packages.sh

# The profile of the tests, so that one build serves both.
build: packages
	$(STAGE) build $(CARGO) build --locked --package bp

lab: build
	$(STAGE) lab $(SUDO) tests/lab/lab.sh up

clean-lab:
	$(STAGE) clean-lab $(SUDO) tests/lab/lab.sh down

test:
	$(STAGE) packages tests/lab/packages.sh tests
	$(STAGE) format $(CARGO) fmt --all --check
	$(STAGE) shellcheck shellcheck -x .ci/run $(shell find tests -name '*.sh') tests/lab/hosts/mesh
	$(STAGE) build $(CARGO) build --locked --package bp
	@tests/run.sh

services:
	$(STAGE) packages tests/lab/packages.sh tests
	$(STAGE) build $(CARGO) build --locked --package bp
	$(STAGE) services $(SUDO) tests/lab/services.sh

bench:
	$(STAGE) packages tests/lab/packages.sh tests
	$(STAGE) build $(CARGO) build --locked --release --package bp
	$(STAGE) bench $(SUDO) tests/bench/run.sh target/release/bp
