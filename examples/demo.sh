#!/bin/sh
# `make demo`: five personas from the example interviews, offline and without a key, in a ledger of
# their own; then that ledger's account of the batch.
set -eu
bin=$1
demo=$2
mkdir -p "$demo"
PERSONA_LEDGER=$(cd "$demo" && pwd)/ledger
PERSONA_GENERATE_OUTPUT=$demo/outputs
export PERSONA_LEDGER PERSONA_GENERATE_OUTPUT
trap '"$bin/personad" stop >/dev/null' EXIT

say() { printf '\n$ %s\n' "$*"; }

say persona generate --from examples/interviews -n 5 --experiment demo
"$bin/persona" generate --from examples/interviews -n 5 --experiment demo

say persona batch show last
"$bin/persona" batch show last

say persona events tail -n 12
"$bin/persona" events tail -n 12

printf '\nThe personas are in %s; open the newest index.md.\n' "$demo/outputs"
