-- Orders take steps: a change writes the order, its event and its idempotency key together, many changes in one commit.

-- Why the one who asked for it wanted it; null where nothing was said.
ALTER TABLE order_events ADD COLUMN reason text;

-- A batch of order changes of one shard as one statement, beside `write_batch`, which only makes new rows.
--
-- `changes` is an array of {route, caller, key, fingerprint (hexadecimal), status, orderId, steps: {status before: status
-- after}, event: {id, kind, actor, reason, occurredAt}}, no two with the same key. Which steps there are is the caller's rule;
-- from which status one starts is read here, on the locked row, in the transaction that takes it.
-- Answers with one line per change, by its place from 1:
--   'done'      with the answer that was stored under the key
--   'replayed'  the key has its row already: with what is stored there
--   'refused'   the order takes no such step: with the status it has, null when it is not there. Nothing is stored.
--
-- Two changes of one order take turns, in the order they stand in the array. What an order looked like before is read
-- from its newest event, whose `after` is the view that was given out: one event per version of an order.
CREATE FUNCTION change_orders(changed_shard integer, changes jsonb)
RETURNS TABLE (place bigint, outcome text, fingerprint text, status integer, answer text, held text)
LANGUAGE plpgsql AS $$
DECLARE
  current_epoch CONSTANT bigint := control.begin_write(changed_shard);
  locked uuid[];
  replayed bigint[];
  settled bigint[] := '{}';
  turns bigint;
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

  FOR turn IN 1..turns LOOP
    FOR line IN
      WITH asked AS (
        SELECT c.n, c.change, (c.change->>'orderId')::uuid AS order_id,
               row_number() OVER (PARTITION BY c.change->>'orderId' ORDER BY c.n) AS nth
          FROM jsonb_array_elements(changes) WITH ORDINALITY AS c (change, n)
         WHERE c.n <> ALL (replayed)
      ), due AS MATERIALIZED (
        SELECT a.n, a.change, a.order_id, o.status::text AS held, a.change->'steps'->>(o.status::text) AS next_status,
               o.version + 1 AS next_version, e.after AS before
          FROM asked a
          LEFT JOIN public.orders o ON o.id = a.order_id AND o.id = ANY (locked)
          LEFT JOIN public.order_events e ON e.order_id = o.id AND e.order_version = o.version
         WHERE a.nth = turn
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
      SELECT d.n, CASE WHEN d.next_status IS NULL THEN 'refused' ELSE 'done' END AS outcome, t.status, t.answer, d.held
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
REVOKE EXECUTE ON FUNCTION change_orders(integer, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION change_orders(integer, jsonb) TO borough_api;
