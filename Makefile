# het_tf: `make demo` and `make test` do everything, set-up included.
#
#   make demo [DATA=train.txt WORKERS=2 SHARDS=2 DIM=16 STEPS=... STALENESS=... CACHE=...]
#   make test          C++ unit tests, then the Python tests
#   make setup         packages, virtual environment, native libraries, Horovod
#   make build         the op library and the shard server
#   make build CUDA=1  the same with GPU kernels, by NVCC: see docs/cuda.md
#   make cuda-compile  compiles, links and loads those kernels, elsewhere; runs none
#   make unit          the C++ unit tests alone
#   make asan | tsan   the TensorFlow-free core's tests under a sanitizer
#   make thread-safety clang's lock analysis
#   make fuzz SECONDS=n  libFuzzer and atheris over everything that reads bytes; or RUNS=n per target
#   make mutations     breaks each consistency rule: its tests must fail
#   make chaos KILLS=n kills shards and workers n times: nothing may be lost
#   make siege         1,000 idle connections, slow and broken messages: training goes on
#   make bench         the benchmarks, in their quick form: JSON lines and a table
#   make bench-peers   installs the systems that the benchmarks compare with
#   make reproduce     the paper's experiments, reduced, and their report; FULL=1: all of them, hours
#   make lint          ruff, mypy
#   make wheel         a wheel in dist/
#   make clean         removes what was built in this checkout

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
JOBS ?= 2
MAKEFLAGS += --no-builtin-rules

# --- environment ------------------------------------------------------------

VENV := .venv
BASE_PYTHON ?= $(shell for p in python3.12 python3.11 python3; do command -v $$p >/dev/null && \
  $$p -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null && echo $$p && break; done)
