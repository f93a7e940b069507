#!/usr/bin/env bash
# Installs the servers and clients that tests run against, unless that is done for these pins.
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

once azurite node_modules package-lock.json npm ci --ignore-scripts --no-audit --no-fund --loglevel=error &
azurite=$!
once kafka jars pom.xml mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=jars &
kafka=$!
once coap jars pom.xml mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=jars &
californium=$!
once coap .venv requirements.txt sh -c 'python3 -m venv .venv && .venv/bin/pip install -q --no-deps -r requirements.txt' &
aiocoap=$!
once archive .venv requirements.txt sh -c 'python3 -m venv .venv && .venv/bin/pip install -q --no-deps -r requirements.txt' &
archive=$!
# Some distributions keep Go from loading the version that go.mod names.
once s3 build 'go.mod go.sum' env GOTOOLCHAIN=auto go build -trimpath -o build/versitygw github.com/versity/versitygw/cmd/versitygw
wait "$azurite"
wait "$kafka"
wait "$californium"
wait "$aiocoap"
wait "$archive"
