# vecfs: `make` leaves ./vecfs; `make help` lists the targets.
#
# Objects stand in build/<variant>: "plain", or "san-..." when SAN names sanitizers. The layers are
# libraries (store, then ann on it), so that a wrong arrow between them fails at link time.

CC ?= gcc
ifeq ($(origin CC),default)
CC := gcc
endif
AR ?= ar
PREFIX ?= /usr/local
DESTDIR ?=
SAN ?=
COVERAGE ?=
HARDEN ?= yes
V ?=

comma := ,
quiet := $(if $(V),,@)
soft := $(filter no,$(HARDEN))
variant := $(if $(COVERAGE),coverage,$(if $(SAN),san-$(subst $(comma),-,$(SAN)),$(if $(soft),soft,plain)))
B := build/$(variant)
program := $(if $(COVERAGE)$(SAN)$(soft),$(B)/vecfs,vecfs)
machine := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))
is_gcc := $(if $(findstring clang,$(shell $(CC) --version)),,yes)

# --- flags ---------------------------------------------------------------------------------------

warnings := -Wall -Wextra -Wshadow -Wmissing-prototypes -Wstrict-prototypes -Wvla \
	-Wwrite-strings -Werror
# Those of them that this compiler has for this machine.
supported = $(foreach f,$(1),$(shell $(CC) $(f) -Werror -xc -c /dev/null -o /dev/null 2>/dev/null && echo $(f)))
harden := -fstack-protector-strong -fPIE
ifneq ($(COVERAGE),)
# Without assert(): the branch of one that fails cannot be reached, and would hide those that can.
optimize := -O0 --coverage -fprofile-update=atomic -DNDEBUG
else ifeq ($(SAN),)
optimize := -O2
harden += -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 $(call supported,-fstack-clash-protection \
	$(if $(filter x86_64,$(machine)),-fcf-protection) \
	$(if $(filter aarch64,$(machine)),-mbranch-protection=standard))
else
# A fence is one thing gcc's thread sanitizer does not model; the warning says only that.
optimize := -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=undefined \
	$(if $(and $(is_gcc),$(findstring thread,$(SAN))),-Wno-error=tsan)
endif

# What that costs can be measured: HARDEN=no makes build/soft/vecfs.
ifneq ($(soft),)
harden := -fno-stack-protector -U_FORTIFY_SOURCE -fno-pie $(call supported,-fcf-protection=none)
endif

CFLAGS ?=
all_cflags = -std=c11 -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. $(optimize) -g $(warnings) \
	$(harden) -pthread $(CFLAGS)
LDFLAGS ?=
all_ldflags = $(if $(soft),-no-pie -Wl$(comma)-z$(comma)lazy,-pie -Wl$(comma)-z$(comma)relro$(comma)-z$(comma)now) -Wl,--as-needed -pthread \
	$(if $(SAN),-fsanitize=$(SAN)) $(if $(COVERAGE),--coverage) $(LDFLAGS)

# pkg-config runs once per package, and only for what a target needs.
pkg = $(if $(shell pkg-config --exists $(2) && echo yes),$(shell pkg-config --$(1) $(2)),$(error \
	$(2) is missing: run scripts/setup))
fuse_cflags = $(eval fuse_cflags := $$(call pkg,cflags,fuse3))$(fuse_cflags)
fuse_libs = $(eval fuse_libs := $$(call pkg,libs,fuse3))$(fuse_libs)
store_cflags = $(eval store_cflags := $$(call pkg,cflags,liblz4 libxxhash))$(store_cflags)
store_libs = $(eval store_libs := $$(call pkg,libs,liblz4 libxxhash))$(store_libs)
cmocka_libs = $(eval cmocka_libs := $$(call pkg,libs,cmocka))$(cmocka_libs)
libs = $(store_libs) -lm
# libfuse ends its threads with pthread_cancel, and the C library loads this for it when that happens:
# in little memory too late, and the program dies of it.
unwinder := -Wl,--push-state,--no-as-needed -lgcc_s -Wl,--pop-state

# --- sources -------------------------------------------------------------------------------------

# Kernels for one kind of processor are compiled only for it, and chosen when the program starts.
other_kernels := $(if $(filter x86_64,$(machine)),,%_avx2.c %_avx512.c) \
	$(if $(filter aarch64,$(machine)),,%_neon.c)

