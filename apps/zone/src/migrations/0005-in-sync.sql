-- The in-sync record (SPEC.md section 8, R1–R3): for each zone, whom it must wait for with every write. This is one voter's
-- copy. The record is what a majority of voters says, read and changed under ballots as in libs/topology/in-sync-register.ts.

CREATE TABLE control.in_sync (
  zone text PRIMARY KEY,
  -- Copies of lower ballots are not taken any more.
  promised bigint NOT NULL,
  -- Under which this copy was accepted; 0 until one was.
  ballot bigint NOT NULL DEFAULT 0,
  members text[] NOT NULL DEFAULT '{}',
  version bigint NOT NULL DEFAULT 0,
  frozen_by text[] NOT NULL DEFAULT '{}'
);

-- Whether this database has what a voter must not forget. A new disk votes only once it has it from the others: a voter that
-- forgot its promises lets a second majority form.
CREATE TABLE control.voter (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  is_voting boolean NOT NULL
);
INSERT INTO control.voter (is_voting) SELECT EXISTS (SELECT FROM control.ownership);

CREATE FUNCTION control.require_voting() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT (SELECT v.is_voting FROM control.voter v) THEN
    RAISE EXCEPTION 'this database is new and has not learnt yet what was voted' USING ERRCODE = 'BR503';
  END IF;
END $$;

