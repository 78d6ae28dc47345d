-- Orders that were in process when their shard changed hands without its owner are held: nobody changes them until every
-- router knows the new owner, or, where the loss of writes was declared, until somebody has looked at each (SPEC.md M8).
-- One row holds all such orders of a shard: those whose row is of an epoch before the hold's. What is placed afterwards is
-- not held. Holds are rows like any other, so they move on with the shard.

CREATE TABLE shard_holds (
  shard integer NOT NULL,
  -- The epoch that the failover installed.
  held_epoch bigint NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  reason text NOT NULL CHECK (reason IN ('failover', 'declared-loss')),
  move_id text NOT NULL,
  since timestamptz NOT NULL,
  released_at timestamptz,
  PRIMARY KEY (shard, held_epoch)
);
SELECT control.shard_table('shard_holds');

-- Orders somebody has looked at after a declared loss.
CREATE TABLE order_releases (
  order_id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  -- Released from the holds of epochs up to this one.
  held_epoch bigint NOT NULL,
  actor text NOT NULL,
  reason text NOT NULL,
  released_at timestamptz NOT NULL,
  CONSTRAINT order_releases_in_shard_of_order CHECK (
    (((get_byte(uuid_send(order_id), 6) & 15) << 8) | get_byte(uuid_send(order_id), 7)) = shard
  )
);
SELECT control.shard_table('order_releases');

-- Written by the control functions below and by nobody else.
REVOKE INSERT, UPDATE ON shard_holds, order_releases FROM borough_api;

-- What holds an order, as its view shows it: {reason, since}; null when it is free. The hold that lasts longest comes first.
CREATE FUNCTION order_hold(order_id uuid, order_shard integer, order_epoch bigint, order_status text) RETURNS jsonb
LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object(
           'reason', h.reason, 'since', to_char(h.since AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))
    FROM public.shard_holds h
   WHERE h.shard = order_shard AND h.released_at IS NULL AND h.held_epoch > order_epoch
     AND order_status NOT IN ('delivered', 'cancelled')
     AND NOT (h.reason = 'declared-loss'
              AND EXISTS (SELECT FROM public.order_releases r
                           WHERE r.order_id = order_hold.order_id AND r.held_epoch >= h.held_epoch))
   ORDER BY h.reason = 'declared-loss' DESC, h.held_epoch DESC
   LIMIT 1
$$;

