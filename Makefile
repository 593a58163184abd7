# Everything lives in .venv; nothing is installed outside it unless INSTALL_SYSTEM=1 says so.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A copy of config.yaml, which git then doesn't see changing.
CONFIG ?= demo.yaml
INSTALL_SYSTEM ?= 0
# The package index to take torch and torchvision from, as PyTorch's of CPU builds.
TORCH_INDEX ?=
export TORCH_INDEX
# So many files of tests side by side: most wait for a broker or a camera, so more than cores.
WORKERS ?= 4
# The programs the tests run against, as Debian and Ubuntu call them.
SYSTEM_PACKAGES := mosquitto mosquitto-clients python3-gi gir1.2-gst-rtsp-server-1.0 \
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
  gstreamer1.0-plugins-ugly glib-networking openssl systemd chromium

.DEFAULT_GOAL := help
.PHONY: help demo test check format schema man install-service system-packages clean

help: ## Show this help
	@echo "streamwatch: alerts over MQTT for what you described in words"
	@echo
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'
	@echo
	@echo "  make test INSTALL_SYSTEM=1 may install Debian packages the tests run against."
	@echo "  make demo TORCH_INDEX=URL takes torch from there: see docs/service.md, Without a GPU."

demo: $(VENV)/.run-ready $(filter demo.yaml,$(CONFIG)) ## Watch the bundled clip and see its alerts arrive (sets everything up)
	@$(BIN)/streamwatch demo -c $(CONFIG)

demo.yaml:
	@cp config.yaml $@

test: $(VENV)/.test-ready system-packages ## Run all tests (sets everything up)
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(VENV)/.test-ready ## Format, lint and types, as CI wants them
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: $(VENV)/.test-ready ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schema: $(VENV)/.run-ready ## Write config.schema.json anew
	@$(BIN)/streamwatch check --schema > config.schema.json.new
	@mv config.schema.json.new config.schema.json

man: $(VENV)/.run-ready ## Write docs/streamwatch.1 anew
	@$(BIN)/python scripts/man_page.py > docs/streamwatch.1.new
	@mv docs/streamwatch.1.new docs/streamwatch.1

install-service: $(VENV)/.run-ready ## Install the systemd units, their user and folders, the man page (as root)
	@install -d $(DESTDIR)/etc/systemd/system $(DESTDIR)/etc/sysusers.d $(DESTDIR)/etc/tmpfiles.d
	@install -D -m 644 docs/streamwatch.1 $(DESTDIR)/usr/local/share/man/man1/streamwatch.1
	@for unit in streamwatch.service streamwatch@.service; do \
	  sed 's|/opt/streamwatch|$(CURDIR)|g' systemd/$$unit > $(DESTDIR)/etc/systemd/system/$$unit; \
	done
	@install -m 644 systemd/streamwatch.sysusers.conf $(DESTDIR)/etc/sysusers.d/streamwatch.conf
	@install -m 644 systemd/streamwatch.tmpfiles.conf $(DESTDIR)/etc/tmpfiles.d/streamwatch.conf
ifndef DESTDIR
	@systemd-sysusers streamwatch.conf
	@systemd-tmpfiles --create streamwatch.conf
	@systemctl daemon-reload
endif

clean: ## Remove the virtual environment and what the tools left
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis snapshots

system-packages:
	@INSTALL_SYSTEM=$(INSTALL_SYSTEM) scripts/system-packages $(SYSTEM_PACKAGES)

$(VENV)/.run-ready: pyproject.toml constraints.txt scripts/set-up scripts/progress.py
	@scripts/set-up $(PYTHON) $(VENV) run
	@touch $@

$(VENV)/.test-ready: pyproject.toml constraints.txt scripts/set-up scripts/progress.py
	@scripts/set-up $(PYTHON) $(VENV) test
	@touch $@ $(VENV)/.run-ready
