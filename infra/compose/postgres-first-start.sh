#!/bin/sh
# Run by the Postgres image on the first start of a zone, as the superuser, while nobody else can connect.
set -e

# An include, not the command line: what ALTER SYSTEM sets (synchronous_standby_names) must be able to win.
echo "include '/etc/borough/borough.conf'" >>"$PGDATA/postgresql.conf"

# As settings of the session, the passwords appear in no command line.
PGOPTIONS="-c borough.owner_password=$OWNER_PASSWORD -c borough.api_password=$API_PASSWORD"
PGOPTIONS="$PGOPTIONS -c borough.control_password=$CONTROL_PASSWORD"
PGOPTIONS="$PGOPTIONS -c borough.replication_password=$REPLICATION_PASSWORD -c borough.audit_password=$AUDIT_PASSWORD"
export PGOPTIONS
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres --dbname borough --file /etc/borough/bootstrap.sql
unset PGOPTIONS
