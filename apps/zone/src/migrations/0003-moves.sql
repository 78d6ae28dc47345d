-- Moves of shards between zones, and who leads (SPEC.md, Moves; M1–M7). Only a coordinator's role may call these, and it
-- may do nothing else; each takes a term and refuses an older one.

-- Grows while the coordinator of the promised term lives. Others compare two readings of it, never a clock.
CREATE TABLE control.leader_pulse (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  beats bigint NOT NULL
);
INSERT INTO control.leader_pulse (beats) VALUES (0);

-- Where the owner's log stood when its fence was complete (M4); in `fenced` only.
ALTER TABLE control.ownership ADD COLUMN cut pg_lsn;
ALTER TABLE control.ownership ADD CONSTRAINT ownership_moves_name_heir_and_move
  CHECK (state NOT IN ('moving', 'fenced') OR (heir IS NOT NULL AND move_id IS NOT NULL));

-- While a row stands, that zone's in-sync set stays as it is: neither grows nor shrinks (M5).
CREATE TABLE control.in_sync_freeze (
  zone text NOT NULL,
  move_id text NOT NULL,
  term_number bigint NOT NULL,
  term_coordinator text NOT NULL,
  PRIMARY KEY (zone, move_id)
);

-- The record of every move: plan, outcome, who and why. What a shard's next step is follows from control.ownership alone.
CREATE TABLE control.move (
  id text PRIMARY KEY,
  version bigint NOT NULL,
  is_running boolean NOT NULL,
  request_key text,
  document jsonb NOT NULL,
  term_number bigint NOT NULL,
  term_coordinator text NOT NULL
);
CREATE INDEX move_running ON control.move (id) WHERE is_running;
CREATE INDEX move_request_key ON control.move (request_key);

GRANT SELECT ON control.leader_pulse, control.in_sync_freeze, control.move TO borough_control, borough_audit;

