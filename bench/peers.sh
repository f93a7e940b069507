#!/usr/bin/env bash
# Installs from Debian the peers that `npm run bench -- ... --peer ...` runs beside the hub: Mosquitto, RabbitMQ, nginx, PostgreSQL.
# Needs root. The bench starts and stops them itself: Debian's services are switched off.
set -euo pipefail
apt-get update -qq
apt-get install -y -qq --no-install-recommends mosquitto rabbitmq-server nginx postgresql
if command -v systemctl >/dev/null && systemctl is-system-running >/dev/null 2>&1; then
  systemctl disable --now mosquitto rabbitmq-server nginx postgresql
fi
mosquitto -h | head -1
nginx -v
