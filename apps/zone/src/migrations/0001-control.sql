-- The control schema: who this zone is, who owns which shard, and the triggers by which the database itself refuses
-- wrong writes (P2). Nothing in it is published to other zones. Changed only through its functions, which take a term.
-- SPEC.md numbers the invariants; runs as borough_owner.

CREATE SCHEMA control;
GRANT USAGE ON SCHEMA control TO borough_api, borough_control, borough_replication, borough_audit;

CREATE PUBLICATION borough;

-- Which zone this data directory was made for; a process with another zone id refuses to start.
CREATE TABLE control.zone (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  id text NOT NULL CHECK (id ~ '^[a-z][a-z0-9-]{0,15}$')
);

-- The highest term promised to a coordinator (O2).
CREATE TABLE control.term (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  number bigint NOT NULL,
  coordinator text NOT NULL
);
INSERT INTO control.term (number, coordinator) VALUES (0, '');

-- This voter's copy of every shard's ownership. `accepted` is not serving: see SPEC.md, two-phase install.
CREATE TABLE control.ownership (
  shard integer PRIMARY KEY CHECK (shard BETWEEN 0 AND 4095),
  epoch bigint NOT NULL CHECK (epoch >= 1),
  state text NOT NULL CHECK (state IN ('accepted', 'serving', 'moving', 'fenced')),
  owner text NOT NULL,
  heir text,
  move_id text,
  term_number bigint NOT NULL,
  term_coordinator text NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- The area map: which H3 cells are served, and by which shard.
CREATE TABLE control.area (
  shard integer PRIMARY KEY CHECK (shard BETWEEN 0 AND 4095),
  name text NOT NULL,
  cells text[] NOT NULL CHECK (cardinality(cells) >= 1),
  term_number bigint NOT NULL,
  term_coordinator text NOT NULL
);

GRANT SELECT ON control.zone, control.term, control.ownership, control.area
  TO borough_api, borough_control, borough_audit;
GRANT SELECT ON control.zone TO borough_replication;

-- Refusals ------------------------------------------------------------------------------------------------------------
-- SQLSTATE class BR is ours; the last three digits are the HTTP status the zone answers with.

-- Says why a write of this shard is refused. Called only when it is.
CREATE FUNCTION control.refuse(refused_shard integer, refused_epoch bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  held control.ownership%ROWTYPE;
  facts text;
BEGIN
  SELECT o.* INTO held FROM control.ownership o WHERE o.shard = refused_shard;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'shard % is owned by no zone', refused_shard
      USING ERRCODE = 'BR404', DETAIL = json_build_object('shard', refused_shard);
  END IF;
  facts := json_build_object('shard', held.shard, 'owner', held.owner, 'epoch', held.epoch);
  IF held.owner <> (SELECT z.id FROM control.zone z) THEN
    RAISE EXCEPTION 'shard % is owned by zone %, epoch %', held.shard, held.owner, held.epoch
      USING ERRCODE = 'BR421', DETAIL = facts;
  ELSIF held.state <> 'serving' THEN
    RAISE EXCEPTION 'shard % is %', held.shard, held.state USING ERRCODE = 'BR503', DETAIL = facts;
  END IF;
  RAISE EXCEPTION 'shard % is at epoch %, the write carries %', held.shard, held.epoch, refused_epoch
    USING ERRCODE = 'BR409', DETAIL = facts;
END $$;

-- Elsewhere the check after the lock would read the owner of before the wait (SPEC.md O5).
CREATE FUNCTION control.require_read_committed() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'sharded rows are written under READ COMMITTED only, not %', current_setting('transaction_isolation')
      USING ERRCODE = 'BR400', HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED';
  END IF;
END $$;

-- The fence as every writer meets it (P2) -----------------------------------------------------------------------------

-- Two statements on purpose: under READ COMMITTED the second sees what a fence committed while the first waited.
-- Not FOR SHARE on the ownership row: a steady stream of sharers overtakes a waiting fence for seconds; advisory locks
-- queue fairly. 7 is the lock space of shards.
CREATE FUNCTION control.check_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  PERFORM control.require_read_committed();
  PERFORM pg_advisory_xact_lock_shared(7, w.shard) FROM (SELECT DISTINCT shard FROM written ORDER BY shard) w;
  SELECT w.shard, w.epoch INTO wrong
    FROM (SELECT DISTINCT shard, epoch FROM written) w
    LEFT JOIN control.ownership o ON o.shard = w.shard
      AND o.owner = (SELECT z.id FROM control.zone z) AND o.state = 'serving' AND o.epoch = w.epoch
   WHERE o.shard IS NULL
   LIMIT 1;
  IF FOUND THEN PERFORM control.refuse(wrong.shard, wrong.epoch); END IF;
  RETURN NULL;
END $$;

-- As above, and the rows' old shard must be ours too: otherwise an update could pull a row out of another zone's shard.
CREATE FUNCTION control.check_updated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  PERFORM control.require_read_committed();
  PERFORM pg_advisory_xact_lock_shared(7, w.shard)
     FROM (SELECT shard FROM written UNION SELECT shard FROM replaced ORDER BY shard) w;
  SELECT w.shard, w.epoch INTO wrong
    FROM (SELECT shard, epoch FROM written UNION SELECT shard, NULL FROM replaced) w
    LEFT JOIN control.ownership o ON o.shard = w.shard
      AND o.owner = (SELECT z.id FROM control.zone z) AND o.state = 'serving' AND o.epoch = coalesce(w.epoch, o.epoch)
   WHERE o.shard IS NULL
   LIMIT 1;
  IF FOUND THEN PERFORM control.refuse(wrong.shard, wrong.epoch); END IF;
  RETURN NULL;
END $$;

CREATE FUNCTION control.refuse_removal() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are never removed, they end by state', TG_TABLE_NAME USING ERRCODE = 'BR405';
END $$;

-- version counts the changes of a row, whoever writes it (D3). Fires for writers, not for apply workers.
CREATE FUNCTION control.count_version() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$;

-- Rows written before every other zone's subscription covers the table would be lost there for ever (T14), so a
-- sharded table is born closed, and the zone's agent opens it once it has seen that they do.
CREATE FUNCTION control.refuse_closed() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'table % is closed until every other zone replicates it', TG_TABLE_NAME USING ERRCODE = 'BR003';
END $$;

-- Makes a table sharded: guarded, published, and closed. Every migration that creates a replicated table ends with it.
-- Statement-level AFTER triggers with transition tables: a batch pays once, and apply workers do not fire them.
-- ENABLE ALWAYS: session_replication_role = replica is no way around (T18). One trigger per event: PostgreSQL allows no
-- more with transition tables.
CREATE FUNCTION control.shard_table(sharded regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TRIGGER borough_closed BEFORE INSERT OR UPDATE ON %s
                  FOR EACH STATEMENT EXECUTE FUNCTION control.refuse_closed()', sharded);
  EXECUTE format('CREATE TRIGGER borough_inserted AFTER INSERT ON %s REFERENCING NEW TABLE AS written
                  FOR EACH STATEMENT EXECUTE FUNCTION control.check_inserted()', sharded);
  EXECUTE format('CREATE TRIGGER borough_updated AFTER UPDATE ON %s REFERENCING OLD TABLE AS replaced NEW TABLE AS written
                  FOR EACH STATEMENT EXECUTE FUNCTION control.check_updated()', sharded);
  EXECUTE format('CREATE TRIGGER borough_deleted BEFORE DELETE ON %s
                  FOR EACH STATEMENT EXECUTE FUNCTION control.refuse_removal()', sharded);
  EXECUTE format('CREATE TRIGGER borough_truncated BEFORE TRUNCATE ON %s
                  FOR EACH STATEMENT EXECUTE FUNCTION control.refuse_removal()', sharded);
  EXECUTE format('CREATE TRIGGER borough_version BEFORE UPDATE ON %s
                  FOR EACH ROW EXECUTE FUNCTION control.count_version()', sharded);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER borough_closed, ENABLE ALWAYS TRIGGER borough_inserted,
                  ENABLE ALWAYS TRIGGER borough_updated, ENABLE ALWAYS TRIGGER borough_deleted,
                  ENABLE ALWAYS TRIGGER borough_truncated', sharded);
  EXECUTE format('ALTER PUBLICATION borough ADD TABLE %s', sharded);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO borough_api', sharded);
END $$;

-- Opens a table for writes. The caller has seen that every other zone's subscription covers it.
CREATE FUNCTION control.open_table(sharded regclass) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('DROP TRIGGER IF EXISTS borough_closed ON %s', sharded);
END $$;

-- The sharded tables are those of the publication.
CREATE VIEW control.sharded_table AS
SELECT c.oid AS table_id, c.relname::text AS table_name
  FROM pg_publication p
  JOIN pg_publication_rel r ON r.prpubid = p.oid
  JOIN pg_class c ON c.oid = r.prrelid
 WHERE p.pubname = 'borough';

-- Sharded tables whose guard is not whole: each with the trigger that is missing or not ENABLE ALWAYS. Empty is right.
CREATE VIEW control.unguarded AS
SELECT s.table_name, wanted.trigger_name
  FROM control.sharded_table s
 CROSS JOIN (VALUES ('borough_inserted', 'A'), ('borough_updated', 'A'), ('borough_deleted', 'A'),
                    ('borough_truncated', 'A'), ('borough_version', 'O')) AS wanted (trigger_name, enabled)
  LEFT JOIN pg_trigger t
    ON t.tgrelid = s.table_id AND t.tgname = wanted.trigger_name AND t.tgenabled::text = wanted.enabled
 WHERE t.oid IS NULL;

-- Sharded tables that take no writes yet.
CREATE VIEW control.closed_table AS
SELECT s.table_name
  FROM control.sharded_table s
  JOIN pg_trigger t ON t.tgrelid = s.table_id AND t.tgname = 'borough_closed';

-- What a zone process calls first in every write: waits for a fence under way, then answers with the epoch to write
-- with, or refuses. The triggers check again, so leaving this out costs a clear error and no safety.
CREATE FUNCTION control.begin_write(wanted_shard integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  current_epoch bigint;
BEGIN
  PERFORM control.require_read_committed();
  PERFORM pg_advisory_xact_lock_shared(7, wanted_shard);
  SELECT o.epoch INTO current_epoch FROM control.ownership o
   WHERE o.shard = wanted_shard AND o.owner = (SELECT z.id FROM control.zone z) AND o.state = 'serving';
  IF NOT FOUND THEN PERFORM control.refuse(wanted_shard, NULL); END IF;
  RETURN current_epoch;
END $$;

-- Control functions, for coordinators ---------------------------------------------------------------------------------
-- Each commits with synchronous_commit = local, so that it never hangs on a lost member (T15).

-- Promises to refuse every lower term from now on. Granted also when repeated by the same coordinator.
CREATE FUNCTION control.promise_term(new_number bigint, new_coordinator text)
RETURNS TABLE (granted boolean, number bigint, coordinator text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  UPDATE control.term t SET number = new_number, coordinator = new_coordinator
   WHERE (t.number, t.coordinator) < (new_number, new_coordinator);
  RETURN QUERY SELECT (t.number, t.coordinator) = (new_number, new_coordinator), t.number, t.coordinator
                 FROM control.term t;
END $$;

-- O2: an older term is refused; a newer one is a promise too.
CREATE FUNCTION control.require_term(given_number bigint, given_coordinator text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  promised control.term%ROWTYPE;
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  SELECT t.* INTO promised FROM control.term t FOR UPDATE;
  IF (given_number, given_coordinator) < (promised.number, promised.coordinator) THEN
    RAISE EXCEPTION 'term % of coordinator % is over: % of % was promised', given_number, given_coordinator,
      promised.number, promised.coordinator USING ERRCODE = 'BR410';
  END IF;
  UPDATE control.term SET number = given_number, coordinator = given_coordinator
   WHERE (number, coordinator) <> (given_number, given_coordinator);
END $$;

-- First phase of an install (O3). Repeating it changes nothing. Refuses an epoch that is over, and refuses while this
-- zone itself still serves the shard: an owner is fenced first.
CREATE FUNCTION control.accept_ownership(
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
    SET epoch = excluded.epoch, state = excluded.state, owner = excluded.owner, heir = NULL, move_id = NULL,
        term_number = excluded.term_number, term_coordinator = excluded.term_coordinator,
        changed_at = clock_timestamp();
END $$;

-- Second phase: only after a majority accepted, under the same term. At the owner it starts writes; at the other
-- voters it only keeps their copy current.
CREATE FUNCTION control.serve_ownership(
  given_number bigint, given_coordinator text, served_shard integer, served_epoch bigint, served_owner text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  UPDATE control.ownership SET state = 'serving', changed_at = clock_timestamp()
   WHERE shard = served_shard AND epoch = served_epoch AND owner = served_owner AND state = 'accepted';
  IF NOT FOUND AND NOT EXISTS (
    SELECT FROM control.ownership o
     WHERE o.shard = served_shard AND o.epoch = served_epoch AND o.owner = served_owner
  ) THEN
    RAISE EXCEPTION 'shard % was not accepted for zone % at epoch %', served_shard, served_owner, served_epoch
      USING ERRCODE = 'BR409';
  END IF;
END $$;

-- Adds an area. Areas are never changed; what a lower term left half-written is replaced.
CREATE FUNCTION control.put_area(
  given_number bigint, given_coordinator text, new_shard integer, new_name text, new_cells text[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  INSERT INTO control.area (shard, name, cells, term_number, term_coordinator)
  VALUES (new_shard, new_name, new_cells, given_number, given_coordinator)
  ON CONFLICT (shard) DO UPDATE
    SET name = excluded.name, cells = excluded.cells, term_number = excluded.term_number,
        term_coordinator = excluded.term_coordinator;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA control FROM PUBLIC;
GRANT EXECUTE ON FUNCTION control.begin_write(integer) TO borough_api;
GRANT EXECUTE ON FUNCTION
  control.promise_term(bigint, text),
  control.accept_ownership(bigint, text, integer, bigint, text),
  control.serve_ownership(bigint, text, integer, bigint, text),
  control.put_area(bigint, text, integer, text, text[])
  TO borough_control;
