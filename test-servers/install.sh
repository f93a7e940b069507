#!/usr/bin/env bash
# Installs the servers and clients that tests run against, unless that is done for these pins: all, or those that are named.
set -euo pipefail
cd "$(dirname "$0")"
export PATH="$PATH:/usr/local/go/bin"

# Carries out a command in a folder, and notes the state of the files that it was for in <folder>/<place>/.installed-pins.
once() {
  local folder="$1" place="$2" pins="$3"
  shift 3
  local state
  # shellcheck disable=SC2086
  state="$(cd "$folder" && cat $pins | sha256sum)"
  if [ -f "$folder/$place/.installed-pins" ] && [ "$(cat "$folder/$place/.installed-pins")" = "$state" ]; then return; fi
  echo "Installing what test-servers/$folder names (once) ..." >&2
  (cd "$folder" && mkdir -p "$place" && "$@")
  printf '%s\n' "$state" >"$folder/$place/.installed-pins"
}

azurite() { once azurite node_modules package-lock.json npm ci --ignore-scripts --no-audit --no-fund --loglevel=error; }
kafka() { once kafka jars pom.xml mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=jars; }
californium() { once coap jars pom.xml mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=jars; }
venv() { python3 -m venv .venv && .venv/bin/pip install -q --no-deps -r requirements.txt; }
aiocoap() { once coap .venv requirements.txt venv; }
archive() { once archive .venv requirements.txt venv; }
# Some distributions keep Go from loading the version that go.mod names.
s3() {
  once s3 build 'go.mod go.sum' env GOTOOLCHAIN=auto go build -trimpath -o build/versitygw github.com/versity/versitygw/cmd/versitygw
}

pion() { once coap/pion build 'go.mod go.sum main.go' env GOTOOLCHAIN=auto go build -trimpath -o build/device .; }

if [ $# -eq 0 ]; then set -- azurite kafka californium aiocoap archive s3 pion; fi
running=()
for name in "$@"; do
  "$name" &
  running+=($!)
done
for each in "${running[@]}"; do wait "$each"; done
