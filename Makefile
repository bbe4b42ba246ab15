# Watchpost: one command for each thing that a developer does. Nothing here is needed to build the code
# (`go build ./...` is enough); it fixes the flags, the order and the time that each stage may take.

SHELL         := /bin/bash
.SHELLFLAGS   := -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# The same flags for everything, so that tests and programs share one build cache.
export CGO_ENABLED := 0
export GOFLAGS     := -trimpath -buildvcs=false $(filter-out -trimpath -buildvcs=%,$(GOFLAGS))

BUILD   := $(CURDIR)/.build
VERSION := $(or $(shell git -c safe.directory='*' describe --tags --always --dirty 2>/dev/null),unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# A station is amd64 or arm64: where an int has 32 bits Badger loses what it was given (README, Decisions).
STATION := ./firmware/watchpostd
TOOLS   := ./tools/stationctl
SERVERS := ./tools/dispatch ./tools/simctl
NATIVE  := linux-$(shell go env GOARCH)

env_linux-amd64 := GOARCH=amd64
env_linux-arm64 := GOARCH=arm64

programs_linux-amd64 := $(STATION) $(TOOLS) $(SERVERS)
programs_linux-arm64 := $(STATION) $(TOOLS) $(SERVERS)

# sim/e2e runs the built programs and tools/lint reads the sources: each is a stage of its own.
UNIT = $$(go list ./... | grep -v -e /sim/e2e -e /tools/lint)

# How long `make fuzz` stays with each target, and what `make fuzz-short` spends on all of them, in seconds.
FUZZTIME   ?= 1h
FUZZBUDGET ?= 210

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: ## three stations, a centre and an alarm with video, in one browser page
	@go run ./tools/simctl demo

.PHONY: test
test: ## everything that must pass, with the time of each stage (README's test command)
	@.ci/stages deps+build-native+lint:300 unit:360 arm:240 e2e:420 faults:420 deps-qemu+qemu:300 fuzz-short:240

.PHONY: unit
unit: ## tests of all packages
	@.ci/gotest unit -timeout 6m $(UNIT)

.PHONY: race
race: ## the unit tests but for the longest, under the race detector (the only use of a C compiler)
	@CGO_ENABLED=1 .ci/gotest race -race -short -timeout 10m $(UNIT)

.PHONY: arm
arm: ## the tests of storage and uplink as programs of a station's processor, emulated
	@GOARCH=arm64 WATCHPOST_EXEC=qemu-aarch64-static .ci/gotest arm64 -short -timeout 5m -exec qemu-aarch64-static ./storage/... ./uplink/... ./sim/fleet
	@GOARCH=arm GOARM=7 .ci/gotest armv7 -short -timeout 5m -exec qemu-arm-static $$(go list ./storage/... ./uplink/... ./sim/fleet | grep -v /storage/eventlog)
	@GOARCH=arm GOARM=7 .ci/gotest armv7-eventlog -run '^TestPlatform$$' -exec qemu-arm-static ./storage/eventlog

.PHONY: e2e
e2e: build-native ## sim/e2e against the built programs: browsers, brokers, cameras
	@WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/gotest e2e -count=1 -timeout 10m -skip '^Test(Fault|Bench|Screenshots|Cluster|Guest|Sabrelite)' ./sim/e2e

.PHONY: faults
faults: build-native ## sim/e2e when things are wrong: kill -9, full disks, dead wires (TestFault…)
	@WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/gotest faults -count=1 -timeout 10m -parallel 6 -run '^TestFault' ./sim/e2e

# What runs inside emulated stations: their kernel, as deps-qemu left it, and in bin the programs for it.
GUEST := $(BUILD)/guest

.PHONY: qemu
qemu: build-native build-guest ## sim/e2e on an emulated station's own kernel, after deps-qemu (TestGuest…)
	@WATCHPOST_GUEST=$(GUEST) WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/gotest qemu -count=1 -timeout 10m -run '^TestGuest' ./sim/e2e

.PHONY: sabrelite
sabrelite: ## hostbus and a real I2C chip on an emulated i.MX6 of 32 bits (TestSabrelite…)
	@.ci/deps-qemu $(BUILD)/sabrelite sabrelite
	@mkdir -p $(BUILD)/sabrelite/bin
	@GOOS=linux GOARCH=arm GOARM=7 go build -ldflags '$(LDFLAGS)' -o $(BUILD)/sabrelite/bin/ ./firmware/stationinit
	@GOOS=linux GOARCH=arm GOARM=7 go test -c -ldflags '-s -w' -o $(BUILD)/sabrelite/bin/hostbus.test ./drivers/hostbus
	@WATCHPOST_GUEST=$(BUILD)/sabrelite .ci/gotest sabrelite -count=1 -timeout 10m -run '^TestSabrelite' ./sim/e2e

# What takes too long for every day: many seeds of virtual time, and more stations at once than one county has.
FLEETSEEDS    ?= 400
FLEETSTATIONS ?= 5000

.PHONY: fleet
fleet: build-native ## FLEETSEEDS (400) histories of virtual time; FLEETSTATIONS (5000) real stations lose their broker
	@FLEETSEEDS=$(FLEETSEEDS) .ci/gotest fleet-worlds -count=1 -timeout 60m -run '^Test(Worlds|Histories)$$' ./sim/fleet
	@FLEETSTATIONS=$(FLEETSTATIONS) WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/figures fleet -timeout 60m -run '^TestFaultFleetStorm' ./sim/e2e

.PHONY: cluster
cluster: build-native ## a centre on three NATS nodes, two of which are killed in turn
	@WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/figures cluster -timeout 20m -run '^TestCluster' ./sim/e2e

.PHONY: endurance
endurance: build-native ## 200 power cuts of the log, 500 kills of the agent, and the other faults at full length
	@WATCHPOST_LONG=1 .ci/gotest endurance-log -count=1 -timeout 60m -run 'Power|Lying|Kill' ./storage/eventlog
	@WATCHPOST_LONG=1 WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/gotest endurance -count=1 -timeout 120m -parallel 2 -run '^TestFault' ./sim/e2e

.PHONY: lint
lint: ## the repository's rules, the house in numbers, and go vet
	@.ci/gotest lint -count=1 ./tools/lint; status=$$?; \
		sed -n '/the house in numbers/,/^--- /{/^ *[a-z]/p}' $(BUILD)/logs/lint.log; \
		go vet ./... && exit $$status

.PHONY: fuzz
fuzz: ## each fuzz target for FUZZTIME (1h)
	@.ci/fuzz each $(FUZZTIME)

.PHONY: fuzz-short
fuzz-short: ## all fuzz targets within FUZZBUDGET seconds (210), building included
	@.ci/fuzz all $(FUZZBUDGET)

# A figure is one line: figure NAME VALUE UNIT goal GOAL ok|short. Falling short is told, not punished;
# a figure that could not be measured fails the target.
.PHONY: bench
bench: ## every bench-… target: figures against their goals, and micro-benchmarks
	@$(MAKE) --keep-going $(sort $(shell sed -n 's/^\(bench-[a-z0-9-]*\):.*/\1/p' Makefile))

.PHONY: bench-first-light
bench-first-light: build-native ## figures of the whole path (TestBench… of sim/e2e)
	@WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/figures first-light -timeout 20m -run '^TestBench' -skip '^TestBench(Events|Feel|Panels)' ./sim/e2e

.PHONY: bench-events
bench-events: build-native ## figures of the log and the outbox against their peers (TestBenchEvents… of sim/e2e)
	@WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/figures events -timeout 60m -run '^TestBenchEvents' ./sim/e2e

.PHONY: bench-feel
bench-feel: build-native build-guest ## figures of lines, loops, slaves and a guest, after deps-qemu (TestBenchFeel… of sim/e2e)
	@WATCHPOST_GUEST=$(GUEST) WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/figures feel -timeout 20m -run '^TestBenchFeel' ./sim/e2e

.PHONY: bench-panels
bench-panels: build-native ## figures of the receiver for alarm panels (BenchmarkPanels… of drivers/dc09, TestBenchPanels… of sim/e2e)
	@WATCHPOST_BIN=$(BUILD)/$(NATIVE) .ci/figures panels -timeout 20m -run '^TestBenchPanels' -bench '^BenchmarkPanels' ./drivers/dc09 ./sim/e2e

.PHONY: bench-sizes
bench-sizes: build ## sizes of the programs; a station's goal is what its modules weigh when linked alone
	@cd $(BUILD) && stat -c '%s %n' linux-*/* | awk '{ mb = $$1 / 1e6; goal = /watchpostd/ ? 16.5 : 40; \
		printf "figure size/%s %.1f MB goal %s %s\n", $$2, mb, goal, mb <= goal ? "ok" : "short" }'

.PHONY: bench-micro
bench-micro: ## Go benchmarks of all packages, briefly
	@go test -run '^$$' -bench . -skip '^BenchmarkPanels' -benchmem -benchtime 200ms $(UNIT) | grep -v -e '^PASS' -e 'no test files' -e '^ok '

.PHONY: build
build: $(addprefix build-,linux-amd64 linux-arm64) ## the programs for all targets, into .build/<os>-<arch>/

.PHONY: build-native
build-native: build-$(NATIVE) ## the programs for this machine

build-linux-%:
	@mkdir -p $(BUILD)/linux-$*
	@echo "building for linux-$*: $(notdir $(programs_linux-$*)) $(VERSION)"
	@GOOS=linux $(env_linux-$*) go build -ldflags '$(LDFLAGS)' -o $(BUILD)/linux-$*/ $(programs_linux-$*)
	@cd $(BUILD) && stat -c '%s %n' linux-$*/* | awk '{ printf "  %6.1f MB  %s\n", $$1/1e6, $$2 }'

.PHONY: build-guest
build-guest: ## the programs for emulated stations, into .build/guest/bin/
	@mkdir -p $(GUEST)/bin
	@GOOS=linux $(env_linux-arm64) go build -ldflags '$(LDFLAGS)' -o $(GUEST)/bin/ $(STATION) ./firmware/stationinit ./sim/qemu/guest
	@GOOS=linux $(env_linux-arm64) go test -c -ldflags '-s -w' -o $(GUEST)/bin/hostbus.test ./drivers/hostbus

.PHONY: deps
deps: ## install the Debian packages that tests need, and say why
	@.ci/deps

.PHONY: deps-qemu
deps-qemu: ## fetch a station's kernel for emulated stations, and compile gpio-sim for it, into .build/guest/
	@.ci/deps-qemu $(GUEST)

.PHONY: screenshots
screenshots: build-native ## take the README's pictures again, into .readme/ (TestScreenshots… of sim/e2e)
	@WATCHPOST_BIN=$(BUILD)/$(NATIVE) WATCHPOST_SCREENSHOTS=$(CURDIR)/.readme .ci/gotest screenshots -count=1 -timeout 10m -run '^TestScreenshots' ./sim/e2e

.PHONY: clean
clean: ## remove .build/
	@rm -rf $(BUILD)
