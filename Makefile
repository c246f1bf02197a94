# A thin front door to the CMake presets (CMakePresets.json). `make help` lists what there is.
#
#	sudo make run     install what is needed, build, watch this machine
#	sudo make test    everything: unit, golden, lab; the same under the sanitizers
#	sudo make demo    a small network of namespaces with traffic, to look at

.DEFAULT_GOAL := help
.PHONY: help deps build-deps build run demo test test-quick bench install package package-test image image-test clean format fuzz

DESTDIR ?=
PREFIX ?= /usr/local
TYCHO_SHARED ?= $(abspath ../shared)
export TYCHO_SHARED

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install the Debian packages that are missing
	@deploy/install-packages packages-build packages-test

build-deps:
	@deploy/install-packages packages-build

build: build-deps ## the programs, in build/bin/
	@cmake --preset release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >build.log 2>&1 || { cat build.log; rm -f build.log; exit 1; }; rm -f build.log
	@cmake --build --preset release --target programs

run: build ## observe this machine until Ctrl-C
	@build/bin/tycho up

demo: deps build ## build the lab network, with traffic, and leave it running
	@tests/lab/demo

test: deps ## everything, and again under the sanitizers
	@tests/run-all

test-quick: deps ## unit tests only, warnings fail
	@cmake --preset dev >/dev/null && cmake --build --preset dev && ctest --preset dev -L 'unit|fuzz'

bench: deps build ## measure; figures beside their budgets
	@tests/bench/run

fuzz: deps ## build the libFuzzer targets into build/fuzz/bin/
	@cmake --workflow --preset fuzz

install: build ## into $(DESTDIR)$(PREFIX)
	@DESTDIR=$(DESTDIR) cmake --install build --prefix $(PREFIX)

package: deps ## a Debian package, build/tycho_*.deb
	@cmake --preset release -B build/package -DCMAKE_INSTALL_PREFIX=/usr >/dev/null
	@cmake --build build/package --target programs
	@cd build/package && cpack -G DEB -B .. >/dev/null && rm -rf ../_CPack_Packages && ls ../*.deb

package-test: package ## … installed, upgraded and purged in a fresh Debian root
	@tests/package/in-a-fresh-root build/tycho_*.deb

IMAGE ?= tycho
image: ## a container image with all programs, IMAGE=tycho (podman, buildah or docker)
	@deploy/image $(IMAGE)

image-test: ## … built on a Debian root made for it, each program run from it (buildah, debootstrap)
	@tests/package/in-an-image

clean: ## remove what was built
	@rm -rf build

format: ## lay out the code
	@git ls-files '*.c' '*.h' | xargs clang-format -i