store_src := $(sort $(wildcard store/*.c))
ann_src := $(filter-out $(other_kernels),$(sort $(wildcard ann/*.c)))
fs_src := $(sort $(wildcard fs/*.c))
support_src := $(sort $(wildcard tests/support/*.c))
unit_src := $(sort $(wildcard tests/unit/test_*.c))
outer_src := $(filter-out tests/crash/faultfs.c,$(sort $(wildcard tests/mount/*.c \
	tests/crash/*.c tests/recall/*.c tests/torture/*.c)))
bench_src := $(sort $(wildcard tests/bench/bench_*.c))
# Parts of one benchmark each; those in C++ need packages that nothing else does (scripts/setup bench).
compare_src := $(sort $(wildcard tests/bench/compare*.c)) $(addprefix tests/bench/,dataset.c \
	machine.c nearest.c peer_vecfs.c synth.c)
report_src := $(addprefix tests/bench/,chart.c report.c report_goals.c report_table.c results.c)
claims_src := $(sort $(wildcard tests/bench/claims*.c)) $(addprefix tests/bench/,dataset.c nearest.c \
	synth.c)
compare_cxx := tests/bench/peer_hnswlib.cpp tests/bench/peer_faiss.cpp
demo_src := $(sort $(wildcard tests/demo/*.c))
fuzz_src := $(sort $(wildcard tests/fuzz/fuzz_*.c))
fuzz_support := $(filter-out $(fuzz_src),$(sort $(wildcard tests/fuzz/*.c)))
c_files := $(sort $(wildcard store/*.[ch] ann/*.[ch] fs/*.[ch] tests/*/*.[ch]))

objects = $(patsubst %.c,$(B)/%.o,$(1))
programs = $(patsubst %.c,$(B)/%,$(1))

libstore := $(B)/libstore.a
libann := $(B)/libann.a
libsupport := $(B)/libsupport.a
libfs := $(B)/libfs.a

# --- targets -------------------------------------------------------------------------------------

.PHONY: all
all: $(program) ## the program, ./vecfs (the default)

.PHONY: test
test: ## everything: checks, unit, mount and crash tests, then again under the sanitizers
	$(quiet)scripts/setup
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN= all unit-programs outer-programs
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN=address,undefined all unit-programs \
		mount-programs
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN=thread all mount-programs thread-programs
	$(quiet)$(MAKE) --no-print-directory fuzz-build
	$(quiet)scripts/run-tests check unit mutants torture fuzz recall mount package crash unit@address,undefined \
		mount@address,undefined mount@thread threads@thread

.PHONY: test-quick
test-quick: all unit-programs ## the unit tests alone
	$(quiet)scripts/run-tests unit

.PHONY: test-mount
test-mount: all outer-programs ## the tests through a real mount alone
	$(quiet)scripts/run-tests mount

.PHONY: test-crash
test-crash: all outer-programs ## the crash tests alone, with KILLS=200 kills unless it says otherwise
	$(quiet)KILLS=$(or $(KILLS),200) scripts/run-tests crash

.PHONY: torture
torture: ## HOURS=1 of the tests that enumerate, in full, seed after seed; goes on where it stopped
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN= all outer-programs
	$(quiet)$(MAKE) --no-print-directory fuzz-build
	$(quiet)scripts/torture $(or $(HOURS),1)

.PHONY: fuzz
fuzz: fuzz-build ## feeds hostile bytes to all that reads them, FUZZ_SECONDS=20 for each target
	$(quiet)scripts/run-tests fuzz

.PHONY: san
san: ## unit and mount tests under SAN=address|undefined|address,undefined|thread
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN=$(san_list) all unit-programs mount-programs
	$(quiet)EVERYTHING=yes scripts/run-tests unit@$(san_list) mount@$(san_list)

.PHONY: demo
demo: ## the main job on 60,000 pictures: mount, write, ask, kill, find everything again
	$(quiet)scripts/setup
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN= all demo-programs
	$(quiet)scripts/demo $(DEMO_ARGS)

.PHONY: bench
bench: all bench-programs ## all benchmarks
	$(quiet)for b in $(filter-out %/bench_durability,$(call programs,$(bench_src))); do echo "== $$b"; $$b || exit 1; done
	$(quiet)scripts/bench-write
	$(quiet)$(MAKE) --no-print-directory bench-durability

