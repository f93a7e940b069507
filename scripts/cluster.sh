#!/usr/bin/env bash
# Several nodes of one hub with Kafka, PostgreSQL and a balancer on loopback, to try. Usage: npm run cluster [-- --nodes 5 --brokers 3]
set -euo pipefail
cd "$(dirname "$0")/.."
if ! (command -v java && command -v mvn) >/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq && apt-get install -y -qq --no-install-recommends openjdk-17-jdk-headless maven >&2
  else
    echo 'Kafka needs Java 17 or newer, and Maven to fetch it: install both, then try again.' >&2
    exit 1
  fi
fi
test-servers/install.sh kafka
# What is to be known of this machine's own hub concerns none of these.
exec scripts/postgres-for-tests.sh node scripts/run.mjs --script scripts/cluster/main.ts "$@"