-- O2: an older term is refused; a newer one is a promise too. The row is locked against promises only until the call
-- commits: calls of one term run side by side. (FOR UPDATE made a fence that waited for its writers hold up all others.)
CREATE OR REPLACE FUNCTION control.require_term(given_number bigint, given_coordinator text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  promised control.term%ROWTYPE;
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  UPDATE control.term SET number = given_number, coordinator = given_coordinator
   WHERE (number, coordinator) < (given_number, given_coordinator);
  SELECT t.* INTO promised FROM control.term t FOR SHARE;
  IF (given_number, given_coordinator) < (promised.number, promised.coordinator) THEN
    RAISE EXCEPTION 'term % of coordinator % is over: % of % was promised', given_number, given_coordinator,
      promised.number, promised.coordinator USING ERRCODE = 'BR410';
  END IF;
END $$;

-- The leader lives. Losing a beat in a crash is harmless, so it waits for no disk.
CREATE FUNCTION control.beat(given_number bigint, given_coordinator text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  is_promised boolean;
BEGIN
  SELECT (t.number, t.coordinator) = (given_number, given_coordinator) INTO is_promised FROM control.term t;
  IF is_promised THEN PERFORM set_config('synchronous_commit', 'off', true);
  ELSE PERFORM control.require_term(given_number, given_coordinator);
  END IF;
  UPDATE control.leader_pulse SET beats = beats + 1;
END $$;

-- Keeps the in-sync sets of these zones as they are for a move. The lock is held by a zone's agent while it changes its
-- set: a change that is under way ends first, or the freeze fails.
CREATE FUNCTION control.freeze_in_sync(given_number bigint, given_coordinator text, zones text[], for_move text)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  PERFORM set_config('lock_timeout', '500ms', true);
  PERFORM pg_advisory_xact_lock(8, 2);
  INSERT INTO control.in_sync_freeze AS f (zone, move_id, term_number, term_coordinator)
  SELECT z, for_move, given_number, given_coordinator FROM unnest(zones) z
  ON CONFLICT (zone, move_id) DO UPDATE
    SET term_number = excluded.term_number, term_coordinator = excluded.term_coordinator;
END $$;

CREATE FUNCTION control.thaw_in_sync(given_number bigint, given_coordinator text, for_move text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  DELETE FROM control.in_sync_freeze WHERE move_id = for_move;
END $$;

-- serving → moving (M2). At the owner this refuses writes that begin from now on; those that began go on. Repeating it
-- changes nothing.
CREATE FUNCTION control.intend_move(
  given_number bigint, given_coordinator text, moved_shard integer, moved_epoch bigint, to_heir text, for_move text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  held control.ownership%ROWTYPE;
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  PERFORM set_config('lock_timeout', '300ms', true);
  SELECT o.* INTO held FROM control.ownership o WHERE o.shard = moved_shard FOR UPDATE;
  IF held.epoch IS DISTINCT FROM moved_epoch OR held.state = 'accepted' THEN
    RAISE EXCEPTION 'shard % is not served at epoch % here', moved_shard, moved_epoch USING ERRCODE = 'BR409';
  ELSIF held.owner = to_heir THEN
    RAISE EXCEPTION 'shard % is owned by zone % already', moved_shard, to_heir USING ERRCODE = 'BR409';
  ELSIF held.state = 'serving' THEN
    UPDATE control.ownership SET state = 'moving', heir = to_heir, move_id = for_move, term_number = given_number,
                                 term_coordinator = given_coordinator, changed_at = clock_timestamp()
     WHERE shard = moved_shard;
  ELSIF held.move_id <> for_move OR held.heir <> to_heir THEN
    RAISE EXCEPTION 'shard % is in move %', moved_shard, held.move_id USING ERRCODE = 'BR409';
  END IF;
END $$;

-- serving or moving → fenced, at the owner (P2, M4): once the lock is held, no writer of this epoch is left that runs;
-- whatever one that died left in the log stands before the cut. Repeating it answers with the same cut.
CREATE FUNCTION control.fence_shard(
  given_number bigint, given_coordinator text, moved_shard integer, moved_epoch bigint, to_heir text, for_move text
) RETURNS pg_lsn
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  held control.ownership%ROWTYPE;
  new_cut pg_lsn;
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  -- Bounded, so that nothing of it stays queued in front of writers (T21).
  PERFORM set_config('lock_timeout', '300ms', true);
  PERFORM pg_advisory_xact_lock(7, moved_shard);
  SELECT o.* INTO held FROM control.ownership o WHERE o.shard = moved_shard FOR UPDATE;
  IF held.epoch IS DISTINCT FROM moved_epoch OR held.owner <> (SELECT z.id FROM control.zone z) THEN
    RAISE EXCEPTION 'shard % is not owned here at epoch %', moved_shard, moved_epoch USING ERRCODE = 'BR409';
  ELSIF held.state = 'accepted' THEN
    RAISE EXCEPTION 'shard % is not served here yet', moved_shard USING ERRCODE = 'BR409';
  ELSIF held.state <> 'serving' AND held.move_id <> for_move THEN
    RAISE EXCEPTION 'shard % is in move %', moved_shard, held.move_id USING ERRCODE = 'BR409';
  ELSIF held.state = 'fenced' THEN
    RETURN held.cut;
  END IF;
  new_cut := pg_current_wal_insert_lsn();
  UPDATE control.ownership SET state = 'fenced', heir = to_heir, move_id = for_move, cut = new_cut,
                               term_number = given_number, term_coordinator = given_coordinator,
                               changed_at = clock_timestamp()
   WHERE shard = moved_shard;
  RETURN new_cut;
END $$;

-- Ends the writers that keep a fence of this shard waiting past its bound. Ended, never cancelled: a cancelled wait for
-- the in-sync zones reports success. What such a writer had written stands before the cut, and its caller hears nothing.
CREATE FUNCTION control.end_writers(given_number bigint, given_coordinator text, moved_shard integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  RETURN (
    SELECT count(*) FILTER (WHERE pg_terminate_backend(l.pid))
      FROM pg_locks l
     WHERE l.locktype = 'advisory' AND l.classid = 7 AND l.objid = moved_shard::oid AND l.granted
       AND l.mode = 'ShareLock'
       AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
       AND l.pid <> pg_backend_pid()
  );
END $$;

-- The name under which `subscriber` takes in this zone's changes: its slot here (links.ts has the same rule).
CREATE FUNCTION control.link_to(subscriber text) RETURNS text
LANGUAGE sql STABLE AS $$
  SELECT 'borough_' || replace(subscriber, '-', '_') || '_from_' || replace(z.id, '-', '_') FROM control.zone z
$$;

-- Waits until each of these zones has applied our log up to the cut and has it on disk (M4).
-- Answers with the zones that have not within the time; none is right.
CREATE FUNCTION control.wait_applied(zones text[], up_to pg_lsn, within_ms integer) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  until CONSTANT timestamptz := clock_timestamp() + within_ms * interval '1 millisecond';
  late text[];
BEGIN
  LOOP
    SELECT array_agg(z) INTO late
      FROM unnest(zones) z
     WHERE NOT EXISTS (
       SELECT FROM pg_replication_slots s WHERE s.slot_name = control.link_to(z) AND s.active AND s.confirmed_flush_lsn >= up_to
     );
    EXIT WHEN late IS NULL OR clock_timestamp() >= until;
    PERFORM pg_sleep(0.001);
  END LOOP;
  RETURN coalesce(late, '{}');
END $$;

-- What a plan and a status page ask of a zone: whom it waits for, how far behind each of `zones` is, what is not right.
CREATE FUNCTION control.zone_facts(zones text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'zone', own.id,
    'waitsFor', (SELECT coalesce(jsonb_agg(z ORDER BY z), '[]') FROM unnest(zones) z
                  WHERE z <> own.id
                    AND current_setting('synchronous_standby_names') ~ ('[( ]' || control.link_to(z) || '[,)]')),
    'behindBytes', (SELECT coalesce(jsonb_object_agg(z, greatest(pg_current_wal_flush_lsn() - s.confirmed_flush_lsn, 0)), '{}')
                      FROM unnest(zones) z JOIN pg_replication_slots s ON s.slot_name = control.link_to(z) AND s.active
                     WHERE z <> own.id),
    'frozenBy', (SELECT coalesce(jsonb_agg(f.move_id ORDER BY f.move_id), '[]') FROM control.in_sync_freeze f
                  WHERE f.zone = own.id),
    'unguardedTables', (SELECT coalesce(jsonb_agg(DISTINCT u.table_name), '[]') FROM control.unguarded u),
    'closedTables', (SELECT coalesce(jsonb_agg(c.table_name), '[]') FROM control.closed_table c)
  )
  FROM control.zone own
$$;

-- How many orders of these shards are placed, and neither delivered nor cancelled. Only what a plan shows.
CREATE FUNCTION control.in_process_orders(shards integer[]) RETURNS TABLE (shard integer, orders bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN QUERY
  SELECT o.shard, count(*) FROM public.orders o
   WHERE o.shard = ANY (shards) AND o.status NOT IN ('delivered', 'cancelled')
   GROUP BY o.shard;
END $$;

-- Stores a version of a move's record; an older one than the stored one changes nothing.
CREATE FUNCTION control.put_move(
  given_number bigint, given_coordinator text, move text, new_version bigint, new_is_running boolean, new_request_key text,
  new_document jsonb
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  INSERT INTO control.move AS m (id, version, is_running, request_key, document, term_number, term_coordinator)
  VALUES (move, new_version, new_is_running, new_request_key, new_document, given_number, given_coordinator)
  ON CONFLICT (id) DO UPDATE
    SET version = excluded.version, is_running = excluded.is_running, document = excluded.document,
        term_number = excluded.term_number, term_coordinator = excluded.term_coordinator
    WHERE m.version < excluded.version;
END $$;

-- A new epoch ends what the old one said of a move, its cut included.
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
  control.beat(bigint, text),
  control.freeze_in_sync(bigint, text, text[], text),
  control.thaw_in_sync(bigint, text, text),
  control.intend_move(bigint, text, integer, bigint, text, text),
  control.fence_shard(bigint, text, integer, bigint, text, text),
  control.end_writers(bigint, text, integer),
  control.wait_applied(text[], pg_lsn, integer),
  control.zone_facts(text[]),
  control.in_process_orders(integer[]),
  control.put_move(bigint, text, text, bigint, boolean, text, jsonb)
  TO borough_control;
