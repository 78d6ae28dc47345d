-- Roles and rights of a zone's Postgres: what only a superuser can give. Run inside the database `borough`, again whenever this
-- file changes; every statement may be repeated. Tables, functions and the rights on them are the zone's migrations' business.
--
-- Passwords come in as settings of the session: borough.owner_password, .api_password, .control_password,
-- .replication_password, .audit_password.

DO $roles$
DECLARE
  role text;
BEGIN
  -- An empty or missing password would leave a role that nobody can use, or anybody.
  FOREACH role IN ARRAY ARRAY['owner', 'api', 'control', 'replication', 'audit'] LOOP
    IF coalesce(current_setting('borough.' || role || '_password', true), '') = '' THEN
      RAISE EXCEPTION 'setting borough.%_password is missing', role;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'borough_' || role) THEN
      EXECUTE format('CREATE ROLE %I', 'borough_' || role);
    END IF;
    EXECUTE format('ALTER ROLE %I WITH LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %L',
                   'borough_' || role, current_setting('borough.' || role || '_password'));
  END LOOP;
END
$roles$;

-- owner: runs the migrations, owns every table, publication and subscription, and is the role of the zone's agent.
ALTER ROLE borough_owner WITH NOREPLICATION;
GRANT pg_create_subscription TO borough_owner;
GRANT pg_monitor TO borough_owner;         -- who waits for whom: pg_stat_replication and pg_stat_activity in full
GRANT pg_signal_backend TO borough_owner;  -- end a walsender, so that it starts again and reads the new in-sync set
GRANT SET, ALTER SYSTEM ON PARAMETER synchronous_standby_names TO borough_owner;

-- api: serves requests. control: what the coordinator may call. Both get their rights, table by table, from the migrations.
ALTER ROLE borough_api WITH NOREPLICATION;
ALTER ROLE borough_control WITH NOREPLICATION;
-- A control call must never hang on a lost member of the in-sync set: it is what repairs that.
ALTER ROLE borough_control SET synchronous_commit = local;

-- replication: as whom the subscriptions of the other zones connect. It reads the publication's tables only through the stream.
ALTER ROLE borough_replication WITH REPLICATION;

-- audit: reads everything and writes nothing (row counts and digests of each zone, compared).
ALTER ROLE borough_audit WITH NOREPLICATION;
ALTER ROLE borough_audit SET default_transaction_read_only = on;
GRANT pg_read_all_data TO borough_audit;
GRANT pg_monitor TO borough_audit;

ALTER DATABASE borough OWNER TO borough_owner;
REVOKE ALL ON DATABASE borough FROM PUBLIC;
GRANT CONNECT ON DATABASE borough TO borough_api, borough_control, borough_replication, borough_audit;
GRANT CREATE, CONNECT, TEMPORARY ON DATABASE borough TO borough_owner;

ALTER SCHEMA public OWNER TO borough_owner;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;

-- Functions that only a superuser may call otherwise. Rights on functions belong to one database: a database made from this one as
-- its template has them too.
GRANT EXECUTE ON FUNCTION pg_reload_conf() TO borough_owner;
-- Healing writes under an origin, so that its writes do not echo; a rejoin moves a subscription's position past a tail.
GRANT EXECUTE ON FUNCTION
  pg_replication_origin_create(text),
  pg_replication_origin_drop(text),
  pg_replication_origin_oid(text),
  pg_replication_origin_session_setup(text),
  pg_replication_origin_session_reset(),
  pg_replication_origin_session_is_setup(),
  pg_replication_origin_session_progress(boolean),
  pg_replication_origin_xact_setup(pg_lsn, timestamptz),
  pg_replication_origin_xact_reset(),
  pg_replication_origin_advance(text, pg_lsn),
  pg_replication_origin_progress(text, boolean),
  pg_show_replication_origin_status()
  TO borough_owner;
GRANT SELECT ON pg_replication_origin_status TO borough_owner;
-- The owner wrote these connection strings itself; reading them back shows whether a subscription still leads to the right place.
GRANT SELECT (subconninfo) ON pg_subscription TO borough_owner;