# The interpreter whose TensorFlow the op library is built for.
PYTHON ?= $(VENV)/bin/python
BUILD := build
REQUIREMENTS := tools/setup/requirements.txt
SETUP_STAMP := $(VENV)/setup.$(shell cat $(REQUIREMENTS) tools/setup/debian-packages.txt tools/setup/*.sh | sha256sum | cut -c1-16)

.PHONY: help setup build unit pytest test demo asan tsan fuzz fuzz-seeds thread-safety mutations bench lint wheel clean cuda-compile
help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

setup: $(SETUP_STAMP)
$(SETUP_STAMP):
	@BASE_PYTHON="$(BASE_PYTHON)" VENV="$(VENV)" REQUIREMENTS="$(REQUIREMENTS)" STAMP="$@" tools/setup/environment.sh

# $(call one_at_a_time,TARGET): makes TARGET while no other make does in $(BUILD).
one_at_a_time = mkdir -p $(BUILD) && flock $(BUILD) $(MAKE) --no-print-directory -j$(JOBS) $(1)

# --- rooms ------------------------------------------------------------------

CORE_ROOMS := base consistency optimizer initializer store storage shard cache gpu testing
sources = $(filter-out %_test.cc %_fuzz.cc %_main.cc %.cu.cc %_gpu.cc,$(sort $(wildcard kernels/$(1)/*.cc)))
tests = $(sort $(wildcard kernels/$(1)/*_test.cc))

CORE_SOURCES := $(foreach room,$(filter-out testing,$(CORE_ROOMS)),$(call sources,$(room)))
TESTING_SOURCES := $(call sources,testing)
RPC_SOURCES := $(call sources,rpc)
SERVER_SOURCES := $(call sources,server)
OPS_SOURCES := $(call sources,ops)
CUDA_SOURCES := $(sort $(wildcard kernels/gpu/*.cu.cc))
CUDA_OPS_SOURCES := $(sort $(wildcard kernels/ops/*_gpu.cc))
CORE_TESTS := $(foreach room,$(CORE_ROOMS),$(call tests,$(room)))
FUZZ_SOURCES := $(call sources,fuzz)
FUZZ_TESTS := $(call tests,fuzz)
FUZZ_TARGETS := $(sort $(wildcard kernels/fuzz/*_fuzz.cc))
RPC_TESTS := $(call tests,rpc) $(call tests,server) $(FUZZ_TESTS)
PROTO_OBJECTS := $(BUILD)/gen/protos/shard.pb.o $(BUILD)/gen/protos/shard.grpc.pb.o

# Baseline x86-64, so that one wheel runs everywhere; no contraction of a*b+c,
# so that every build computes the same bits. Without errno for roots loops with
# them become SIMD; -fno-trapping-math would do more, but changes bits.
OPTIMIZE ?= -O3
CXX_COMMON := -std=c++17 -g1 -fPIC -fvisibility=hidden -fvisibility-inlines-hidden \
  -ffp-contract=off -fno-math-errno -Wall -Wextra -Werror -I. -MMD -MP
# What is shipped reads bytes from a network (docs/security.md).
HARDENED := -fstack-protector-strong -fstack-clash-protection -fcf-protection -D_FORTIFY_SOURCE=2
HARDENED_LINK := -Wl,-z,relro,-z,now,-z,noexecstack
CXXFLAGS_release := $(OPTIMIZE) $(CXX_COMMON) $(HARDENED)
CXXFLAGS_asan := -O1 $(CXX_COMMON) -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
CXXFLAGS_tsan := -O1 $(CXX_COMMON) -fsanitize=thread -fno-omit-frame-pointer
CXXFLAGS_fuzz := $(CXXFLAGS_asan) -fsanitize=fuzzer-no-link
# libFuzzer is clang's.
compiler = $(if $(filter fuzz,$(1)),clang++-14,$(CXX))
# Who calls a fuzz target: libFuzzer, or a program that runs given inputs.
fuzz_main = $(if $(filter fuzz,$(1)),,$(BUILD)/$(1)/kernels/fuzz/replay_main.o)
GTEST := /usr/src/googletest/googletest
GTEST_INCLUDE := -isystem $(GTEST)/include

# rules_for CONFIG: objects, the core's archive and its tests', googletest and the
# test binaries.
# Tests and benchmarks use Debian's shared libraries; what is shipped does not.
DYNAMIC_RPC := -lgrpc++_reflection $(shell pkg-config --libs grpc++ protobuf 2>/dev/null) -lprometheus-cpp-pull -lprometheus-cpp-core -lssl -lcrypto

define rules_for
$(BUILD)/$(1)/%.o: %.cc
	@mkdir -p $$(@D)
	@echo "  c++   [$(1)] $$<"
	@$(call compiler,$(1)) $$(CXXFLAGS_$(1)) $(GTEST_INCLUDE) -I$(BUILD)/gen -c $$< -o $$@
$(BUILD)/$(1)/libgtest.a: $(GTEST)/src/gtest-all.cc
	@mkdir -p $$(@D)
	@echo "  c++   [$(1)] googletest"
	@$(call compiler,$(1)) $$(filter-out -Werror -MMD -MP,$$(CXXFLAGS_$(1))) $(GTEST_INCLUDE) -I$(GTEST) -c $$< -o $$(@D)/gtest-all.o
	@$(call compiler,$(1)) $$(filter-out -Werror -MMD -MP,$$(CXXFLAGS_$(1))) $(GTEST_INCLUDE) -I$(GTEST) -c $(GTEST)/src/gtest_main.cc -o $$(@D)/gtest_main.o
	@ar rcs $$@ $$(@D)/gtest-all.o $$(@D)/gtest_main.o
$(BUILD)/$(1)/libhet_core.a: $$(CORE_SOURCES:%.cc=$(BUILD)/$(1)/%.o)
	@rm -f $$@
	@ar rcs $$@ $$^
$(BUILD)/$(1)/libhet_testing.a: $$(TESTING_SOURCES:%.cc=$(BUILD)/$(1)/%.o)
	@rm -f $$@
	@ar rcs $$@ $$^
$$(CORE_TESTS:%.cc=$(BUILD)/$(1)/%): $(BUILD)/$(1)/%: $(BUILD)/$(1)/%.o $(BUILD)/$(1)/libhet_testing.a $(BUILD)/$(1)/libhet_core.a $(BUILD)/$(1)/libgtest.a
	@echo "  link  [$(1)] $$(@F)"
	@$(call compiler,$(1)) $$(CXXFLAGS_$(1)) $$< -o $$@ -Wl,--start-group $(BUILD)/$(1)/libhet_testing.a $(BUILD)/$(1)/libhet_core.a $(BUILD)/$(1)/libgtest.a -Wl,--end-group -lz -lpthread
$$(RPC_SOURCES:%.cc=$(BUILD)/$(1)/%.o) $$(SERVER_SOURCES:%.cc=$(BUILD)/$(1)/%.o) $$(RPC_TESTS:%.cc=$(BUILD)/$(1)/%.o) $(BUILD)/$(1)/kernels/server/shard_server_main.o: | $(PROTO_OBJECTS)
$$(RPC_TESTS:%.cc=$(BUILD)/$(1)/%): $(BUILD)/$(1)/%: $(BUILD)/$(1)/%.o $$(RPC_SOURCES:%.cc=$(BUILD)/$(1)/%.o) $$(SERVER_SOURCES:%.cc=$(BUILD)/$(1)/%.o) $(PROTO_OBJECTS) $(BUILD)/$(1)/libhet_testing.a $(BUILD)/$(1)/libhet_core.a $(BUILD)/$(1)/libgtest.a
	@echo "  link  [$(1)] $$(@F)"
	@$(call compiler,$(1)) $$(CXXFLAGS_$(1)) $$(filter %.o,$$^) -o $$@ -Wl,--start-group $(BUILD)/$(1)/libhet_testing.a $(BUILD)/$(1)/libhet_core.a $(BUILD)/$(1)/libgtest.a -Wl,--end-group $(DYNAMIC_RPC) -lz -lpthread
$$(FUZZ_TESTS:%.cc=$(BUILD)/$(1)/%): $$(FUZZ_SOURCES:%.cc=$(BUILD)/$(1)/%.o)
$$(FUZZ_SOURCES:%.cc=$(BUILD)/$(1)/%.o) $$(FUZZ_TARGETS:%.cc=$(BUILD)/$(1)/%.o): | $(PROTO_OBJECTS)
$$(FUZZ_TARGETS:%.cc=$(BUILD)/$(1)/%) $(BUILD)/$(1)/kernels/fuzz/seeds_main: $(BUILD)/$(1)/%: $(BUILD)/$(1)/%.o $$(FUZZ_SOURCES:%.cc=$(BUILD)/$(1)/%.o) $$(RPC_SOURCES:%.cc=$(BUILD)/$(1)/%.o) $(PROTO_OBJECTS) $(BUILD)/$(1)/libhet_core.a
	@echo "  link  [$(1)] $$(@F)"
	@$(call compiler,$(1)) $$(CXXFLAGS_$(1)) $$(filter %.o,$$^) -o $$@ $(BUILD)/$(1)/libhet_core.a $(if $(filter fuzz,$(1)),-fsanitize=fuzzer) $(DYNAMIC_RPC) -lz -lpthread
$$(FUZZ_TARGETS:%.cc=$(BUILD)/$(1)/%): $(call fuzz_main,$(1))
-include $$(shell find $(BUILD)/$(1) -name '*.d' 2>/dev/null)
endef
$(foreach config,release asan tsan fuzz,$(eval $(call rules_for,$(config))))

# --- the wire ---------------------------------------------------------------

$(BUILD)/gen/protos/shard.pb.cc: protos/shard.proto
	@mkdir -p $(BUILD)/gen
	@echo "  protoc $<"
	@protoc --cpp_out=$(BUILD)/gen --grpc_out=$(BUILD)/gen --plugin=protoc-gen-grpc=$$(command -v grpc_cpp_plugin) $<
$(BUILD)/gen/protos/shard.grpc.pb.cc: $(BUILD)/gen/protos/shard.pb.cc
$(PROTO_OBJECTS): %.o: %.cc
	@echo "  c++   $<"
	@$(CXX) -std=c++17 -O2 -fPIC -fvisibility=hidden -fvisibility-inlines-hidden -I$(BUILD)/gen -c $< -o $@

# --- what is shipped --------------------------------------------------------

# CUDA=1 adds the GPU kernels; anything else but 0 and nothing is an error.
CUDA ?= 0
$(if $(filter-out 0 1,$(CUDA)),$(error CUDA is '$(CUDA)', expected 1 (with GPU kernels) or 0 (without)))
CUDA_KERNELS := $(filter 1,$(CUDA))

# setup.py sets PACKAGE_DIR and OPS_BUILD: a wheel is made beside the checkout's
# own libraries and may be compiled against another installation of TensorFlow.
PACKAGE_DIR := het_tf
NATIVE_DIR := $(PACKAGE_DIR)/_native
OP_LIBRARY := $(NATIVE_DIR)/het_tf_ops.so
SHARD_SERVER := $(NATIVE_DIR)/het-tf-shard
OPS_BUILD := $(BUILD)/ops$(if $(CUDA_KERNELS),-cuda)
# Compiler and linker flags of PYTHON's TensorFlow, asked for by every build of
# the op library and by nothing else; the files change only when the flags do.
TF_FLAGS := $(OPS_BUILD)/tensorflow.cflags
.PHONY: always
$(TF_FLAGS): always | $(if $(filter $(VENV)/%,$(PYTHON)),$(SETUP_STAMP))
	@$(PYTHON) tools/setup/tensorflow_flags.py $(OPS_BUILD)

# Debian's own static libraries are position-independent, but for the three that
# native_libraries.sh rebuilds; all of it stays hidden inside what is linked here.
# The script looks at its cache entry each time and mends it.
STATIC_RPC = -L$$native/lib -Wl,-Bstatic -Wl,--start-group \
  $(shell pkg-config --static --libs grpc++ protobuf | tr ' ' '\n' | grep -E '^-l' | grep -vE '^-l(dl|rt|atomic|pthread|m)$$' | sort -u) \
  -Wl,--end-group -Wl,-Bdynamic
RELEASE_RPC := $(RPC_SOURCES:%.cc=$(BUILD)/release/%.o) $(PROTO_OBJECTS) $(BUILD)/release/libhet_core.a
RELEASE_SERVER := $(SERVER_SOURCES:%.cc=$(BUILD)/release/%.o) $(BUILD)/release/kernels/server/shard_server_main.o

$(OPS_BUILD)/%.o: %.cc $(TF_FLAGS)
	@mkdir -p $(@D)
	@echo "  c++   [ops] $<"
	@$(CXX) -O2 $(CXX_COMMON) $(HARDENED) -Wno-unused-parameter -DNDEBUG $(if $(CUDA_KERNELS),-DHET_TF_CUDA) @$(TF_FLAGS) -c $< -o $@
-include $(shell find $(OPS_BUILD) -name '*.d' 2>/dev/null)

# Code for every major architecture that nvcc knows, without contraction as
# everywhere. CUDA's runtime is linked statically: it looks for a driver when a
# kernel is launched, so the library also loads where there is none.
NVCC ?= nvcc
CUDA_ARCH ?= all-major
NVCC_FLAGS := -x cu -std=c++17 -O3 -fmad=false -arch=$(CUDA_ARCH) -I. -Werror all-warnings \
  -Xcompiler=-fPIC,-fvisibility=hidden,-fvisibility-inlines-hidden,-Wall,-Wextra,-Werror
CUDA_OBJECTS := $(CUDA_SOURCES:%.cc=$(BUILD)/cuda/%.o)
# Where nvcc links from.
CUDA_LIBRARIES = $(shell $(NVCC) --dryrun -x cu /dev/null 2>&1 | sed -n 's/^\#\$$ LIBRARIES=//p')
.PHONY: nvcc
nvcc:
	@command -v $(NVCC) >/dev/null || { echo "CUDA=1 needs nvcc of CUDA 12 or later, and '$(NVCC)' is not there: install it, or say where it is with NVCC=" >&2; exit 1; }
$(CUDA_OBJECTS): $(BUILD)/cuda/%.o: %.cc | nvcc
	@mkdir -p $(@D)
	@echo "  nvcc  $<"
	@$(NVCC) $(NVCC_FLAGS) -MMD -MP -MF $(@:.o=.d) -c $< -o $@
-include $(shell find $(BUILD)/cuda -name '*.d' 2>/dev/null)

OP_OBJECTS := $(OPS_SOURCES:%.cc=$(OPS_BUILD)/%.o)
ifdef CUDA_KERNELS
OP_OBJECTS += $(CUDA_OPS_SOURCES:%.cc=$(OPS_BUILD)/%.o) $(CUDA_OBJECTS)
endif
# Changes when the library is to be linked from other objects than the last time.
OP_OBJECTS_LIST := $(BUILD)/links/$(subst /,-,$(OP_LIBRARY)).objects
$(OP_OBJECTS_LIST): always
	@mkdir -p $(@D)
	@echo '$(OP_OBJECTS)' | cmp -s - $@ || echo '$(OP_OBJECTS)' >$@

$(OP_LIBRARY): $(OP_OBJECTS) $(RELEASE_RPC) $(OP_OBJECTS_LIST)
	@mkdir -p $(@D)
	@echo "  link  $@"
	@native=$$(tools/setup/native_libraries.sh) && $(CXX) -shared $(filter %.o,$^) $(BUILD)/release/libhet_core.a -o $@.tmp $(STATIC_RPC) @$(OPS_BUILD)/tensorflow.ldflags \
	  $(if $(CUDA_KERNELS),$(CUDA_LIBRARIES) -lcudart_static) -ldl -lrt -lpthread \
	  -Wl,--exclude-libs,ALL -Wl,-Bsymbolic -Wl,-z,defs $(HARDENED_LINK) -Wl,--gc-sections -Wl,-s
	@mv $@.tmp $@

$(SHARD_SERVER): $(RELEASE_SERVER) $(RELEASE_RPC)
	@mkdir -p $(@D)
	@echo "  link  $@"
	@native=$$(tools/setup/native_libraries.sh) && $(CXX) -pie $(filter %.o,$^) $(BUILD)/release/libhet_core.a -o $@.tmp \
	  -L$$native/lib -Wl,-Bstatic -lgrpc++_reflection -lprometheus-cpp $(STATIC_RPC) -static-libstdc++ -static-libgcc \
	  -ldl -lrt -lpthread $(HARDENED_LINK) -Wl,--gc-sections -Wl,-s
	@mv $@.tmp $@

# A description instead of generated code, which is tied to one protobuf runtime.
PYTHON_PROTO := $(PACKAGE_DIR)/_proto/shard.binpb
$(PYTHON_PROTO): protos/shard.proto
	@mkdir -p $(@D)
	@protoc -Iprotos --include_imports --descriptor_set_out=$@ $<

build: setup
	@+$(call one_at_a_time,native-files)
native:
	@+$(call one_at_a_time,native-files)
.PHONY: native native-files
native-files: $(OP_LIBRARY) $(SHARD_SERVER) $(PYTHON_PROTO)

# Beside the package's own library, so that no other build is disturbed.
cuda-compile: setup
	@+$(call one_at_a_time,cuda-library CUDA=1 PACKAGE_DIR=$(BUILD)/cuda/het_tf)
	@$(PYTHON) tools/check/cuda_library.py $(BUILD)/cuda/het_tf/_native/het_tf_ops.so
.PHONY: cuda-library
cuda-library: $(OP_LIBRARY)

# --- tests ------------------------------------------------------------------

run_tests = @tools/check/run_tests.sh $(1) $(JOBS) $(2:%.cc=$(BUILD)/$(1)/%)

.PHONY: unit-binaries asan-binaries tsan-binaries
unit-binaries: $(CORE_TESTS:%.cc=$(BUILD)/release/%) $(RPC_TESTS:%.cc=$(BUILD)/release/%) $(FUZZ_TARGETS:%.cc=$(BUILD)/release/%)
asan-binaries: $(CORE_TESTS:%.cc=$(BUILD)/asan/%) $(RPC_TESTS:%.cc=$(BUILD)/asan/%) $(FUZZ_TARGETS:%.cc=$(BUILD)/asan/%)
tsan-binaries: $(CORE_TESTS:%.cc=$(BUILD)/tsan/%)

unit: setup
	@+$(call one_at_a_time,unit-binaries)
	$(call run_tests,release,$(CORE_TESTS) $(RPC_TESTS) $(FUZZ_TARGETS))
asan: setup
	@+$(call one_at_a_time,asan-binaries)
	$(call run_tests,asan,$(CORE_TESTS) $(RPC_TESTS) $(FUZZ_TARGETS))
# Debian's gRPC is not instrumented: the rpc room is left out.
tsan: setup
	@+$(call one_at_a_time,tsan-binaries)
	$(call run_tests,tsan,$(CORE_TESTS))
# The ops room stays out: it has no lock of its own, and would need TensorFlow's
# headers.
ANNOTATED := $(CORE_SOURCES) $(TESTING_SOURCES) $(RPC_SOURCES) $(SERVER_SOURCES) kernels/server/shard_server_main.cc
thread-safety: setup
	@+$(call one_at_a_time,$(PROTO_OBJECTS))
	@printf '%s\n' $(ANNOTATED) | xargs -P $(JOBS) -n 1 clang++-14 -std=c++17 -fsyntax-only -I. -isystem $(BUILD)/gen $(GTEST_INCLUDE) -Wthread-safety -Werror
	@echo "thread-safety: $(words $(ANNOTATED)) files clean"

# Each fuzz target for its share of SECONDS, or for RUNS executions; TARGETS are
# names, all without any. What they find to be new stays in $(BUILD)/fuzz/corpus.
SECONDS ?= 60
.PHONY: fuzz-binaries fuzz-seeds-binary
fuzz-binaries: $(FUZZ_TARGETS:%.cc=$(BUILD)/fuzz/%)
fuzz: setup
	@+$(call one_at_a_time,fuzz-binaries)
	@$(PYTHON) tools/check/fuzz.py $(if $(RUNS),--runs $(RUNS),--seconds $(SECONDS)) $(TARGETS)
# Writes the C++ targets' committed corpora anew: when a format has changed.
fuzz-seeds-binary: $(BUILD)/release/kernels/fuzz/seeds_main
fuzz-seeds: setup
	@+$(call one_at_a_time,fuzz-seeds-binary)
	@$(BUILD)/release/kernels/fuzz/seeds_main

# Breaks every consistency rule on purpose: its tests must fail.
mutations: setup
	@$(PYTHON) tools/check/mutations.py --jobs $(JOBS)

# Shards in the middle of training, one worker and two; everything in the middle of checkpoints.
KILLS ?= 20
.PHONY: chaos
chaos: build
	@$(PYTHON) tools/check/chaos.py --kills $(KILLS)
	@$(PYTHON) tools/check/chaos.py --kills $(KILLS) --workers 2
	@$(PYTHON) tools/check/chaos_checkpoints.py --kills $(KILLS)

# Strangers and broken workers about a shard that trains, with TLS and without.
.PHONY: siege
siege: build
	@$(PYTHON) tools/check/siege.py
	@$(PYTHON) tools/check/siege.py --plain

pytest: build bench-binaries
	@$(PYTHON) -m pytest tests $(PYTEST_ARGS)

# The closing line is pytest's.
test: build bench-binaries
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory pytest

# --- the demo ---------------------------------------------------------------

demo: build
	@$(PYTHON) -m models.demo $(if $(DATA),--data '$(DATA)') $(if $(WORKERS),--workers $(WORKERS)) \
	  $(if $(SHARDS),--shards $(SHARDS)) $(if $(DIM),--dimension $(DIM)) $(if $(STEPS),--steps $(STEPS)) \
	  $(if $(STALENESS),--staleness $(STALENESS)) $(if $(CACHE),--cache $(CACHE))

# --- benchmarks -------------------------------------------------------------

# Programs that benchmarks run: benchmarks/native/NAME_main.cc, compiled as the product is.
# What they have in common lies beside them.
BENCH_BINARIES := $(patsubst %.cc,$(BUILD)/release/%,$(sort $(wildcard benchmarks/native/*_main.cc)))
BENCH_OBJECTS := $(patsubst %.cc,$(BUILD)/release/%.o,$(sort $(filter-out %_main.cc,$(wildcard benchmarks/native/*.cc))))
$(BENCH_BINARIES:%=%.o) $(BENCH_OBJECTS): | $(PROTO_OBJECTS)
$(BENCH_BINARIES): %: %.o $(BENCH_OBJECTS) $(RPC_SOURCES:%.cc=$(BUILD)/release/%.o) $(SERVER_SOURCES:%.cc=$(BUILD)/release/%.o) $(PROTO_OBJECTS) $(BUILD)/release/libhet_core.a
	@echo "  link  $(@F)"
	@$(CXX) $(CXXFLAGS_release) $(filter %.o,$^) -o $@ $(BUILD)/release/libhet_core.a $(DYNAMIC_RPC) -lz -lpthread
.PHONY: bench-files bench-binaries
bench-files: $(BENCH_BINARIES)
bench-binaries: setup
	@+$(call one_at_a_time,bench-files)

# What benchmarks compare with, in virtual environments of its own (about three gigabytes).
.PHONY: bench-peers
bench-peers: setup
	@$(PYTHON) -m benchmarks.peers install

bench: build bench-binaries
	@$(PYTHON) -m benchmarks.report

# The paper's experiments and their report; goes on where it was interrupted.
.PHONY: reproduce
reproduce: build bench-binaries
	@$(PYTHON) -m models.experiments.reproduce $(if $(FULL),--full)

# --- Python -----------------------------------------------------------------

lint: setup
	@$(PYTHON) -m ruff check het_tf models benchmarks tests tools setup.py
	@$(PYTHON) -m mypy het_tf models benchmarks tools tests/repo setup.py

wheel: setup
	@$(PYTHON) -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation -w dist .

clean:
	rm -rf $(BUILD) $(NATIVE_DIR) het_tf/_proto dist het_tf.egg-info

.PHONY: print-libraries
print-libraries:
	@$(foreach room,$(CORE_ROOMS) rpc server fuzz ops,echo "$(room): $(call sources,$(room))"; echo "$(room)_tests: $(call tests,$(room))";)
