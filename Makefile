# Every command of the study. `make` alone explains them.
# Written for GNU make 3.81 on: that is what macOS still has.
SHELL := bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Settings, as in `make reproduce PYTHON=/opt/python3.11/bin/python3 PARAMS=`
# The Python that makes the environment: the first of these that is 3.11 or newer and has its venv module.
PYTHON ?= python3.11 python3 python3.12 python3.13 python
# The notebooks' parameters; empty for the defaults written in the notebooks.
PARAMS ?= notebooks/params/quick
# More processes than this only wait for each other's memory.
TEST_PROCESSES ?= 4

# Where training runs: cpu, cuda, mps, or auto for the best there is.
DEVICE ?= auto

# DATA and WEIGHTS go to the notebooks that measure; with them `reproduce` runs every notebook, unchanged ones too.
MEASURING := 10_evaluate 12_worst_frames
GIVEN := $(foreach name,$(MEASURING),$(if $(DATA),-p $(name).data "$$(realpath "$(DATA)")") \
  $(if $(WEIGHTS),-p $(name).weights "$$(realpath "$(WEIGHTS)")"))

VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/installed
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
# Besides outputs, what JupyterLab writes into a notebook of the Python that ran it.
STRIP := $(RUN) -m nbstripout --keep-id --extra-keys "$(addprefix metadata.language_info.,codemirror_mode \
  file_extension mimetype nbconvert_exporter pygments_lexer version)"
CLOCK := $(shell date +%s)

help: ## explain these commands
	@echo "EQVI reproducibility study: make COMMAND, one of"
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "The environment is made in $(VENV)/ on first use; remove that folder to start afresh."

reproduce: $(INSTALLED) ## run the whole study; on the real data with DATA=/path/to/REDS_VTSR WEIGHTS=/path/to/checkpoints
	@$(RUN) -m eqvi study $(if $(PARAMS),--params $(PARAMS)) $(if $(DATA)$(WEIGHTS),$(GIVEN) --jobs 1 --threads 0,--changed)

test: $(INSTALLED) ## run every test
	@$(RUN) -m pytest -n auto --dist worksteal --maxprocesses $(TEST_PROCESSES)

faults: $(INSTALLED) ## disturb every command at random moments, spoil the input of every reader: a quarter of an hour; counts into results/
	@PYTHONPATH=.:tests $(RUN) -m faults --out results $(FAULTS)
	@PYTHONPATH=.:tests $(RUN) -m faults.fuzz --out results

repeat: $(INSTALLED) ## compare every command with itself, byte by byte, and frames across threads, batches, processors: ten minutes; rows into results/
	@PYTHONPATH=.:tests $(RUN) -m faults.repeat --out results

soak: $(INSTALLED) ## long runs of small things, whose memory, files and processes are counted: a quarter of an hour; rows into results/
	@PYTHONPATH=.:tests $(RUN) -m faults.soak --out results $(SOAK)

check: $(INSTALLED) ## check style, types, stripped notebooks and generated text
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	$(RUN) -m mypy
	$(STRIP) --verify $(NOTEBOOKS) || { echo '$(STRIP) notebooks/*.ipynb  # would mend it' >&2; exit 1; }
	$(RUN) -m eqvi readme --check

lab: $(INSTALLED) ## open JupyterLab on the notebooks, on this machine only; what it saves goes to build/lab/
	@$(RUN) -m eqvi lab --options="$(LAB_OPTIONS)"

lock: ## compile requirements.lock anew from pyproject.toml
	@rm -rf build/lock; $(make_environment) build/lock
	build/lock/bin/python -m pip install -qq torch==2.13.0 -e '.[dev]'
	@{ sed -n '/^#/p' requirements.lock; \
	  build/lock/bin/python -m pip freeze --all --exclude-editable --exclude pip \
	  | sed -E 's/\+[a-z0-9.]+$$//' | grep -vE '^(nvidia-|cuda-|triton)'; } > build/requirements.lock
	@mv build/requirements.lock requirements.lock; rm -rf build/lock
	@echo "requirements.lock: $$(grep -c == requirements.lock) packages"

data: $(INSTALLED) ## fetch REDS_VTSR: make data DATA=/path ARCHIVES="val_15fps val_30fps" FROM=file, folder or mirror
	@$(RUN) -m eqvi download data $(ARCHIVES) $(if $(DATA),--to "$(DATA)") $(if $(FROM),--from "$(FROM)")

weights: $(INSTALLED) ## fetch the published checkpoints: make weights WEIGHTS=/path FROM=file, folder or mirror
	@$(RUN) -m eqvi download weights $(if $(WEIGHTS),--to "$(WEIGHTS)") $(if $(FROM),--from "$(FROM)")

pictures: $(INSTALLED) ## gather photographs and cut-outs to train on, 480 MB of Debian packages: make pictures FROM=folder or mirror
	@$(RUN) -m eqvi pictures $(if $(FROM),--from "$(FROM)")

