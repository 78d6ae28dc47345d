-- Leaving a zone that is lost, and its way back (SPEC.md section 10; M6, M9). A seal is this zone's refusal to take in
-- anything more from another zone: an owner that waits for us can then acknowledge nothing more (R3).

CREATE TABLE control.seal (
  zone text PRIMARY KEY,
  move_id text NOT NULL,
  term_number bigint NOT NULL,
  term_coordinator text NOT NULL,
  sealed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON control.seal TO borough_api, borough_control, borough_audit, borough_replication;
-- Each zone asks the others whether it has lost a shard.
GRANT SELECT ON control.ownership TO borough_replication;

-- The name under which this zone takes in the changes of `publisher` (links.ts has the same rule).
CREATE FUNCTION control.link_from(publisher text) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT 'borough_' || replace(z.id, '-', '_') || '_from_' || replace(publisher, '-', '_') FROM control.zone z
$$;

-- Seals a zone off. It names the epochs it is about: one that arrives after the rejoin, when this copy is past them, is
-- refused (test/model: seal-names-its-epoch). Complete only once `end_apply_workers` has seen the worker gone (T2).
CREATE FUNCTION control.seal_zone(
  given_number bigint, given_coordinator text, sealed_zone text, for_move text, shards integer[], epochs bigint[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  IF sealed_zone = (SELECT z.id FROM control.zone z) THEN
    RAISE EXCEPTION 'a zone does not seal itself off' USING ERRCODE = 'BR409';
  END IF;
  IF EXISTS (SELECT FROM unnest(shards, epochs) n (shard, epoch)
              JOIN control.ownership o ON o.shard = n.shard AND o.epoch > n.epoch)
     AND NOT EXISTS (SELECT FROM control.seal s WHERE s.zone = sealed_zone AND s.move_id = for_move) THEN
    RAISE EXCEPTION 'zone % has lost these shards already', sealed_zone USING ERRCODE = 'BR409';
  END IF;
  INSERT INTO control.seal (zone, move_id, term_number, term_coordinator)
  VALUES (sealed_zone, for_move, given_number, given_coordinator)
  ON CONFLICT (zone) DO UPDATE
    SET move_id = excluded.move_id, term_number = excluded.term_number, term_coordinator = excluded.term_coordinator;
  IF EXISTS (SELECT FROM pg_subscription s
              WHERE s.subname = control.link_from(sealed_zone)
                AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) THEN
    EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', control.link_from(sealed_zone));
  END IF;
END $$;

-- At a zone that never sealed the returning one off, being away itself: closes its link for the moment in which the tail is
-- passed. Taken away again by `pass_tail_and_unseal`, or by whoever leads next and finds the move ended.
CREATE FUNCTION control.seal_for_rejoin(
  given_number bigint, given_coordinator text, returning_zone text, for_move text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  IF EXISTS (SELECT FROM control.seal s WHERE s.zone = returning_zone) THEN RETURN; END IF;
  INSERT INTO control.seal (zone, move_id, term_number, term_coordinator)
  VALUES (returning_zone, for_move, given_number, given_coordinator);
  IF EXISTS (SELECT FROM pg_subscription s
              WHERE s.subname = control.link_from(returning_zone)
                AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) THEN
    EXECUTE format('ALTER SUBSCRIPTION %I DISABLE', control.link_from(returning_zone));
  END IF;
END $$;

-- Ends whatever still applies changes of a sealed zone. Answers whether it has been seen gone within the time.
CREATE FUNCTION control.end_apply_workers(
  given_number bigint, given_coordinator text, sealed_zone text, within_ms integer
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  until CONSTANT timestamptz := clock_timestamp() + within_ms * interval '1 millisecond';
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  IF NOT EXISTS (SELECT FROM control.seal s WHERE s.zone = sealed_zone) THEN
    RAISE EXCEPTION 'zone % is not sealed off here', sealed_zone USING ERRCODE = 'BR409';
  END IF;
  LOOP
    PERFORM pg_terminate_backend(w.pid) FROM pg_stat_subscription w
      WHERE w.subname = control.link_from(sealed_zone) AND w.pid IS NOT NULL;
    IF NOT FOUND THEN RETURN true; END IF;
    IF clock_timestamp() >= until THEN RETURN false; END IF;
    PERFORM pg_sleep(0.002);
  END LOOP;
END $$;

-- How far this zone has come with the changes of another one: on disk here, and true also when that zone is dead.
CREATE FUNCTION control.applied_from(publisher text) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'position', (SELECT coalesce(pg_replication_origin_progress('pg_' || s.oid, true), '0/0') - '0/0'::pg_lsn
                   FROM pg_subscription s WHERE s.subname = control.link_from(publisher)),
    'isSealed', EXISTS (SELECT FROM control.seal x WHERE x.zone = publisher),
    'lastBeatAt', control.last_beat_of(publisher)
  )
$$;

-- At the returning zone: takes the epochs it missed. Its writers are ended, never cancelled; what they wrote is the tail.
-- 55P03 when one still has the lock: to be called again.
CREATE FUNCTION control.take_epochs(
  given_number bigint, given_coordinator text, shards integer[], epochs bigint[], owners text[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  line record;
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  PERFORM pg_terminate_backend(a.pid) FROM pg_stat_activity a
    WHERE a.usename = 'borough_api' AND a.datname = current_database();
  PERFORM set_config('lock_timeout', '300ms', true);
  FOR line IN SELECT n.* FROM unnest(shards, epochs, owners) n (shard, epoch, owner) ORDER BY n.shard LOOP
    PERFORM pg_advisory_xact_lock(7, line.shard);
    INSERT INTO control.ownership AS o (shard, epoch, state, owner, term_number, term_coordinator)
    VALUES (line.shard, line.epoch, 'serving', line.owner, given_number, given_coordinator)
    ON CONFLICT (shard) DO UPDATE
      SET epoch = excluded.epoch, state = excluded.state, owner = excluded.owner, heir = NULL, move_id = NULL, cut = NULL,
          term_number = excluded.term_number, term_coordinator = excluded.term_coordinator, changed_at = clock_timestamp()
      WHERE o.epoch < excluded.epoch;
  END LOOP;
END $$;

-- Sessions of the API at the returning zone that began before `since`, and commits that still wait for members: both must
-- be none before any position is moved (T12).
CREATE FUNCTION control.old_backends(since timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*) FROM pg_stat_activity a
   WHERE a.datname = current_database() AND a.usename = 'borough_api' AND a.backend_start < since
$$;

CREATE FUNCTION control.log_position() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::bigint
$$;

-- In one step: this zone's position for the returning zone goes past its tail, and the seal is taken away (T31). Repeating
-- it changes nothing. A subscription that is gone, as after the loss of the other's disk, is the mesh's business.
CREATE FUNCTION control.pass_tail_and_unseal(
  given_number bigint, given_coordinator text, returning_zone text, up_to bigint
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  subscription oid;
  target CONSTANT pg_lsn := '0/0'::pg_lsn + up_to;
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  IF NOT EXISTS (SELECT FROM control.seal s WHERE s.zone = returning_zone) THEN RETURN; END IF;
  SELECT s.oid INTO subscription FROM pg_subscription s WHERE s.subname = control.link_from(returning_zone)
     AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database());
  IF FOUND THEN
    IF coalesce(pg_replication_origin_progress('pg_' || subscription, true), '0/0') < target THEN
      PERFORM pg_replication_origin_advance('pg_' || subscription, target);
    END IF;
    EXECUTE format('ALTER SUBSCRIPTION %I ENABLE', control.link_from(returning_zone));
  END IF;
  DELETE FROM control.seal WHERE zone = returning_zone;
END $$;

-- What the watch of a coordinator asks often (so by the functions under the statistics' views, which cost a quarter): from which of these zones changes come in, and how long ago in ms the last sign
-- came, and whether commits wait here.
CREATE FUNCTION control.zone_look(zones text[]) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'heardMsAgo', (SELECT coalesce(jsonb_object_agg(z, extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time) * 1000), '{}')
                     FROM unnest(zones) z
                     JOIN pg_subscription s ON s.subname = control.link_from(z)
                     JOIN pg_stat_get_subscription(NULL) w ON w.subid = s.oid
                    WHERE w.worker_type = 'apply' AND w.pid IS NOT NULL AND w.last_msg_receipt_time IS NOT NULL),
    'areCommitsWaiting', EXISTS (SELECT FROM pg_stat_get_activity(NULL) a WHERE a.wait_event = 'SyncRep'),
    'waitsFor', (SELECT coalesce(jsonb_agg(z), '[]') FROM unnest(zones) z
                  WHERE current_setting('synchronous_standby_names') ~ ('[( ]' || control.link_to(z) || '[,)]'))
  )
$$;

-- As in 0003-moves.sql; and one term proposes one owner per epoch: a handover and the failover that overtakes it are both
-- this coordinator's work, and only one of them may have its way.
CREATE OR REPLACE FUNCTION control.accept_ownership(
  given_number bigint, given_coordinator text, new_shard integer, new_epoch bigint, new_owner text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  held control.ownership%ROWTYPE;
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  -- Bounded, so that nothing of it stays queued in front of writers (T21).
  PERFORM set_config('lock_timeout', '300ms', true);
  PERFORM pg_advisory_xact_lock(7, new_shard);
  SELECT o.* INTO held FROM control.ownership o WHERE o.shard = new_shard;
  IF FOUND THEN
    IF held.epoch = new_epoch AND held.owner = new_owner THEN
      UPDATE control.ownership SET term_number = given_number, term_coordinator = given_coordinator
       WHERE shard = new_shard;
      RETURN;
    ELSIF held.epoch > new_epoch OR (held.epoch = new_epoch AND held.state <> 'accepted') THEN
      RAISE EXCEPTION 'shard % is at epoch % (% of zone %) already', new_shard, held.epoch, held.state, held.owner
        USING ERRCODE = 'BR409';
    ELSIF held.epoch = new_epoch AND (held.term_number, held.term_coordinator) = (given_number, given_coordinator) THEN
      RAISE EXCEPTION 'this term has proposed zone % for epoch % of shard % already', held.owner, held.epoch, new_shard
        USING ERRCODE = 'BR409';
    ELSIF held.state IN ('serving', 'moving') AND held.owner = (SELECT z.id FROM control.zone z) THEN
      RAISE EXCEPTION 'shard % is served here at epoch % and not fenced', new_shard, held.epoch USING ERRCODE = 'BR409';
    END IF;
  END IF;
  INSERT INTO control.ownership (shard, epoch, state, owner, term_number, term_coordinator)
  VALUES (new_shard, new_epoch, 'accepted', new_owner, given_number, given_coordinator)
  ON CONFLICT (shard) DO UPDATE
    SET epoch = excluded.epoch, state = excluded.state, owner = excluded.owner, heir = NULL, move_id = NULL, cut = NULL,
        term_number = excluded.term_number, term_coordinator = excluded.term_coordinator,
        changed_at = clock_timestamp();
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA control FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  control.seal_zone(bigint, text, text, text, integer[], bigint[]),
  control.seal_for_rejoin(bigint, text, text, text),
  control.end_apply_workers(bigint, text, text, integer),
  control.applied_from(text),
  control.take_epochs(bigint, text, integer[], bigint[], text[]),
  control.old_backends(timestamptz),
  control.log_position(),
  control.pass_tail_and_unseal(bigint, text, text, bigint),
  control.zone_look(text[])
  TO borough_control;