-- serve_ownership at the heir of a failover: with the shard's hold, in one transaction, so that no order changes before it.
-- Repeating it changes nothing; a hold that was released stays so.
-- Where the table still waits for a zone to replicate it (an upgrade), serving matters more than holding, unless somebody
-- declared a loss: then each order must be looked at.
CREATE FUNCTION control.serve_ownership_held(
  given_number bigint, given_coordinator text, served_shard integer, served_epoch bigint, served_owner text,
  for_move text, for_reason text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.serve_ownership(given_number, given_coordinator, served_shard, served_epoch, served_owner);
  IF served_owner <> (SELECT z.id FROM control.zone z) THEN RETURN; END IF;
  IF EXISTS (SELECT FROM control.closed_table c WHERE c.table_name = 'shard_holds') THEN
    IF for_reason = 'declared-loss' THEN
      RAISE EXCEPTION 'shard % cannot be held: its table is closed', served_shard USING ERRCODE = 'BR503';
    END IF;
    RAISE WARNING 'shard % is served without a hold: its table is closed', served_shard;
    RETURN;
  END IF;
  INSERT INTO public.shard_holds (shard, held_epoch, epoch, reason, move_id, since)
  VALUES (served_shard, served_epoch, served_epoch, for_reason, for_move, clock_timestamp())
  ON CONFLICT (shard, held_epoch) DO NOTHING;
END $$;

-- Ends the holds of a failover in the shards this zone owns, and earlier ones of its shards that nobody came to end: every
-- router knows the later epoch. What was declared lost stays held, whichever move this is.
-- Answers with how many of this move's holds stand here still: in shards that another zone owns by now.
CREATE FUNCTION control.release_holds(given_number bigint, given_coordinator text, for_move text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  PERFORM set_config('lock_timeout', '300ms', true);
  UPDATE public.shard_holds h SET released_at = clock_timestamp(), epoch = o.epoch
    FROM control.ownership o
   WHERE o.shard = h.shard AND o.state = 'serving' AND o.owner = (SELECT z.id FROM control.zone z)
     AND h.released_at IS NULL AND h.reason = 'failover'
     AND EXISTS (SELECT FROM public.shard_holds m
                  WHERE m.shard = h.shard AND m.move_id = for_move AND m.held_epoch >= h.held_epoch);
  RETURN (SELECT count(*) FROM public.shard_holds h
           WHERE h.move_id = for_move AND h.reason = 'failover' AND h.released_at IS NULL);
END $$;

-- Somebody has looked at an order after a declared loss: it may be changed again. Asked of the zone that owns its shard.
-- Answers whether it was held so; a hold of a failover that still runs is not ended by this.
CREATE FUNCTION control.release_order(
  given_number bigint, given_coordinator text, released_order uuid, by_actor text, for_reason text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  its public.orders%ROWTYPE;
  current_epoch bigint;
  last_hold bigint;
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  PERFORM set_config('lock_timeout', '300ms', true);
  SELECT o.* INTO its FROM public.orders o WHERE o.id = released_order;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no order %', released_order USING ERRCODE = 'BR404';
  END IF;
  current_epoch := control.begin_write(its.shard);
  SELECT max(h.held_epoch) INTO last_hold FROM public.shard_holds h
   WHERE h.shard = its.shard AND h.reason = 'declared-loss' AND h.released_at IS NULL;
  IF public.order_hold(its.id, its.shard, its.epoch, its.status)->>'reason' IS DISTINCT FROM 'declared-loss' THEN
    RETURN false;
  END IF;
  INSERT INTO public.order_releases AS r (order_id, shard, epoch, held_epoch, actor, reason, released_at)
  VALUES (its.id, its.shard, current_epoch, last_hold, by_actor, for_reason, clock_timestamp())
  ON CONFLICT (order_id) DO UPDATE
    SET epoch = excluded.epoch, held_epoch = excluded.held_epoch, actor = excluded.actor, reason = excluded.reason,
        released_at = excluded.released_at;
  RETURN true;
END $$;

-- Held orders of the shards this zone owns, the longest held first: {total, orders: [{orderId (UUID), shard,
-- status, placedAt, reason, since}]}, `up_to` orders at most.
CREATE FUNCTION control.held_orders(up_to integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH held AS (
    SELECT o.id, o.shard, o.status::text AS status, o.placed_at, x.hold
      FROM public.orders o
     CROSS JOIN LATERAL (SELECT public.order_hold(o.id, o.shard, o.epoch, o.status) AS hold) x
     WHERE o.shard = ANY (ARRAY(
             SELECT h.shard FROM public.shard_holds h
               JOIN control.ownership w ON w.shard = h.shard AND w.owner = (SELECT z.id FROM control.zone z)
              WHERE h.released_at IS NULL))
       AND o.status NOT IN ('delivered', 'cancelled')
       AND x.hold IS NOT NULL
  ), shown AS (
    SELECT h.* FROM held h ORDER BY h.hold->>'since', h.id LIMIT up_to
  )
  SELECT jsonb_build_object(
    'total', (SELECT count(*) FROM held),
    'orders', (SELECT coalesce(jsonb_agg(jsonb_build_object(
        'orderId', s.id, 'shard', s.shard, 'status', s.status, 'placedAt', s.placed_at, 'reason', s.hold->>'reason',
        'since', s.hold->>'since') ORDER BY s.hold->>'since', s.id), '[]') FROM shown s)
  )
$$;

-- As in 0004-order-changes.sql, and one outcome more:
--   'held'      the order is held: with {reason, since} as the answer, and the status it has. Nothing is stored.
-- A replay is answered all the same: what it tells of was done before.
CREATE OR REPLACE FUNCTION change_orders(changed_shard integer, changes jsonb)
RETURNS TABLE (place bigint, outcome text, fingerprint text, status integer, answer text, held text)
LANGUAGE plpgsql AS $$
DECLARE
  current_epoch CONSTANT bigint := control.begin_write(changed_shard);
  locked uuid[];
  replayed bigint[];
  settled bigint[] := '{}';
  turns bigint;
  has_holds boolean;
  line record;
BEGIN
  -- In the order of the ids: two batches with the same orders then wait for each other in one direction only. Whoever
  -- changes an order holds it until every in-sync zone has the change, so what is read below is not given out too early.
  SELECT array_agg(l.id) INTO locked
    FROM (SELECT o.id FROM public.orders o
           WHERE o.id = ANY (ARRAY(SELECT (c->>'orderId')::uuid FROM jsonb_array_elements(changes) c))
             AND o.shard = changed_shard
           ORDER BY o.id FOR NO KEY UPDATE) l;

  -- LIMIT 1 keeps this a look into the index per change: a session's plan from when the table was empty would otherwise
  -- read all keys of the shard.
  SELECT coalesce(array_agg(c.n), '{}') INTO replayed
    FROM jsonb_array_elements(changes) WITH ORDINALITY AS c (change, n)
   CROSS JOIN LATERAL (
     SELECT FROM public.idempotency_keys k
      WHERE k.shard = changed_shard AND k.route = c.change->>'route' AND k.caller = c.change->>'caller'
        AND k.key = c.change->>'key'
      LIMIT 1) known;

  SELECT coalesce(max(o.asked), 0) INTO turns
    FROM (SELECT count(*) AS asked
            FROM jsonb_array_elements(changes) WITH ORDINALITY AS c (change, n)
           WHERE c.n <> ALL (replayed)
           GROUP BY c.change->>'orderId') o;

  has_holds := EXISTS (SELECT FROM public.shard_holds h WHERE h.shard = changed_shard AND h.released_at IS NULL);

  FOR turn IN 1..turns LOOP
    FOR line IN
      WITH asked AS (
        SELECT c.n, c.change, (c.change->>'orderId')::uuid AS order_id,
               row_number() OVER (PARTITION BY c.change->>'orderId' ORDER BY c.n) AS nth
          FROM jsonb_array_elements(changes) WITH ORDINALITY AS c (change, n)
         WHERE c.n <> ALL (replayed)
      ), found AS MATERIALIZED (
        SELECT a.n, a.change, a.order_id, o.status::text AS held, o.version + 1 AS next_version, e.after AS before,
               CASE WHEN has_holds THEN public.order_hold(o.id, o.shard, o.epoch, o.status) END AS hold
          FROM asked a
          LEFT JOIN public.orders o ON o.id = a.order_id AND o.id = ANY (locked)
          LEFT JOIN public.order_events e ON e.order_id = o.id AND e.order_version = o.version
         WHERE a.nth = turn
      ), due AS MATERIALIZED (
        SELECT f.*, CASE WHEN f.hold IS NULL THEN f.change->'steps'->>f.held END AS next_status FROM found f
      ), claimed AS (
        INSERT INTO public.idempotency_keys AS k (shard, route, caller, key, epoch, fingerprint, status, answer, created_at)
        SELECT changed_shard, d.change->>'route', d.change->>'caller', d.change->>'key', current_epoch,
               decode(d.change->>'fingerprint', 'hex'), (d.change->>'status')::integer,
               (d.before || jsonb_build_object('status', d.next_status, 'version', d.next_version))::text, now()
          FROM due d
         WHERE d.next_status IS NOT NULL
         ORDER BY 2, 3, 4
        ON CONFLICT DO NOTHING
        RETURNING k.route, k.caller, k.key, k.status, k.answer
      ), taken AS MATERIALIZED (
        SELECT d.*, c.status, c.answer
          FROM due d
          JOIN claimed c ON c.route = d.change->>'route' AND c.caller = d.change->>'caller' AND c.key = d.change->>'key'
      ), changed AS (
        UPDATE public.orders o SET status = t.next_status, epoch = current_epoch
          FROM taken t
         WHERE o.id = t.order_id
      ), told AS (
        INSERT INTO public.order_events (id, shard, epoch, order_id, order_version, kind, before, after, actor, reason,
                                         occurred_at)
        SELECT (t.change->'event'->>'id')::uuid, changed_shard, current_epoch, t.order_id, t.next_version,
               t.change->'event'->>'kind', t.before, t.answer::jsonb, t.change->'event'->>'actor',
               t.change->'event'->>'reason', (t.change->'event'->>'occurredAt')::timestamptz
          FROM taken t
      )
      SELECT d.n, d.held, t.status, coalesce(d.hold::text, t.answer) AS answer,
             CASE WHEN d.hold IS NOT NULL THEN 'held' WHEN d.next_status IS NULL THEN 'refused' ELSE 'done' END AS outcome
        FROM due d LEFT JOIN taken t ON t.n = d.n
       WHERE d.next_status IS NULL OR t.n IS NOT NULL
    LOOP
      place := line.n;
      outcome := line.outcome;
      fingerprint := NULL;
      status := line.status;
      answer := line.answer;
      held := line.held;
      settled := settled || line.n;
      RETURN NEXT;
    END LOOP;
  END LOOP;

  -- What is left has its key's row: from before, or from another transaction that was waited for when claiming. A replay
  -- counts itself in the row, so that it too is checked by the trigger and confirmed before it is answered (T9).
  IF cardinality(settled) < jsonb_array_length(changes) THEN
    RETURN QUERY
    UPDATE public.idempotency_keys k SET replays = k.replays + 1, epoch = current_epoch
      FROM jsonb_array_elements(changes) WITH ORDINALITY AS c (change, n)
     WHERE c.n <> ALL (settled)
       AND k.shard = changed_shard AND k.route = c.change->>'route' AND k.caller = c.change->>'caller'
       AND k.key = c.change->>'key'
    RETURNING c.n, 'replayed'::text, encode(k.fingerprint, 'hex'), k.status, k.answer, NULL::text;
  END IF;
END $$;

-- Not of all functions: others have been given to everybody.
REVOKE EXECUTE ON FUNCTION
  order_hold(uuid, integer, bigint, text),
  control.serve_ownership_held(bigint, text, integer, bigint, text, text, text),
  control.release_holds(bigint, text, text),
  control.release_order(bigint, text, uuid, text, text),
  control.held_orders(integer)
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION order_hold(uuid, integer, bigint, text) TO borough_api, borough_audit;
GRANT EXECUTE ON FUNCTION
  control.serve_ownership_held(bigint, text, integer, bigint, text, text, text),
  control.release_holds(bigint, text, text),
  control.release_order(bigint, text, uuid, text, text),
  control.held_orders(integer)
  TO borough_control;