bench: $(INSTALLED) ## speed and memory beside the published schedule, into results/; more with BENCH="--preset eqvi"
	@$(RUN) -m eqvi bench --out results $(BENCH)

gpu: ## all that a GPU has to answer, in one call of nine minutes; into results/gpu, elsewhere with GPU="--out FOLDER"
	@$(if $(wildcard $(RUN)),$(RUN),python3) -m eqvi gpu --minutes 9 $(GPU)

# Weights of our own. Interrupted training resumes; finished weights of the ablation are copied to results/weights. Those
# of other names there are not of these recipes: results/weights/README.md says how each was made.
TRAINED := build/train
KEPT := results/weights
train = $(RUN) -m eqvi train --recipe notebooks/params/$(1).yaml --out $(@D) --device $(DEVICE)
$(KEPT)/%.safetensors: $(TRAINED)/%/weights.safetensors
	$(RUN) -m eqvi ship $(<D) $*

build/pictures: | $(INSTALLED)
	$(RUN) -m eqvi pictures --to $@

# The ablation's models: a row, a seed, a folder. Stages wait for the stage before.
FAMILY := $(TRAINED)/family
ROWS ?= linear quadratic rqfp rcsn trajectories stages fusion scratch perceptual
SEEDS ?= 0 1 2
family: $(foreach row,$(ROWS),$(foreach seed,$(SEEDS),$(KEPT)/family/$(row)_$(seed).safetensors)) ## train the ablation's models, some minutes each, side by side with -j2; some with ROWS="rqfp rcsn" SEEDS=0
define family_row
$(FAMILY)/$(1)_%/weights.safetensors: notebooks/params/family_$(1).yaml $(if $(2),$(FAMILY)/$(2)_%/weights.safetensors) | $(INSTALLED) build/pictures
	$$(call train,family_$(1)) --seed $$* $(if $(2),--after $$(word 2,$$^))
endef
$(foreach row,linear quadratic rqfp rcsn trajectories stage1 scratch perceptual,$(eval $(call family_row,$(row))))
$(eval $(call family_row,stage2,stage1))
$(eval $(call family_row,stages,stage2))
$(eval $(call family_row,fusion,stages))
.PRECIOUS: $(TRAINED)/%/weights.safetensors $(foreach row,$(ROWS) stage1 stage2,$(FAMILY)/$(row)_%/weights.safetensors)

narrow: $(TRAINED)/eqvi-quarter-dis/weights.safetensors ## train EQVI at a quarter of the widths, an hour on one core
$(TRAINED)/eqvi-quarter-dis/weights.safetensors: notebooks/params/train_narrow.yaml | $(INSTALLED) build/pictures
	$(call train,train_narrow)

flow: $(TRAINED)/flow-quarter/weights.safetensors ## train a flow network of our own, an hour on one core
$(TRAINED)/flow-quarter/weights.safetensors: notebooks/params/train_narrow_flow.yaml | $(INSTALLED) build/pictures
	$(call train,train_narrow_flow)

finishing: $(TRAINED)/finishing/weights.safetensors ## train weights such as footage gets by default, which are from a GPU, on two cores
$(TRAINED)/finishing/weights.safetensors: notebooks/params/train_finishing.yaml | $(INSTALLED) build/pictures
	$(call train,train_finishing)

site: reproduce ## make the whole study a folder of web pages that opens from disk, build/site/index.html
	@$(RUN) -m eqvi site

clean: ## remove what was built; figures, results and the environment stay
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help reproduce test faults repeat soak check lab lock data weights pictures bench gpu family narrow flow finishing site clean

# The environment. pip's own output is condensed to a line for every twentieth package.
$(INSTALLED): requirements.lock pyproject.toml
	@$(make_environment) $(VENV)
	@echo "[2/3] installing $$(grep -c == $<) pinned packages (2 GB on disk, a few minutes)"
	@set -o pipefail; $(RUN) -m pip install --disable-pip-version-check --progress-bar off -r $< 2>$(VENV)/pip.log | awk \
	  '/^(Collecting|Processing) /{if (++n % 20 == 0) print "      " n " fetched"; fflush()} /^Installing collected/{print "      unpacking"; fflush()}' \
	  || { grep -E "^ERROR" $(VENV)/pip.log >&2; echo "make: pip could not install requirements.lock; all it said is in $(VENV)/pip.log" >&2; exit 1; }
	@echo "[3/3] installing this package, editable"
	@$(RUN) -m pip install -qq --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@
	@echo "environment ready after $$(($$(date +%s) - $(CLOCK))) s"

make_environment = python=; for candidate in $(PYTHON); do \
	  if $$candidate -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; done; \
	if test -z "$$python"; then echo "make: no Python 3.11 or newer that has its venv module (tried: $(PYTHON)): install one (Debian: python3-venv) or name it, as in: make PYTHON=/path/to/python3.11" >&2; exit 1; fi; \
	echo "[1/3] making an environment with $$($$python --version)"; $$python -m venv