.PHONY: bench-durability
bench-durability: all bench-programs ## what the log, recovery, checkpoints and syncs cost
	$(quiet)$(B)/tests/bench/bench_durability $(BENCH_ARGS)
	$(quiet)scripts/bench-durability

.PHONY: bench-ann
bench-ann: ## recall and speed beside other indexes; writes docs/benchmarks/
	$(quiet)scripts/setup bench
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN= all compare-programs $(B)/tests/bench/nullfs
	$(quiet)scripts/bench-ann $(BENCH_ARGS)

.PHONY: bench-claims bench-mmap
bench-claims: all claims-programs ## the claims of the design, measured; writes docs/benchmarks/claims.md
	$(quiet)scripts/bench-claims $(BENCH_ARGS)
bench-mmap: all claims-programs ## of these, mapped files against read calls
	$(quiet)scripts/bench-claims map

.PHONY: bench-write
bench-write: all bench-programs ## write rate against a FUSE file system that does nothing
	$(quiet)scripts/bench-write $(BENCH_ARGS)

.PHONY: bench-fs
bench-fs: ## everyday operations beside a FUSE file system that does nothing; writes docs/benchmarks/
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN= all $(addprefix build/plain/tests/bench/,nullfs fs_ops)
	$(quiet)scripts/bench-fs $(BENCH_ARGS)

.PHONY: test-mutants
test-mutants: all unit-programs outer-programs ## defects put into copies of the source: each must be caught
	$(quiet)scripts/mutants $(MUTANTS)

.PHONY: coverage
coverage: ## which branches of store/ the tests take; scripts/coverage FILE lists the others
	$(quiet)$(MAKE) --no-print-directory $(jobs) SAN= COVERAGE=yes store-test-programs
	$(quiet)scripts/coverage run

.PHONY: check-layers
check-layers: $(libstore) $(libann) ## includes, symbols and system calls keep to their layers
	$(quiet)scripts/check-layers

.PHONY: check-headers
check-headers: ## each header compiles alone, each .c includes its own header first
	$(quiet)CC="$(CC)" scripts/check-headers

.PHONY: check-hardening
check-hardening: all ## the program has what guards it against errors of memory
	$(quiet)scripts/check-hardening $(program)

.PHONY: check-format
check-format: ## the source is formatted as .clang-format says
	$(quiet)scripts/check-format

.PHONY: format
format: ## formats the source
	$(quiet)scripts/check-format --fix

.PHONY: man
man: ## makes the manual pages of their sources, docs/man/*.scd
	$(quiet)scripts/man-pages

.PHONY: install
install: $(program) ## installs below DESTDIR and PREFIX (/usr/local)
	$(quiet)scripts/install $(program) "$(DESTDIR)" "$(PREFIX)"

.PHONY: uninstall
uninstall: ## removes what install put there
	$(quiet)scripts/install --remove $(program) "$(DESTDIR)" "$(PREFIX)"

.PHONY: deb
deb: $(program) ## a Debian package of the program, in build/
	$(quiet)scripts/build-deb $(program) build

.PHONY: clean
clean: ## removes everything that was built
	rm -rf build vecfs

.PHONY: help
help: ## this list
	$(quiet)awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

# --- what the targets above build ----------------------------------------------------------------

san_list := $(or $(SAN),address$(comma)undefined)
# The targets of libFuzzer are a variant of their own, made by clang, if it can.
.PHONY: fuzz-build
fuzz-build:
	$(quiet)if scripts/can-fuzz; then \
		$(MAKE) --no-print-directory $(jobs) CC=clang SAN=fuzzer-no-link,address,undefined \
			B=build/fuzz CFLAGS="-O2 -fno-sanitize-coverage=trace-cmp -DSMALL_TABLES" fuzz-programs; \
	else echo "no fuzzing: clang or its runtime is missing"; fi