-- As in 0003-moves.sql, and refused while this is no voter.
CREATE OR REPLACE FUNCTION control.require_term(given_number bigint, given_coordinator text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  promised control.term%ROWTYPE;
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  PERFORM control.require_voting();
  UPDATE control.term SET number = given_number, coordinator = given_coordinator
   WHERE (number, coordinator) < (given_number, given_coordinator);
  SELECT t.* INTO promised FROM control.term t FOR SHARE;
  IF (given_number, given_coordinator) < (promised.number, promised.coordinator) THEN
    RAISE EXCEPTION 'term % of coordinator % is over: % of % was promised', given_number, given_coordinator,
      promised.number, promised.coordinator USING ERRCODE = 'BR410';
  END IF;
END $$;

CREATE OR REPLACE FUNCTION control.promise_term(new_number bigint, new_coordinator text)
RETURNS TABLE (granted boolean, number bigint, coordinator text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  PERFORM control.require_voting();
  UPDATE control.term t SET number = new_number, coordinator = new_coordinator
   WHERE (t.number, t.coordinator) < (new_number, new_coordinator);
  RETURN QUERY SELECT (t.number, t.coordinator) = (new_number, new_coordinator), t.number, t.coordinator
                 FROM control.term t;
END $$;

-- First half of a read or change: from now on copies of lower ballots are refused here. Granted at most once per ballot,
-- so that of two who chose the same one at most one has a majority.
CREATE FUNCTION control.promise_in_sync(of_zone text, new_ballot bigint)
RETURNS TABLE (is_granted boolean, promised bigint, ballot bigint, members text[], version bigint, frozen_by text[])
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  granted integer;
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  PERFORM control.require_voting();
  INSERT INTO control.in_sync AS r (zone, promised) VALUES (of_zone, new_ballot)
  ON CONFLICT (zone) DO UPDATE SET promised = excluded.promised WHERE r.promised < excluded.promised;
  GET DIAGNOSTICS granted = ROW_COUNT;
  RETURN QUERY SELECT granted = 1, r.promised, r.ballot, r.members, r.version, r.frozen_by
                 FROM control.in_sync r WHERE r.zone = of_zone;
END $$;

-- Second half. Answers whether it was taken: not when a higher ballot was promised meanwhile.
CREATE FUNCTION control.accept_in_sync(
  of_zone text, with_ballot bigint, new_members text[], new_version bigint, new_frozen_by text[]
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  taken integer;
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  PERFORM control.require_voting();
  INSERT INTO control.in_sync AS r (zone, promised, ballot, members, version, frozen_by)
  VALUES (of_zone, with_ballot, with_ballot, new_members, new_version, new_frozen_by)
  ON CONFLICT (zone) DO UPDATE
    SET promised = excluded.promised, ballot = excluded.ballot, members = excluded.members, version = excluded.version,
        frozen_by = excluded.frozen_by
    WHERE r.promised <= excluded.ballot;
  GET DIAGNOSTICS taken = ROW_COUNT;
  RETURN taken = 1;
END $$;

-- What a new disk must know before it votes, as every other zone has it: the later of each.
-- `learnt` is an array, one element per other zone, of what `control.what_was_voted()` says there.
CREATE FUNCTION control.what_was_voted() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'isVoting', (SELECT v.is_voting FROM control.voter v),
    'term', (SELECT to_jsonb(t) FROM control.term t),
    'ownership', (SELECT coalesce(jsonb_agg(to_jsonb(o)), '[]') FROM control.ownership o),
    'areas', (SELECT coalesce(jsonb_agg(to_jsonb(a)), '[]') FROM control.area a),
    'inSync', (SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM control.in_sync r),
    'moves', (SELECT coalesce(jsonb_agg(to_jsonb(m)), '[]') FROM control.move m)
  )
$$;

CREATE FUNCTION control.begin_voting(learnt jsonb) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (SELECT v.is_voting FROM control.voter v FOR UPDATE) THEN RETURN; END IF;
  UPDATE control.term t SET number = n.number, coordinator = n.coordinator
    FROM (SELECT r.number, r.coordinator FROM jsonb_array_elements(learnt) l
          CROSS JOIN LATERAL jsonb_populate_record(NULL::control.term, l->'term') r
          ORDER BY r.number DESC, r.coordinator DESC LIMIT 1) n
   WHERE (t.number, t.coordinator) < (n.number, n.coordinator);
  INSERT INTO control.ownership
  SELECT DISTINCT ON (r.shard) r.* FROM jsonb_array_elements(learnt) l
   CROSS JOIN LATERAL jsonb_populate_recordset(NULL::control.ownership, l->'ownership') r
   ORDER BY r.shard, r.epoch DESC, r.state <> 'serving', r.term_number DESC, r.term_coordinator DESC
  ON CONFLICT (shard) DO NOTHING;
  INSERT INTO control.area
  SELECT DISTINCT ON (r.shard) r.* FROM jsonb_array_elements(learnt) l
   CROSS JOIN LATERAL jsonb_populate_recordset(NULL::control.area, l->'areas') r
   ORDER BY r.shard
  ON CONFLICT (shard) DO NOTHING;
  INSERT INTO control.in_sync
  SELECT DISTINCT ON (r.zone) r.zone, max(r.promised) OVER (PARTITION BY r.zone), r.ballot, r.members, r.version, r.frozen_by
    FROM jsonb_array_elements(learnt) l
   CROSS JOIN LATERAL jsonb_populate_recordset(NULL::control.in_sync, l->'inSync') r
   ORDER BY r.zone, r.ballot DESC
  ON CONFLICT (zone) DO NOTHING;
  INSERT INTO control.move
  SELECT DISTINCT ON (r.id) r.* FROM jsonb_array_elements(learnt) l
   CROSS JOIN LATERAL jsonb_populate_recordset(NULL::control.move, l->'moves') r
   ORDER BY r.id, r.version DESC
  ON CONFLICT (id) DO NOTHING;
  UPDATE control.voter SET is_voting = true;
END $$;

-- The newest beat of each zone, made by its agent: shows how far each zone has come with the changes of each other, also of
-- one that is dead; a position moves only with published changes. Not sharded: no ownership, written by its zone only.
-- Each beat is a row of its own in the place of the one before: so it arrives at a zone that has lost the one before, too,
-- where an update would be dropped for ever. What a zone left behind that lost its own disk stays, and is older.
CREATE TABLE public.zone_beats (
  zone text NOT NULL,
  beaten_at timestamptz NOT NULL,
  PRIMARY KEY (zone, beaten_at)
);
ALTER PUBLICATION borough ADD TABLE public.zone_beats;

CREATE FUNCTION control.beat_zone() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  DELETE FROM public.zone_beats b WHERE b.zone = (SELECT z.id FROM control.zone z);
  INSERT INTO public.zone_beats (zone, beaten_at) SELECT z.id, clock_timestamp() FROM control.zone z;
END $$;

-- Undefined until one has arrived.
CREATE FUNCTION control.last_beat_of(of_zone text) RETURNS timestamptz
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT max(b.beaten_at) FROM public.zone_beats b WHERE b.zone = of_zone
$$;

CREATE OR REPLACE VIEW control.sharded_table AS
SELECT c.oid AS table_id, c.relname::text AS table_name
  FROM pg_publication p
  JOIN pg_publication_rel r ON r.prpubid = p.oid
  JOIN pg_class c ON c.oid = r.prrelid
 WHERE p.pubname = 'borough' AND c.relname <> 'zone_beats';

-- The record takes the place of the freezes of 0003-moves.sql: `frozen_by` is part of it.
DROP FUNCTION control.freeze_in_sync(bigint, text, text[], text);
DROP FUNCTION control.thaw_in_sync(bigint, text, text);
DROP TABLE control.in_sync_freeze;

CREATE OR REPLACE FUNCTION control.zone_facts(zones text[]) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'zone', own.id,
    'waitsFor', (SELECT coalesce(jsonb_agg(z ORDER BY z), '[]') FROM unnest(zones) z
                  WHERE z <> own.id
                    AND current_setting('synchronous_standby_names') ~ ('[( ]' || control.link_to(z) || '[,)]')),
    'behindBytes', (SELECT coalesce(jsonb_object_agg(z, greatest(pg_current_wal_flush_lsn() - s.confirmed_flush_lsn, 0)), '{}')
                      FROM unnest(zones) z JOIN pg_replication_slots s ON s.slot_name = control.link_to(z) AND s.active
                     WHERE z <> own.id),
    'unguardedTables', (SELECT coalesce(jsonb_agg(DISTINCT u.table_name), '[]') FROM control.unguarded u),
    'closedTables', (SELECT coalesce(jsonb_agg(c.table_name), '[]') FROM control.closed_table c)
  )
  FROM control.zone own
$$;

GRANT SELECT ON control.in_sync, control.voter, public.zone_beats
  TO borough_api, borough_control, borough_audit, borough_replication;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA control FROM PUBLIC;
GRANT EXECUTE ON FUNCTION control.promise_in_sync(text, bigint), control.accept_in_sync(text, bigint, text[], bigint, text[])
  TO borough_control, borough_replication;
GRANT EXECUTE ON FUNCTION control.what_was_voted() TO borough_replication, borough_control;
