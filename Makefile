# The commands of the project; `make help` lists them.
# `make run` starts the portal, `make test` runs the tests. Both need only Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TYPESCRIPT := clients/typescript
# `make run PORT=8001`, or PORT in the environment.
PORT ?= 8000
export PORT
# Every process would compile every module again, and the processes of the tests rewrite all assertions.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: run
run: $(VENV)/.runtime  ## run the portal with demo data; PORT=8001 for another port, Ctrl-C stops it
	@exec $(BIN)/python -m config.supervisor

.PHONY: test
test: $(VENV)/.development browser pooler typescript  ## run all tests, browser tests included; ARGS="-k word" for a part, DATE=2028-02-29 for a date, N=0 in one process
	@$(BIN)/python -m pytest --create-db -n $(or $(N),3) --dist loadfile --no-loadscope-reorder \
		--durations 40 --durations-min 1 $(ARGS)

.PHONY: browser
browser: $(VENV)/.development
	@$(BIN)/python -m tests.integration.journeys.chromium

.PHONY: pooler
pooler: $(VENV)/.development
	@$(BIN)/python -m tests.integration.pooler.pgbouncer

.PHONY: clients
clients: $(VENV)/.development $(TYPESCRIPT)/node_modules/.package-lock.json  ## build the Python and TypeScript clients into clients/dist
	@$(BIN)/python clients/build.py clients/dist

# A test needs the compiler only for types and the package; without a registry of npm, those tests are skipped.
.PHONY: typescript
typescript: $(VENV)/.development
	@$(MAKE) --no-print-directory -s $(TYPESCRIPT)/node_modules/.package-lock.json || \
		echo "The TypeScript compiler could not be installed; the tests that need it are skipped." >&2

$(TYPESCRIPT)/node_modules/.package-lock.json: $(TYPESCRIPT)/package-lock.json tests/clients/generated/package-lock.json | $(VENV)/.development
	@echo "Installing the TypeScript compiler (once) …"
	@$(BIN)/python clients/build.py --install
	@touch $@

.PHONY: test-runtime
test-runtime: $(VENV)/.development  ## run a part of the tests as the runtime role of the database; ARGS for another part
	@DATABASE_ROLE=runtime $(BIN)/python -m pytest --create-db $(or $(ARGS),tests/billing/ledger/test_charges.py \
		tests/billing/ledger/test_holds.py tests/billing/ledger/test_corrections.py tests/billing/ledger/test_limits.py \
		tests/billing/ledger/test_settling.py tests/usage/api/test_charges.py tests/core/test_database_roles.py)

ON_NODES := charges holds grants corrections settling settle_due alerts claw_backs
OTHERS_ON_NODES := notifications/test_low_credit_alerts notifications/test_monthly_budgets notifications/test_expiry_warnings \
	purchases/test_auto_top_up staff/test_customer test_adjustments test_provisioning
API_ON_NODES := charges holds hold_trees batch balance statement lists aggregates
# CITUS_URL=postgres://owner@host/name: an empty database of the coordinator, with the extension and its workers.
.PHONY: test-citus
test-citus: $(VENV)/.development  ## run the tests of the ledger, charging and the API on the nodes of Citus whose coordinator CITUS_URL names
	@test -n "$(CITUS_URL)" || { echo "Start a coordinator and two workers of Citus and set CITUS_URL=postgres://… to an empty database on them (docs/testing.md)." >&2; exit 1; }
	@CITUS_URL="$(CITUS_URL)" $(BIN)/python -m pytest --reuse-db -n 0 -m "not one_database" \
		$(or $(ARGS),tests/billing/ledger/distribution $(ON_NODES:%=tests/billing/ledger/test_%.py) \
		$(OTHERS_ON_NODES:%=tests/billing/%.py) tests/usage/history/test_pages.py tests/usage/test_sums.py tests/usage/views/test_live_updates.py \
		$(API_ON_NODES:%=tests/usage/api/test_%.py))

