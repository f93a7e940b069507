#!/usr/bin/env bash
# Installs the peers that `npm run bench -- telemetry-in --peer ...` runs beside the hub, from Debian's own archive.
# Needs root. The bench starts and stops them itself: Debian's service is switched off.
set -euo pipefail
apt-get update -qq
apt-get install -y -qq --no-install-recommends mosquitto
if command -v systemctl >/dev/null && systemctl is-system-running >/dev/null 2>&1; then
  systemctl disable --now mosquitto
fi
mosquitto -h | head -1
