# The one front door. Every target works from a clean clone: what it needs is set up first.
.DEFAULT_GOAL := help
.PHONY: help setup check test full fast run clean-run e2e kube csi-serve images sim mutants bench coverage generate format clean
MAKEFLAGS += --no-print-directory

NODE := node_modules/.bin/node
# Compiled TypeScript is kept between runs; that halves the start of every process.
export NODE_COMPILE_CACHE ?= $(CURDIR)/build/compile-cache

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  Variables: ONLY=nbd,volume (part of a path)  JOBS=2  PF_PORTS=io_uring|libuv  SEED=n  SEEDS=n FROM=n  ONCE=1  SOCKET=path'

setup: ## npm packages, native addon and, as root, the Debian packages of the peers
	@sh e2e/run/setup.sh $(if $(filter setup,$(MAKECMDGOALS)),retry)

check: setup ## format, lint, types and the house rules
	@$(NODE) e2e/run/run-tests.ts --checks --only e2e/house

test: ## set up everything, check, and run every suite this machine can run
	@sh e2e/run/setup.sh || { echo '0 passed, 1 failed'; exit 1; }
	@$(NODE) e2e/run/run-tests.ts --checks --only '$(ONLY)'

full: export PF_FULL=1
full: export PF_POWER_CUT=full
full: export PF_FUZZ_FRAMES=1000000
full: ## the same in their long forms: 60 s of load, every power cut, a million fuzzed frames (ONLY=... narrows it)
	@$(MAKE) test

fast: setup ## the unit tests of the workspaces only: no checks, nothing from e2e
	@$(NODE) e2e/run/run-tests.ts --unit --only '$(ONLY)'

run: setup ## a local cluster on file-backed disks, until Ctrl-C (ONCE=1: walk through it and exit)
	@ONCE='$(ONCE)' $(NODE) e2e/local/make-run.ts

clean-run: ## remove what `make run` left on the disk
	rm -rf build/run

e2e: setup ## the suites on real Kubernetes and in a virtual machine, the long ones too (ONLY=... narrows it)
	@$(NODE) e2e/run/run-tests.ts --long --only '$(or $(ONLY),e2e/kube,e2e/operator,e2e/csi,e2e/sanity,e2e/vm)'

kube: setup ## a Kubernetes cluster of one node on this machine, until Ctrl-C (as root; ONCE=1: run a pod and exit)
	@ONCE='$(ONCE)' $(NODE) e2e/kube/make-kube.ts

csi-serve: setup ## a CSI driver on a local cluster of three stores, at SOCKET=PATH, until Ctrl-C (as root)
	@SOCKET='$(SOCKET)' $(NODE) e2e/csi/csi-serve.ts

images: setup ## bundles of the programs, and container images of them where an engine answers (REGISTRY=host/path)
	@REGISTRY='$(REGISTRY)' $(NODE) images/make-images.ts

SEEDS ?= 100
FROM ?= 1
sim: setup ## the simulated cluster: SEED=n for one seed, SEEDS=n FROM=n for many
	@$(NODE) datapath/src/bin/sim.ts $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --from $(FROM))

mutants: setup ## plant each known mutation in turn and show what catches it
	@$(NODE) e2e/mutants/run-mutants.ts $(if $(ONLY),--only '$(ONLY)')

bench: setup ## performance beside its peers, as a table of ratios; JSON in build/
	@$(NODE) e2e/bench/bench.ts

coverage: setup ## line coverage of the unit tests, as a summary and as HTML in build/coverage
	@NODE_DISABLE_COMPILE_CACHE=1 $(NODE) node_modules/.bin/c8 --config .c8rc.json $(NODE) e2e/run/run-tests.ts --unit --only '$(ONLY)'

generate: setup ## write every generated file again
	@$(NODE) e2e/run/generate.ts

format: setup ## rewrite the files in the house's format
	@$(NODE) node_modules/.bin/prettier --write --log-level warn .

clean: clean-run ## remove everything that was built or installed
	rm -rf build datapath/build node_modules
