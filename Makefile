# `make` alone lists what there is. Everything is set up in .venv; nothing outside of this folder is changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TESTS ?= tests
# How many of the tests' files run at once; JOBS=0: one after the other, as a debugger likes it.
JOBS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist loadfile
# What is tested once more in pure Python: all that goes through connections, outlets and mailboxes.
PURE_TESTS := tests/unit/hub tests/unit/server tests/attack tests/integration/test_channels.py \
	tests/integration/brokers/test_hubs.py \
	tests/integration/test_handlers.py tests/integration/test_callbacks.py $(wildcard tests/integration/test_asgi*.py) \
	tests/integration/test_unix_sockets.py tests/integration/test_timeouts.py tests/integration/test_transports.py \
	tests/integration/test_supervision.py tests/integration/test_refusals.py tests/integration/test_disconnecting.py $(wildcard tests/integration/test_tls*.py) \
	tests/integration/realtime/test_deltas.py tests/integration/realtime/test_many.py \
	tests/integration/realtime/test_slow.py tests/integration/realtime/test_unsteady_clients.py
FUZZ_SECONDS ?= 60
FAULTS ?= 20
# What the compiled parts are made of: when one of these changes they are built again.
NATIVE := setup.py $(wildcard src/hubbub/native/*.c src/hubbub/native/*.h src/hubbub/native/*.p[yx][xdi])

.DEFAULT_GOAL := help
.PHONY: help demo test check format conformance conformance-quick bench bench-quick bench-brokers bench-sessions chart picture faults faults-sessions fuzz model sanitize docs docs-serve package check-release wheels system clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

demo: $(VENV)/serve.stamp ## chat in the browser at http://127.0.0.1:4545
	@$(BIN)/hubbub demo

test: $(VENV)/dev.stamp ## all tests, then those of both twins in pure Python; what is missing is skipped and said
	@$(PYTEST) $(TESTS)
ifeq ($(TESTS),tests)
	@if $(BIN)/python -c 'import sys; from hubbub import native; sys.exit(not native.active())'; then \
		echo "once more in pure Python, what the compiled part has a twin for:"; \
		HUBBUB_NATIVE=0 $(PYTEST) $(PURE_TESTS); \
	else \
		echo "not once more in pure Python, for that was it: HUBBUB_NATIVE=0, or nothing could be compiled here"; \
	fi
endif

check: $(VENV)/dev.stamp ## ruff, mypy --strict (as on Windows and macOS, too), pyright, and what they find in programs
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@for system in win32 darwin; do \
		$(BIN)/mypy --platform $$system --no-warn-unreachable --cache-dir .mypy_cache/$$system || exit 1; \
	done
	@$(BIN)/pyright
	@PATH=$(abspath $(BIN)):$$PATH $(BIN)/pyright --ignoreexternal --verifytypes hubbub > $(VENV)/types.log || (tail -n 40 $(VENV)/types.log; exit 1)
	@tail -n 3 $(VENV)/types.log
	@$(BIN)/python tools/mistakes.py

format: $(VENV)/dev.stamp ## bring the code into the house's form
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

conformance: $(VENV)/dev.stamp ## Autobahn's 517 cases, plainly and over TLS: some minutes
	@$(BIN)/python tests/conformance/autobahn.py

conformance-quick: $(VENV)/dev.stamp ## its sections 1 to 7 and 10 and some of 12 and 13, too: half a minute
	@$(BIN)/python tests/conformance/autobahn.py --quick

bench: $(VENV)/dev.stamp ## every workload and every peer: more than an hour, needs a C compiler (see benchmarks/)
	@$(BIN)/python benchmarks/run.py

bench-quick: $(VENV)/dev.stamp ## hubbub, the floor and some peers in under three minutes
	@$(BIN)/python benchmarks/run.py --quick

bench-brokers: $(VENV)/dev.stamp ## four processes on every broker, and what others use for that: a quarter of an hour
	@$(BIN)/python benchmarks/brokers.py

bench-sessions: $(VENV)/dev.stamp ## what programs publish to sessions, and sessions that come back: three minutes
	@$(BIN)/python benchmarks/sessions.py

chart: $(VENV)/dev.stamp ## draw the README's charts from the newest results, and keep those
	@$(BIN)/python benchmarks/run.py --draw

picture: $(VENV)/dev.stamp ## take the picture of the demo that the README shows
	@$(BIN)/python tools/picture.py

fuzz: $(VENV)/dev.stamp ## both codecs against each other for FUZZ_SECONDS (60), then the property tests, a hundred times
	@$(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python -m pip install -q --only-binary :all: atheris \
		|| echo "no Atheris for this Python: the property tests are all the fuzzing there is"
	@! $(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python tests/fuzz/twins.py $(FUZZ_SECONDS)
	@! $(BIN)/python -c 'import atheris' 2>/dev/null || $(BIN)/python tests/fuzz/commands.py $(FUZZ_SECONDS)
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest tests/property --timeout 1800

faults: $(VENV)/dev.stamp ## injure brokers, links and workers under load, FAULTS (20) times each; BROKERS= and FAULT= choose
	@$(BIN)/python tests/faults/run.py --times $(FAULTS) $(if $(BROKERS),--brokers $(BROKERS)) \
		$(if $(FAULT),--faults $(FAULT)) $(if $(PAGE),--page $(PAGE))

faults-sessions: $(VENV)/dev.stamp ## the same with sessions, and with their clients' connections, FAULTS (20) times each
	@$(BIN)/python tests/faults/sessions/run.py --times $(FAULTS) $(if $(BROKERS),--brokers $(BROKERS)) \
		$(if $(FAULT),--faults $(FAULT)) $(if $(PAGE),--page $(PAGE))

model: $(VENV)/dev.stamp ## every interleaving of the mailbox's protocol, with more threads than the tests have: half a minute
	@$(BIN)/python tests/model/mailbox.py

sanitize: $(VENV)/dev.stamp ## the compiled parts under AddressSanitizer and UBSan; TARGETS= chooses from tools/sanitize.sh
	@tools/sanitize.sh $(BIN)/python $(TARGETS)

docs: $(VENV)/dev.stamp ## build the site into site/
	@$(BIN)/zensical build --clean

docs-serve: $(VENV)/dev.stamp ## read the site at http://127.0.0.1:8000 while writing it
	@$(BIN)/zensical serve

package: $(VENV)/dev.stamp ## build wheel and sdist into dist/
	@rm -rf dist build
	@$(BIN)/python -m build -q
	@ls dist

check-release: package ## the same, and whether that, the workflows and the changelog are as a release needs them
	@$(BIN)/python tools/release.py files
	@$(BIN)/python tools/release.py dist dist
	@$(BIN)/twine check --strict dist/*

wheels: $(VENV)/dev.stamp ## this machine's wheels of a release, each tested, into wheelhouse/ (needs Docker or Podman)
	@$(BIN)/python -m cibuildwheel --archs native --output-dir wheelhouse

system: ## install what some tests drive, from Debian: Chromium, Node (needs root)
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core nodejs npm gcc libc6-dev python3-dev

clean: ## forget .venv and everything that was built
	rm -rf $(VENV) build dist wheelhouse site reports .conformance .cache benchmarks/native/build benchmarks/.peers src/*.egg-info \
		src/hubbub/native/*.so

$(VENV)/serve.stamp: pyproject.toml tools/environment.sh $(NATIVE)
	@tools/environment.sh $(PYTHON) $(VENV) '.[serve]'
	@touch $@

$(VENV)/dev.stamp: pyproject.toml requirements-dev.txt tools/environment.sh $(NATIVE)
	@HUBBUB_WERROR=1 tools/environment.sh $(PYTHON) $(VENV) '.[all]' -r requirements-dev.txt
	@touch $@ $(VENV)/serve.stamp
