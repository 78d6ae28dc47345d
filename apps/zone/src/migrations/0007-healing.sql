-- Healing (SPEC.md M9, R2): the rows of a shard's owner replace what another zone has of it, under a replication origin, so
-- that nothing echoes. What a deposed owner wrote and nobody was told of is its tail: it leaves the tables and is kept as
-- receipts. And the apply guard, which makes the order of healing and stream indifferent.

CREATE TABLE control.receipt (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Where it was found: this zone.
  zone text NOT NULL,
  found_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  found_by text NOT NULL CHECK (found_by IN ('guard', 'healing')),
  table_name text NOT NULL,
  -- The columns of the primary key.
  row_key jsonb NOT NULL,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL,
  -- The row as it stood here.
  document jsonb NOT NULL,
  -- The row that took its place, of the same key or of another that collides with it; null where the owner has none.
  replaced_by jsonb
);

-- Shards of other zones whose rows were found equal to their owner's, at which epoch of the owner.
CREATE TABLE control.healed (
  shard integer PRIMARY KEY,
  epoch bigint NOT NULL,
  healed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON control.healed TO borough_api, borough_control, borough_audit;
-- Receipts hold rows of customers.
GRANT SELECT ON control.receipt TO borough_audit;

-- A zone that heals reads the owner as its replication role.
GRANT SELECT ON control.term, control.ownership, control.sharded_table, control.closed_table, control.healed
  TO borough_replication;

-- Who is let past the fence ---------------------------------------------------------------------------------------------
-- Sessions that write under a replication origin: apply workers, and the functions below. Only borough_owner may set one up,
-- and they take it down again before they end, so no session stays past the fence. Healing never updates: it removes and
-- inserts, so versions stay as they are.

CREATE OR REPLACE FUNCTION control.refuse_removal() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'DELETE' AND pg_replication_origin_session_is_setup() THEN RETURN NULL; END IF;
  RAISE EXCEPTION 'rows of % are never removed, they end by state', TG_TABLE_NAME USING ERRCODE = 'BR405';
END $$;

CREATE OR REPLACE FUNCTION control.refuse_closed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF pg_replication_origin_session_is_setup() THEN RETURN NULL; END IF;
  RAISE EXCEPTION 'table % is closed until every other zone replicates it', TG_TABLE_NAME USING ERRCODE = 'BR003';
END $$;

CREATE OR REPLACE FUNCTION control.check_inserted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  wrong record;
BEGIN
  IF pg_replication_origin_session_is_setup() THEN RETURN NULL; END IF;
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

-- Keys -----------------------------------------------------------------------------------------------------------------

-- The columns of the primary key, in its order; with a format such as 't.%1$I = NEW.%1$I' for each, joined.
CREATE FUNCTION control.key_columns(of_table oid, each text, joined_by text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(format(each, a.attname), joined_by ORDER BY array_position(i.indkey::int2[], a.attnum))
    FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
   WHERE i.indrelid = of_table AND i.indisprimary
$$;

-- The primary key of the row `t` as one text expression.
CREATE FUNCTION control.key_expression(of_table oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'concat_ws(''|'', ' || control.key_columns(of_table, 't.%I::text', ', ') || ')'
$$;

-- Unique keys beside the primary one, each as a condition on the rows t and `incoming`, and as two lists of columns.
CREATE FUNCTION control.other_keys(of_table oid, incoming text)
RETURNS TABLE (same_key text, incoming_columns text, old_columns text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(format('t.%1$I = %2$s.%1$I', a.attname, incoming), ' AND '),
         'ROW(' || string_agg(format('%s.%I', incoming, a.attname), ', ') || ')',
         'ROW(' || string_agg(format('OLD.%I', a.attname), ', ') || ')'
    FROM pg_index i
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
   WHERE i.indrelid = of_table AND i.indisunique AND NOT i.indisprimary
   GROUP BY i.indexrelid
$$;

-- The apply guard ------------------------------------------------------------------------------------------------------
-- Fires for apply workers only (judgeIncoming of libs/topology). Of the row already here, that is:
--
--   not below the incoming one    skipped: it came by healing, or twice
--   of a later epoch, and the incoming one claims a version it had already: this is the tail of a deposed owner. To skip
--                                 it would acknowledge it there (T1), so it raises, and the seal and the rejoin are the way out
--   of an earlier epoch, with a version the incoming one claims too: a tail of ours. Kept as a receipt, then replaced
--   below it                      replaced
--   another row, on another unique key (T13): of an earlier epoch it is a receipt; of a later one the incoming one is a tail
--
-- While the publisher is sealed off here every row of it raises: a worker that outlived the seal acknowledges nothing (T2).
-- A healing inserts while it holds (9, shard); so an insert waits for it, and then sees what it did.

-- Which zone this worker applies does not change during its life, and is asked of the server once.
CREATE FUNCTION control.refuse_sealed() RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  link text := coalesce(current_setting('borough.applied_link', true), '');
BEGIN
  IF link = '' THEN
    SELECT w.subname INTO link FROM pg_stat_subscription w WHERE w.pid = pg_backend_pid() LIMIT 1;
    PERFORM set_config('borough.applied_link', coalesce(link, ''), false);
  END IF;
  IF EXISTS (SELECT FROM control.seal s WHERE control.link_from(s.zone) = link) THEN
    RAISE EXCEPTION 'the zone behind % is sealed off: nothing more of it is taken in', link USING ERRCODE = 'BR409';
  END IF;
END $$;

CREATE FUNCTION control.refuse_tail(of_table text, incoming jsonb, held jsonb) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'a row of % comes from beyond the end of its epoch: shard %, epoch %, version %; here it is at epoch %',
    of_table, incoming->>'shard', incoming->>'epoch', incoming->>'version', held->>'epoch'
    USING ERRCODE = 'BR409', HINT = 'Its zone lost the shard. It is to be sealed off, and to rejoin.';
END $$;

CREATE FUNCTION control.keep_receipt(
  by_whom text, of_table text, key jsonb, its_shard integer, its_epoch bigint, its_version bigint, its_document jsonb,
  replacement jsonb
) RETURNS void
LANGUAGE sql AS $$
  INSERT INTO control.receipt (zone, found_by, table_name, row_key, shard, epoch, version, document, replaced_by)
  SELECT z.id, by_whom, of_table, key, its_shard, its_epoch, its_version, its_document, replacement FROM control.zone z
$$;

-- One function per table, with its keys written out: apply workers have an empty search_path, and this runs for every row.
-- To be called again for a table that gets another unique key (`control.unguarded` tells).
CREATE FUNCTION control.guard_table(sharded regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  bare CONSTANT text := (SELECT c.relname FROM pg_class c WHERE c.oid = sharded);
  whole CONSTANT text := (SELECT format('%I.%I', n.nspname, c.relname)
                            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = sharded);
  same_row CONSTANT text := control.key_columns(sharded, 't.%1$I = NEW.%1$I', ' AND ');
  its_key CONSTANT text := control.key_columns(sharded, '%1$L, %%1$s.%1$I', ', ');
  receipt CONSTANT text := 'PERFORM control.keep_receipt(''guard'', %2$L, jsonb_build_object(' || its_key || '), %1$s.shard,
                              %1$s.epoch, %1$s.version, to_jsonb(%1$s), to_jsonb(NEW));';
  collisions CONSTANT text := (
    SELECT string_agg(format($c$
      IF TG_OP = 'INSERT' OR %1$s IS DISTINCT FROM %2$s THEN
        SELECT t.* INTO other FROM %3$s t WHERE %4$s AND NOT (%5$s) FOR UPDATE;
        IF FOUND AND other.epoch > NEW.epoch THEN
          PERFORM control.refuse_tail(%6$L, to_jsonb(NEW), to_jsonb(other));
        ELSIF FOUND AND other.epoch < NEW.epoch THEN
          %7$s
          DELETE FROM %3$s t WHERE %4$s AND NOT (%5$s);
        END IF; -- of the same epoch: PostgreSQL says so, and the stream stops
      END IF;$c$, k.incoming_columns, k.old_columns, whole, k.same_key, same_row, bare, format(receipt, 'other', bare)), '')
      FROM control.other_keys(sharded, 'NEW') k);
BEGIN
  EXECUTE format($f$
    CREATE OR REPLACE FUNCTION control.%1$I() RETURNS trigger LANGUAGE plpgsql AS $g$
    DECLARE
      held %2$s%%ROWTYPE;
      other %2$s%%ROWTYPE;
      is_here boolean := true;
    BEGIN
      -- What nearly every row is: new, or one version on. Few statements: each costs as much as the row itself.
      IF TG_OP = 'INSERT' THEN
        -- In an expression of its own: what follows must see what was done while it waited.
        IF pg_advisory_xact_lock_shared(9, NEW.shard) IS NULL THEN NULL; END IF;
        IF NOT EXISTS (SELECT FROM %2$s t WHERE %3$s)%7$s AND NOT EXISTS (SELECT FROM control.seal) THEN
          RETURN NEW;
        END IF;
      ELSIF NEW.epoch = OLD.epoch AND NEW.version > OLD.version%8$s THEN
        IF NOT EXISTS (SELECT FROM control.seal) THEN RETURN NEW; END IF;
      END IF;
      IF EXISTS (SELECT FROM control.seal) THEN PERFORM control.refuse_sealed(); END IF;
      IF TG_OP = 'INSERT' THEN
        SELECT t.* INTO held FROM %2$s t WHERE %3$s FOR UPDATE;
        is_here := FOUND;
      ELSE
        held := OLD;
      END IF;
      IF is_here THEN
        IF (NEW.epoch, NEW.version) <= (held.epoch, held.version) THEN
          IF NEW.epoch < held.epoch AND NEW.version >= held.version THEN
            PERFORM control.refuse_tail(%4$L, to_jsonb(NEW), to_jsonb(held));
          END IF;
          RETURN NULL;
        END IF;
        IF NEW.epoch > held.epoch AND NEW.version <= held.version THEN
          %5$s
        END IF;
        IF TG_OP = 'INSERT' THEN DELETE FROM %2$s t WHERE %3$s; END IF;
      END IF;
      %6$s
      RETURN NEW;
    END $g$ $f$,
    'guard_' || bare, whole, same_row, bare, format(receipt, 'held', bare), coalesce(collisions, ''),
    (SELECT string_agg(format(' AND NOT EXISTS (SELECT FROM %s t WHERE %s)', whole, k.same_key), '')
       FROM control.other_keys(sharded, 'NEW') k),
    (SELECT string_agg(format(' AND %s = %s', k.incoming_columns, k.old_columns), '')
       FROM control.other_keys(sharded, 'NEW') k));
  EXECUTE format('REVOKE EXECUTE ON FUNCTION control.%I() FROM PUBLIC', 'guard_' || bare);
  EXECUTE format('CREATE OR REPLACE TRIGGER borough_guard BEFORE INSERT OR UPDATE ON %s
                  FOR EACH ROW EXECUTE FUNCTION control.%I()', sharded, 'guard_' || bare);
  EXECUTE format('ALTER TABLE %s ENABLE REPLICA TRIGGER borough_guard', sharded);
END $$;

-- As in 0001-control.sql, with the guard, and readable for a zone that heals.
CREATE OR REPLACE FUNCTION control.shard_table(sharded regclass) RETURNS void
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
  PERFORM control.guard_table(sharded);
  EXECUTE format('ALTER PUBLICATION borough ADD TABLE %s', sharded);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE ON %s TO borough_api', sharded);
  EXECUTE format('GRANT SELECT ON %s TO borough_replication', sharded);
END $$;

DO $$
DECLARE
  sharded record;
BEGIN
  FOR sharded IN SELECT s.table_id::regclass AS name FROM control.sharded_table s LOOP
    PERFORM control.guard_table(sharded.name);
    EXECUTE format('GRANT SELECT ON %s TO borough_replication', sharded.name);
  END LOOP;
END $$;

-- As in 0001-control.sql, with the guard.
CREATE OR REPLACE VIEW control.unguarded AS
SELECT s.table_name, wanted.trigger_name
  FROM control.sharded_table s
 CROSS JOIN (VALUES ('borough_inserted', 'A'), ('borough_updated', 'A'), ('borough_deleted', 'A'),
                    ('borough_truncated', 'A'), ('borough_version', 'O'), ('borough_guard', 'R'))
       AS wanted (trigger_name, enabled)
  LEFT JOIN pg_trigger t
    ON t.tgrelid = s.table_id AND t.tgname = wanted.trigger_name AND t.tgenabled::text = wanted.enabled
 WHERE t.oid IS NULL;

-- Healing --------------------------------------------------------------------------------------------------------------

-- Every server has it once, for all its databases.
DO $$ BEGIN
  IF pg_replication_origin_oid('borough_heal') IS NULL THEN PERFORM pg_replication_origin_create('borough_heal'); END IF;
END $$;

-- One session of a server at a time has it; the others wait for at most 5 s.
CREATE FUNCTION control.begin_healing() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  FOR tried IN 1..2500 LOOP
    BEGIN
      PERFORM pg_replication_origin_session_setup('borough_heal');
      RETURN;
    EXCEPTION WHEN object_in_use THEN
      PERFORM pg_sleep(0.002);
    END;
  END LOOP;
  RAISE EXCEPTION 'another healing is under way here' USING ERRCODE = 'BR503';
END $$;

-- Makes some rows of one table what their owner has.
--
-- `owners_rows` are rows of the owner, as read there; `absent` are rows the owner has not: key and shard of each. `shards` and
-- `epochs` say at which epoch the owner serves them. A row of that epoch which is newer than the owner's has come by its
-- stream meanwhile, and stays. Judged on the locked row, as judgeHealing of libs/topology does; besides, a row of an earlier
-- epoch that claims a version the owner's has passed is a tail, and one of the same age with another content is damage: both
-- are kept as receipts. A row that somebody else is writing is left for another time.
CREATE FUNCTION control.heal_rows(
  from_zone text, of_table text, shards integer[], epochs bigint[], owners_rows jsonb, absent jsonb
) RETURNS TABLE (taken bigint, receipts bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  own CONSTANT text := (SELECT z.id FROM control.zone z);
  sharded CONSTANT oid := (SELECT s.table_id FROM control.sharded_table s WHERE s.table_name = of_table);
  whole CONSTANT text := sharded::regclass::text;
  same_row CONSTANT text := control.key_columns(sharded, 't.%1$I = (a.owners).%1$I', ' AND ');
  its_key CONSTANT text := control.key_columns(sharded, '%1$L, (j.here).%1$I', ', ');
  asked CONSTANT text := format($q$
    asked AS MATERIALIZED (
      SELECT r AS owners, true AS is_there FROM jsonb_populate_recordset(NULL::%1$s, $1) r
      UNION ALL SELECT r, false FROM jsonb_populate_recordset(NULL::%1$s, $2) r
    )$q$, whole);
  other_key record;
  added bigint;
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  IF EXISTS (SELECT FROM control.seal s WHERE s.zone = from_zone) THEN
    RAISE EXCEPTION 'zone % is sealed off: nothing is healed from it', from_zone USING ERRCODE = 'BR409'; -- T30
  END IF;
  -- In a statement of its own, before any row is looked at; in the order of the shards.
  PERFORM pg_advisory_xact_lock(9, b.shard)
     FROM (SELECT DISTINCT (r->>'shard')::integer AS shard
             FROM jsonb_array_elements(owners_rows || absent) r ORDER BY 1) b;
  IF EXISTS (SELECT FROM control.ownership o JOIN unnest(shards, epochs) n (shard, epoch) ON n.shard = o.shard
              WHERE o.owner = own OR o.epoch > n.epoch) THEN
    RAISE EXCEPTION 'a shard to be healed from zone % is owned here, or at a later epoch', from_zone USING ERRCODE = 'BR409';
  END IF;
  BEGIN
    PERFORM control.begin_healing();
    EXECUTE format($q$
      WITH %1$s, held AS MATERIALIZED (
        SELECT a.is_there, a.owners, t AS here, n.epoch AS owner_epoch
          FROM asked a
          JOIN %2$s t ON %3$s
          JOIN unnest($3, $4) n (shard, epoch) ON n.shard = t.shard
           FOR UPDATE OF t SKIP LOCKED
      ), judged AS MATERIALIZED (
        SELECT h.*,
               CASE WHEN NOT h.is_there THEN CASE WHEN (h.here).epoch >= h.owner_epoch THEN 'keep' ELSE 'receipt' END
                    WHEN h.here IS NOT DISTINCT FROM h.owners THEN 'keep'
                    WHEN ((h.here).epoch, (h.here).version) = ((h.owners).epoch, (h.owners).version) THEN 'receipt'
                    WHEN ((h.here).epoch, (h.here).version) > ((h.owners).epoch, (h.owners).version)
                    THEN CASE WHEN (h.here).epoch >= h.owner_epoch THEN 'keep' ELSE 'receipt' END
                    WHEN (h.here).epoch < (h.owners).epoch AND (h.here).version >= (h.owners).version THEN 'receipt'
                    ELSE 'replace' END AS verdict
          FROM held h
      ), kept AS (
        SELECT control.keep_receipt('healing', %4$L, jsonb_build_object(%5$s), (j.here).shard, (j.here).epoch,
                                    (j.here).version, to_jsonb(j.here), CASE WHEN j.is_there THEN to_jsonb(j.owners) END)
          FROM judged j WHERE j.verdict = 'receipt'
      ), gone AS (
        DELETE FROM %2$s t USING judged a WHERE a.verdict <> 'keep' AND %3$s
      )
      SELECT count(*) FROM kept $q$, asked, whole, same_row, of_table, its_key)
      INTO receipts USING owners_rows, absent, shards, epochs;
    FOR other_key IN SELECT k.same_key FROM control.other_keys(sharded, '(a.owners)') k LOOP
      EXECUTE format($q$
        WITH %1$s, judged AS MATERIALIZED (
          SELECT a.owners, t AS here
            FROM asked a
            JOIN %2$s t ON %3$s AND NOT (%4$s)
            JOIN unnest($3, $4) n (shard, epoch) ON n.shard = t.shard AND t.epoch < n.epoch
           WHERE a.is_there
             FOR UPDATE OF t SKIP LOCKED
        ), kept AS (
          SELECT control.keep_receipt('healing', %5$L, jsonb_build_object(%6$s), (j.here).shard, (j.here).epoch,
                                      (j.here).version, to_jsonb(j.here), to_jsonb(j.owners))
            FROM judged j
        ), gone AS (
          DELETE FROM %2$s t USING judged j WHERE %7$s
        )
        SELECT count(*) FROM kept $q$, asked, whole, other_key.same_key, same_row, of_table, its_key,
        control.key_columns(sharded, 't.%1$I = (j.here).%1$I', ' AND '))
        INTO added USING owners_rows, absent, shards, epochs;
      receipts := receipts + added;
    END LOOP;
    EXECUTE format('WITH added AS (INSERT INTO %1$s SELECT r.* FROM jsonb_populate_recordset(NULL::%1$s, $1) r
                                   ON CONFLICT DO NOTHING RETURNING 1) SELECT count(*) FROM added', whole)
      INTO taken USING owners_rows;
    PERFORM pg_replication_origin_session_reset();
  EXCEPTION WHEN query_canceled OR OTHERS THEN
    -- Not rolled back with the transaction, and it would let this session past the fence.
    IF pg_replication_origin_session_is_setup() THEN PERFORM pg_replication_origin_session_reset(); END IF;
    RAISE;
  END;
  RETURN NEXT;
END $$;

-- The rows of these shards have been found equal to those of their owners, which serve at these epochs.
CREATE FUNCTION control.note_healed(shards integer[], epochs bigint[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  INSERT INTO control.healed AS h (shard, epoch) SELECT n.shard, n.epoch FROM unnest(shards, epochs) n (shard, epoch)
  ON CONFLICT (shard) DO UPDATE SET epoch = excluded.epoch, healed_at = clock_timestamp() WHERE h.epoch <= excluded.epoch;
END $$;

CREATE FUNCTION control.is_healed(of_shard integer, at_epoch bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM control.healed h WHERE h.shard = of_shard AND h.epoch >= at_epoch)
$$;

-- The quick healing of a failover ---------------------------------------------------------------------------------------
-- Brings a member of the heir up to what the heir has of the lost zone, by what is recent only:
--
--   member: recent_digests ──► heir: export_recent ──► member: import_healed
--
-- Recent is told by the time in a row's id, by `created_at`, or everything where a table has neither (few rows). These times
-- are not those of the commits (T17), so it is asked with an overlap, and proves nothing: a comparison does.

-- Of which span of 100 ms the row `t` is, and whether it is of `$2` or later, by index.
CREATE FUNCTION control.recent_rule(of_table oid, OUT span text, OUT is_recent text)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN r.has_id THEN '(extract(epoch FROM uuid_extract_timestamp(t.id)) * 10)::bigint'
              WHEN r.has_time THEN '(extract(epoch FROM t.created_at) * 10)::bigint' ELSE '0' END,
         CASE WHEN r.has_id THEN 't.id >= control.first_id($2)'
              WHEN r.has_time THEN 't.created_at >= $2' ELSE 'true' END
    FROM (SELECT control.key_columns(of_table, '%s', ',') = 'id' AS has_id,
                 EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = of_table AND a.attname = 'created_at') AS has_time) r
$$;

CREATE FUNCTION control.first_id(since timestamptz) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
  SELECT (lpad(to_hex(greatest(0, floor(extract(epoch FROM since) * 1000))::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE INDEX idempotency_keys_created ON public.idempotency_keys USING brin (created_at)
  WITH (pages_per_range = 16, autosummarize = on);

-- Per table and span of 100 ms: {table: {span: digest}}. Whole tables stand under span 0.
CREATE FUNCTION control.recent_digests(shards integer[], since timestamptz) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  sharded record;
  spans jsonb;
  answer jsonb := '{}';
BEGIN
  FOR sharded IN SELECT s.table_id, s.table_name, r.span, r.is_recent
                   FROM control.sharded_table s CROSS JOIN LATERAL control.recent_rule(s.table_id) r LOOP
    EXECUTE format($q$
      SELECT coalesce(jsonb_object_agg(d.span, d.digest), '{}')
        FROM (SELECT %1$s AS span,
                     count(*) || ':' || sum(hash_record_extended(ROW(%2$s, t.epoch, t.version), 0)) AS digest
                FROM %3$s t WHERE t.shard = ANY ($1) AND %4$s GROUP BY 1) d $q$,
      sharded.span, control.key_columns(sharded.table_id, 't.%I', ', '), sharded.table_id::regclass, sharded.is_recent)
      INTO spans USING shards, since;
    answer := answer || jsonb_build_object(sharded.table_name, spans);
  END LOOP;
  RETURN answer;
END $$;

-- What `import_healed` takes. With `known`, what `recent_digests` says there: the spans that differ. Without: all that is
-- recent; what only the other side has then stays there. 20,000 rows per table at most, else it is no quick healing.
CREATE FUNCTION control.export_recent(shards integer[], since timestamptz, known jsonb DEFAULT NULL) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  mine CONSTANT jsonb := CASE WHEN known IS NOT NULL THEN control.recent_digests(shards, since) END;
  sharded record;
  spans jsonb := '{}';
  differing bigint[];
  found jsonb;
  answer jsonb := '{}';
BEGIN
  FOR sharded IN SELECT s.table_id, s.table_name, r.span, r.is_recent
                   FROM control.sharded_table s CROSS JOIN LATERAL control.recent_rule(s.table_id) r LOOP
    differing := CASE WHEN known IS NOT NULL THEN ARRAY(
      SELECT k.span::bigint
        FROM (SELECT jsonb_object_keys(coalesce(known->sharded.table_name, '{}')) UNION
              SELECT jsonb_object_keys(mine->sharded.table_name)) k (span)
       WHERE known->sharded.table_name->>k.span IS DISTINCT FROM mine->sharded.table_name->>k.span) END;
    spans := spans || jsonb_build_object(sharded.table_name, differing);
    EXECUTE format($q$
      SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]')
        FROM (SELECT t.* FROM %1$s t
               WHERE t.shard = ANY ($1) AND %2$s AND ($3 IS NULL OR %3$s = ANY ($3)) LIMIT 20001) t $q$,
      sharded.table_id::regclass, sharded.is_recent, sharded.span)
      INTO found USING shards, since, differing;
    IF jsonb_array_length(found) > 20000 THEN
      RAISE EXCEPTION 'table % has too many recent rows for a quick healing', sharded.table_name USING ERRCODE = 'BR503';
    END IF;
    answer := answer || jsonb_build_object(sharded.table_name, found);
  END LOOP;
  -- Orders are placed once and change often: those that recent events tell of.
  answer := jsonb_set(answer, '{orders}', (answer->'orders') || (
    SELECT coalesce(jsonb_agg(to_jsonb(o)), '[]') FROM public.orders o
     WHERE o.id IN (SELECT (e->>'order_id')::uuid FROM jsonb_array_elements(answer->'order_events') e)
       AND o.id NOT IN (SELECT (r->>'id')::uuid FROM jsonb_array_elements(answer->'orders') r)));
  RETURN jsonb_build_object('from', (SELECT z.id FROM control.zone z), 'since', since, 'shards', to_jsonb(shards),
                            'spans', spans, 'rows', answer);
END $$;

-- Takes in what `export_recent` of the heir said, before the heir is installed or after. Answers with how many rows came or
-- went. Of a span that was exported whole, what only this zone has is a tail, and becomes a receipt.
CREATE FUNCTION control.import_healed(given_number bigint, given_coordinator text, recent jsonb) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  from_zone CONSTANT text := recent->>'from';
  shards CONSTANT integer[] := ARRAY(SELECT s::integer FROM jsonb_array_elements_text(recent->'shards') s);
  sharded record;
  rows jsonb;
  absent jsonb;
  total bigint := 0;
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  FOR sharded IN SELECT s.table_id, s.table_name, r.span, r.is_recent
                   FROM control.sharded_table s CROSS JOIN LATERAL control.recent_rule(s.table_id) r LOOP
    rows := coalesce(recent->'rows'->sharded.table_name, '[]');
    EXECUTE format($q$
      SELECT coalesce(jsonb_agg(jsonb_build_object('shard', t.shard, %1$s)), '[]')
        FROM %2$s t
       WHERE t.shard = ANY ($1) AND %3$s AND %4$s = ANY ($3)
         AND NOT EXISTS (SELECT FROM jsonb_populate_recordset(NULL::%2$s, $4) r WHERE %5$s) $q$,
      control.key_columns(sharded.table_id, '%1$L, t.%1$I', ', '), sharded.table_id::regclass,
      sharded.is_recent, sharded.span, control.key_columns(sharded.table_id, 't.%1$I = r.%1$I', ' AND '))
      INTO absent
      USING shards, (recent->>'since')::timestamptz,
            ARRAY(SELECT n::bigint FROM jsonb_array_elements_text(
                    CASE jsonb_typeof(recent->'spans'->sharded.table_name) WHEN 'array'
                    THEN recent->'spans'->sharded.table_name ELSE '[]' END) n),
            rows;
    CONTINUE WHEN rows = '[]' AND absent = '[]';
    total := total + (
      SELECT h.taken + h.receipts
        FROM control.heal_rows(from_zone, sharded.table_name, shards,
          ARRAY(SELECT coalesce((SELECT CASE WHEN o.owner = from_zone THEN o.epoch ELSE o.epoch + 1 END
                                   FROM control.ownership o WHERE o.shard = n.shard), 1)
                  FROM unnest(shards) WITH ORDINALITY AS n (shard, place) ORDER BY n.place), rows, absent) h);
  END LOOP;
  RETURN total;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA control FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  control.is_healed(integer, bigint),
  control.recent_digests(integer[], timestamptz),
  control.export_recent(integer[], timestamptz, jsonb),
  control.import_healed(bigint, text, jsonb)
  TO borough_control;
