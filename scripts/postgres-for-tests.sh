#!/usr/bin/env bash
# Runs a command with a private PostgreSQL: its own folder, a free port on loopback, stopped and removed at the end.
# The command finds it in MOORING_TEST_POSTGRES. Usage: scripts/postgres-for-tests.sh npm test
set -euo pipefail

find_initdb() {
  command -v initdb || find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1
}
if [ -z "$(find_initdb)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql >&2
fi
initdb="$(find_initdb)"
if [ -z "$initdb" ]; then
  echo 'PostgreSQL is not installed, and can only be installed here by root on Debian.' >&2
  exit 1
fi
bin="$(dirname "$(readlink -f "$initdb")")"

# PostgreSQL refuses to run as root.
as_user=()
if [ "$(id -u)" = 0 ]; then
  user=nobody
  if id postgres >/dev/null 2>&1; then user=postgres; fi
  as_user=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups --)
fi

folder="$(mktemp -d /tmp/mooring-postgres.XXXXXX)"
server=''
finish() {
  if [ -n "$server" ] && kill -INT "$server" 2>/dev/null; then wait "$server" || true; fi
  rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM HUP
# Where this shell itself is killed (kill -9) the pipe that it alone holds ends: then this one, which is told of the server, clears up.
exec 9> >(
  exec >/dev/null 2>&1
  trap '' INT TERM HUP
  while read -r line; do server="$line"; done
  if [ ! -d "$folder" ]; then exit 0; fi
  if [ -n "$server" ]; then
    kill -INT "$server" 2>/dev/null || true
    for _ in $(seq 100); do kill -0 "$server" 2>/dev/null || break; sleep 0.1; done
  fi
  rm -rf "$folder"
)
if [ ${#as_user[@]} -gt 0 ]; then chown "$user" "$folder"; fi

cd "$folder"
"${as_user[@]}" "$bin/initdb" --pgdata data --username mooring --auth trust --locale C --encoding UTF8 --no-sync 9>&- >"$folder/initdb.log" ||
  { cat "$folder/initdb.log" >&2; exit 1; }
# A port below the range of outgoing connections: one from within it could be a client's before the server opens it.
port=''
for _ in $(seq 50); do
  port=$((20000 + RANDOM % 12000))
  if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
done
"${as_user[@]}" "$bin/postgres" -D data -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$folder" \
  -c max_connections=200 >"$folder/server.log" 2>&1 9>&- &
server=$!
echo "$server" >&9
for _ in $(seq 100); do
  if "$bin/pg_isready" -q -h 127.0.0.1 -p "$port"; then break; fi
  if ! kill -0 "$server" 2>/dev/null; then cat "$folder/server.log" >&2; exit 1; fi
  sleep 0.1
done
cd "$OLDPWD"
MOORING_TEST_POSTGRES="postgres://mooring@127.0.0.1:$port/postgres" "$@" 9>&-
