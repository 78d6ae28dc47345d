#!/bin/sh
# Writes infra/compose/.env with fresh passwords, readable by its owner alone. Never overwrites one: the databases know no others.
set -eu

file="$(cd "$(dirname "$0")" && pwd)/.env"
umask 077
set -C # a redirection fails if the file exists

# Letters and digits only, so they need no escaping in a URL; a letter first, so NATS does not read a number.
password() {
  printf 'p%s' "$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
}

content=$(
  for name in POSTGRES OWNER API CONTROL REPLICATION AUDIT NATS REDIS; do
    printf '%s_PASSWORD=%s\n' "$name" "$(password)"
  done
)

if { printf '%s\n' "$content" >"$file"; } 2>/dev/null; then
  echo "Wrote $file"
else
  echo "$file exists, or cannot be written. To start anew: docker compose -f infra/compose/compose.yaml down --volumes, remove the file, run this again." >&2
  exit 1
fi