# The checks need no database; an unreachable address keeps the embedded one from being started.
NO_DATABASE := DATABASE_URL=postgres://none@127.0.0.1:1/none
AS_PRODUCTION := REFILL_ENV=production DATABASE_URL=postgres://none@127.0.0.1:1/none \
	LEDGER_SIGNING_KEY=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= SECRET_KEY=only-for-make-check-4Zq8vT2mXw7Rk1Ns9Yd3Hb6Jf5Lp0Gc-aUeWiO \
	ALLOWED_HOSTS=credits.example.org SITE_URL=https://credits.example.org \
	EMAIL_URL=smtp+tls://none:none@127.0.0.1:1 STRIPE_SECRET_KEY=sk_test_make_check \
	STRIPE_WEBHOOK_SECRETS=whsec_make_check_of_the_settings

.PHONY: check
check: $(VENV)/.development  ## run linters, type checks, import contracts, template, migration and translation checks, production checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(NO_DATABASE) $(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/djlint --lint --quiet templates
	$(NO_DATABASE) $(BIN)/python -W "ignore:Got an error checking" manage.py makemigrations --check --dry-run
	$(BIN)/python -m config.translations --check
	$(AS_PRODUCTION) $(BIN)/python manage.py check --deploy --fail-level WARNING

.PHONY: messages
messages: $(VENV)/.development  ## update the Chinese messages after the texts of the code changed, and compile them
	@$(BIN)/python -m config.translations

.PHONY: format
format: $(VENV)/.development  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: screenshots
screenshots: $(VENV)/.development browser  ## make the pictures of the README anew, from the demo of each catalogue (10 minutes)
	$(BIN)/python -m docs.screenshots

.PHONY: bench
bench: $(VENV)/.development  ## measure charges relative to the speed of PostgreSQL
	$(BIN)/python -m bench

.PHONY: mutate
mutate: $(VENV)/.development  ## change the money code at random and run its tests; BUDGET=30m SEED=1 ARGS="billing/refunds"
	@$(BIN)/python -m tests.mutants --budget $(or $(BUDGET),30m) $(if $(SEED),--seed $(SEED)) $(ARGS)

.PHONY: model
model: $(VENV)/.development  ## run the ledger against its reference model; EXAMPLES=5000 histories, SEED=… to repeat
	@EXAMPLES=$(or $(EXAMPLES),1000) SEED=$(SEED) $(BIN)/python -m pytest --create-db -p no:cacheprovider \
		tests/billing/ledger/test_against_model.py tests/billing/ledger/test_batch.py $(ARGS)

.PHONY: histories
histories: $(VENV)/.development  ## run 2,000 random histories of payments; N=500, SEED=… to repeat, HISTORY=… for one
	@if [ -n "$(HISTORY)" ]; then HISTORY="$(HISTORY)" $(BIN)/python -m pytest --create-db -q -s -p no:cacheprovider \
		tests/billing/histories/test_whole_account.py; \
	else N=$(N) SEED=$(SEED) $(BIN)/python -m tests.billing.histories; fi

.PHONY: lock
lock: $(VENV)/.development  ## pin requirements.in and requirements-dev.in with hashes
	@$(BIN)/python -m pip install -qq --disable-pip-version-check uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header requirements-dev.in -o requirements-dev.txt

.PHONY: install
install: $(VENV)/.runtime  ## install the virtual environment

.PHONY: stop
stop: $(VENV)/.runtime  ## stop an embedded PostgreSQL that `manage.py` started
	@$(BIN)/python -m config.supervisor.embedded_postgres stop "$${REFILL_VAR:-var}/postgres"

.PHONY: clean
clean: stop  ## remove the virtual environment and the caches; the data in var/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Refill needs Python 3.11 or newer; $(PYTHON) is older. Choose another one: make run PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot create a virtual environment; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(VENV)/.runtime: requirements.txt | $(BIN)/python
	@echo "Installing Refill (once) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.development: requirements-dev.txt | $(BIN)/python
	@echo "Installing the packages for tests and checks (once) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime
