# make demo   both engines on samples (or REUCID on IMAGE=my.tif): results and pictures in demo/, napari on a screen
# make demo-live   the widget 'Live' on a simulated camera, without any hardware
# make test   documentation, style, types and every test
# They start from nothing: they make .venv/ and install what is missing; a second run installs nothing.
# make docs, make lint, make clean; make figures, make weights: what the documentation and the classifier are made by

PYTHON ?= python3
IMAGE ?=
BIN := .venv/bin
# -qq: no word of a package index that lacks one package
PIP := $(BIN)/python -m pip install -qq --constraint constraints.txt

# What Qt, OpenGL and a virtual screen need on a Debian without a desktop
QT_LIBRARIES := libgl1 libegl1 libgl1-mesa-dri libglib2.0-0 libfontconfig1 libdbus-1-3 \
    libxkbcommon-x11-0 libx11-xcb1 libxcb-cursor0 libxcb-icccm4 libxcb-image0 libxcb-keysyms1 \
    libxcb-randr0 libxcb-render-util0 libxcb-shape0 libxcb-xkb1
VIRTUAL_SCREEN := xvfb xauth

.PHONY: demo demo-live test tests docs lint figures weights clean
.NOTPARALLEL:

demo: .venv/installed-demo
	@test -z "$$DISPLAY$$WAYLAND_DISPLAY" || sh scripts/apt_missing.sh $(QT_LIBRARIES) || true
	$(BIN)/python examples/demo.py $(if $(IMAGE),"$(IMAGE)")

demo-live: .venv/installed-demo
	@test -z "$$DISPLAY$$WAYLAND_DISPLAY" || sh scripts/apt_missing.sh $(QT_LIBRARIES) || true
	$(BIN)/python examples/demo_live.py

test: docs lint tests

docs: .venv/installed-test
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build/html

lint: .venv/installed-test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate napari.yaml
	rm -rf dist
	$(BIN)/python -m build --no-isolation >/dev/null
	$(BIN)/twine check --strict dist/*

# Each worker has one thread: two workers with two threads each wait for one another
tests: .venv/installed-test
	@sh scripts/apt_missing.sh $(QT_LIBRARIES) $(VIRTUAL_SCREEN)
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
	    $$(command -v xvfb-run >/dev/null && echo xvfb-run --auto-servernum) \
	    $(BIN)/python -m pytest --numprocesses=auto --dist worksteal

figures: .venv/installed-test
	$(BIN)/python docs/make_figures.py
	$(BIN)/python docs/make_animation.py

# The classifier's weights again, from nothing: about half an hour on two cores
weights: .venv/installed-test
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m training.train
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m training.replay

clean:
	rm -rf .venv demo docs/_build build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || sh scripts/apt_missing.sh python3-venv
	$(PYTHON) -m venv .venv

.venv/installed-demo: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into .venv (once, about a minute)"
	@$(PIP) --editable '.[all]'
	@touch $@

# pip comes first: older ones do not know dependency groups.  napari-rosettasciio asks for PyQt5, which
# would take the place of napari's PyQt6.
.venv/installed-test: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing into .venv what tests and documentation need (once, some minutes)"
	@$(PIP) --upgrade pip
	@$(PIP) --editable '.[all]' --group test
	@$(PIP) --no-deps napari-rosettasciio
	@touch $@