# A recursive make works on all cores unless the caller chose a number.
jobs = $(if $(findstring jobserver,$(MAKEFLAGS))$(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

.PHONY: unit-programs store-test-programs thread-programs mount-programs outer-programs bench-programs \
	demo-programs claims-programs compare-programs fuzz-programs
unit-programs: $(call programs,$(unit_src))
store-test-programs: $(call programs,$(filter tests/unit/test_store_% tests/torture/%,$(unit_src) \
	$(outer_src)))
thread-programs: $(call programs,$(filter %_concurrent.c,$(unit_src)))
mount-programs: $(call programs,$(filter tests/mount/%,$(outer_src)))
outer-programs: $(call programs,$(outer_src)) $(B)/tests/crash/faultfs
bench-programs: $(call programs,$(bench_src)) $(addprefix $(B)/tests/bench/,nullfs fs_ops write_files \
	write_vectors)
claims-programs: $(B)/tests/bench/claims
compare-programs: $(call programs,tests/bench/compare.c tests/bench/report.c tests/bench/large.c)
demo-programs: $(B)/tests/demo/demo
fuzz-programs: $(call programs,$(fuzz_src))

$(program): $(call objects,$(fs_src)) $(libann) $(libstore)
	$(link) $(fuse_libs) $(libs) $(unwinder)

$(libstore): $(call objects,$(store_src))
	$(archive)
$(libann): $(call objects,$(ann_src))
	$(archive)
$(libfs): $(filter-out $(B)/fs/main.o,$(call objects,$(fs_src)))
	$(archive)
$(libsupport): $(filter-out %/posix_faults.o,$(call objects,$(support_src)))
	$(archive)

# A unit test links its own layer and those below, nothing above.
$(filter $(B)/tests/unit/test_store_%,$(call programs,$(unit_src))): \
%: %.o $(libsupport) $(libstore)
	$(link) $(cmocka_libs) $(libs)
# These put their own calls between the back end and the kernel.
$(filter $(B)/tests/unit/test_store_io_posix%,$(call programs,$(unit_src))): \
	$(B)/tests/support/posix_faults.o
$(filter $(B)/tests/unit/test_ann_%,$(call programs,$(unit_src))): \
%: %.o $(libsupport) $(libann) $(libstore)
	$(link) $(cmocka_libs) $(libs)
$(filter $(B)/tests/unit/test_fs_%,$(call programs,$(unit_src))): \
%: %.o $(libsupport) $(libfs) $(libann) $(libstore)
	$(link) $(cmocka_libs) $(fuse_libs) $(libs)

$(call programs,$(outer_src) $(bench_src)): %: %.o $(libsupport) $(libann) $(libstore)
	$(link) $(cmocka_libs) $(libs)

# None needs libfuse: those of fs/ use only what is text.
$(call programs,$(fuzz_src)): all_ldflags += -fsanitize=fuzzer \
	-Wl,--wrap=mem_alloc_aligned,--wrap=mem_free,--wrap=mem_reserve,--wrap=mem_discard,--wrap=mem_unreserve
$(B)/tests/fuzz/fuzz_ann_graph: all_ldflags += -Wl,--wrap=graph_recommend,--wrap=codec_compress
$(filter-out $(B)/tests/fuzz/fuzz_fs_%,$(call programs,$(fuzz_src))): \
%: %.o $(call objects,$(fuzz_support)) $(libsupport) $(libann) $(libstore)
	$(link) $(libs)
$(filter $(B)/tests/fuzz/fuzz_fs_%,$(call programs,$(fuzz_src))): \
%: %.o $(B)/tests/fuzz/fuzz.o $(B)/tests/fuzz/blocks.o $(libfs) $(libann) $(libstore)
	$(link) $(libs)

$(B)/tests/recall/fashion: $(call objects,$(addprefix tests/demo/,idx.c truth.c answer.c files.c \
	progress.c))
$(B)/tests/bench/bench_durability: $(call objects,$(addprefix tests/bench/,durability.c \
	group_commit.c))
$(B)/tests/bench/nullfs $(B)/tests/crash/faultfs: %: %.o $(libstore)
	$(link) $(fuse_libs)
$(B)/tests/bench/write_files: $(B)/tests/bench/write_files.o $(B)/tests/demo/idx.o $(libstore)
	$(link) $(libs)
$(B)/tests/bench/fs_ops: $(call objects,$(addprefix tests/bench/,fs_ops.c synth.c)) $(libann) \
		$(libstore)
	$(link) $(libs)
$(B)/tests/bench/write_vectors: $(call objects,$(addprefix tests/bench/,write_vectors.c \
	durability.c)) $(libstore)
	$(link) $(libs)
$(B)/tests/demo/demo: $(call objects,$(demo_src)) $(libstore)
	$(link) $(libs)

$(B)/tests/bench/claims: $(call objects,$(claims_src) tests/demo/idx.c tests/demo/progress.c) \
		$(libann) $(libstore)
	$(link) $(libs)
$(B)/tests/bench/report: $(call objects,$(report_src)) $(libstore)
	$(link) $(libs)
$(B)/tests/bench/large: $(call objects,$(addprefix tests/bench/,large.c machine.c peer_vecfs.c synth.c) \
		tests/demo/progress.c fs/memory.c) $(libann) $(libstore)
	$(link) $(libs)
# What the other indexes are measured with is what they are compiled for: this processor.
cxx_flags = -std=c++17 -I. -O3 -march=native -g -Wall -Wno-array-bounds -pthread
$(B)/tests/bench/compare: $(call objects,$(compare_src) tests/demo/idx.c tests/demo/progress.c \
		fs/memory.c) $(compare_cxx:%.cpp=$(B)/%.o) $(libann) $(libstore)
	@echo "  LD    $@"; $(CXX) $(cxx_flags) -fopenmp -o $@ $(filter %.o,$^) $(filter %.a,$^) \
		-lfaiss -llapack -lblas $(libs)
$(compare_cxx:%.cpp=$(B)/%.o): $(B)/%.o: %.cpp $(B)/flags
	@echo "  CXX   $<"; mkdir -p $(@D)
	$(quiet)$(CXX) $(cxx_flags) -MMD -MP -c -o $@ $<

link = @echo "  LD    $@"; mkdir -p $(@D); \
	$(CC) $(all_cflags) $(all_ldflags) -o $@ $(filter %.o,$^) $(filter %.a,$^)
archive = @echo "  AR    $@"; mkdir -p $(@D); rm -f $@; $(AR) rcs $@ $^

$(B)/%.o: %.c $(B)/flags
	@echo "  CC    $<"; mkdir -p $(@D)
	$(quiet)$(CC) $(all_cflags) $(package) $(speed) $(isa) -MMD -MP -c -o $@ $<

# What a file needs beyond that: headers of a package, speed, instructions of its processor.
$(B)/store/%.o $(B)/tests/bench/claims%.o: package = $(store_cflags)
$(B)/fs/%.o $(B)/tests/unit/test_fs_%.o $(B)/tests/fuzz/fuzz_fs_%.o $(B)/tests/bench/nullfs.o \
$(B)/tests/crash/faultfs.o: package = $(fuse_cflags)
$(B)/store/codec.o $(B)/ann/dist.o $(B)/ann/dist_%.o $(B)/ann/quant.o $(B)/ann/rotate.o $(B)/ann/scan.o $(B)/ann/validate.o $(B)/tests/demo/truth.o \
$(B)/tests/bench/synth.o $(B)/tests/bench/nearest.o: speed = $(if $(SAN),,-O3)
$(B)/ann/%_avx2.o: isa = -mavx2 -mfma
$(B)/ann/%_avx512.o: isa = -mavx2 -mfma -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512vnni

# Everything is rebuilt when the compiler or its flags change.
flags := $(CC) $(machine) $(all_cflags) $(all_ldflags)
$(B)/flags: FORCE
	@mkdir -p $(@D); echo '$(flags)' | cmp -s - $@ || echo '$(flags)' > $@
.PHONY: FORCE
FORCE:

# How to compile and link by hand, for scripts/mutants.
.PHONY: commands
commands:
	@echo 'compile: $(CC) $(all_cflags) $(store_cflags) $(fuse_cflags)'
	@echo 'link: $(CC) $(all_cflags) $(all_ldflags)'
	@echo 'libraries: $(cmocka_libs) $(fuse_libs) $(libs)'

.SECONDARY:
.DELETE_ON_ERROR:
-include $(compare_cxx:%.cpp=$(B)/%.d) $(patsubst %.o,%.d,$(call objects,$(store_src) $(ann_src) $(fs_src) $(support_src) \
	$(unit_src) $(outer_src) $(bench_src) $(claims_src) $(compare_src) $(report_src) $(demo_src) $(fuzz_src) $(fuzz_support) \
	$(addprefix tests/bench/,nullfs.c fs_ops.c write_files.c write_vectors.c durability.c \
	group_commit.c large.c)))
