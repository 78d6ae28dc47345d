-- Stores, couriers, orders and what makes them safe to repeat. Every table is sharded: it carries shard, epoch (of the
-- ownership that wrote the row) and version (+1 per change), and lives in every zone.
-- No foreign keys: rows are never removed, each write reads its store first, and a key share lock on a busy store's row
-- would be taken by every order. The checks keep a row and what it points to in one shard: an id carries its shard in the
-- 12 rand_a bits of its UUIDv7 (I1). They are written out, not a function, and what one column may hold is a domain, not a
-- check: every zone evaluates these for every row it applies, and PostgreSQL reads the stored form of a check and of a
-- function's body anew each time, while it keeps those of a domain.

CREATE DOMAIN latitude AS double precision CHECK (VALUE BETWEEN -90 AND 90);
CREATE DOMAIN longitude AS double precision CHECK (VALUE BETWEEN -180 AND 180);
CREATE DOMAIN vehicle AS text CHECK (VALUE IN ('walking', 'bicycle', 'motorcycle', 'car'));
CREATE DOMAIN order_status AS text
  CHECK (VALUE IN ('placed', 'accepted', 'assigned', 'picked-up', 'delivered', 'cancelled'));

CREATE TABLE stores (
  id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  name text NOT NULL,
  latitude latitude NOT NULL,
  longitude longitude NOT NULL,
  created_at timestamptz NOT NULL,
  CONSTRAINT stores_id_carries_shard CHECK ((((get_byte(uuid_send(id), 6) & 15) << 8) | get_byte(uuid_send(id), 7)) = shard)
);
SELECT control.shard_table('stores');

CREATE TABLE couriers (
  id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  name text NOT NULL,
  vehicle vehicle NOT NULL,
  latitude latitude NOT NULL,
  longitude longitude NOT NULL,
  created_at timestamptz NOT NULL,
  CONSTRAINT couriers_id_carries_shard CHECK ((((get_byte(uuid_send(id), 6) & 15) << 8) | get_byte(uuid_send(id), 7)) = shard)
);
SELECT control.shard_table('couriers');

CREATE TABLE orders (
  id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  store_id uuid NOT NULL,
  customer_id uuid NOT NULL,
  status order_status NOT NULL,
  items jsonb NOT NULL,
  drop_off_latitude latitude NOT NULL,
  drop_off_longitude longitude NOT NULL,
  note text,
  ready_at timestamptz,
  expected_drop_off_at timestamptz,
  placed_at timestamptz NOT NULL,
  CONSTRAINT orders_in_shard_of_store CHECK (
    (((get_byte(uuid_send(id), 6) & 15) << 8) | get_byte(uuid_send(id), 7)) = shard
    AND (((get_byte(uuid_send(store_id), 6) & 15) << 8) | get_byte(uuid_send(store_id), 7)) = shard
  )
);
-- The customer's list, newest first: ids are time-ordered.
CREATE INDEX orders_of_customer ON orders (customer_id, id DESC);
SELECT control.shard_table('orders');

-- What happened to an order, append-only: one row per version of the order.
CREATE TABLE order_events (
  id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  order_id uuid NOT NULL,
  order_version bigint NOT NULL,
  kind text NOT NULL,
  before jsonb,
  after jsonb NOT NULL,
  actor text NOT NULL,
  occurred_at timestamptz NOT NULL,
  CONSTRAINT order_events_in_shard_of_order CHECK (
    (((get_byte(uuid_send(id), 6) & 15) << 8) | get_byte(uuid_send(id), 7)) = shard
    AND (((get_byte(uuid_send(order_id), 6) & 15) << 8) | get_byte(uuid_send(order_id), 7)) = shard
  ),
  CONSTRAINT order_events_once_per_version UNIQUE (order_id, order_version)
);
SELECT control.shard_table('order_events');

-- One row per effect (P10), in the transaction of the effect. The answer is kept as it was sent, byte for byte.
CREATE TABLE idempotency_keys (
  shard integer NOT NULL,
  route text NOT NULL,
  caller text NOT NULL,
  key text NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  -- SHA-256 of the request body as it was understood
  fingerprint bytea NOT NULL,
  status integer NOT NULL,
  answer text NOT NULL,
  replays integer NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (shard, route, caller, key)
);
SELECT control.shard_table('idempotency_keys');

-- A batch of writes of one shard as one statement: one round trip, plans kept by the session, one commit.
--
-- `writes` is an array of {route, caller, key, fingerprint (hexadecimal), status, answer, rows: {table: [row, …]}}, no two
-- with the same key; `tables` names the tables that occur in it. Rows carry no epoch: they get that of the ownership.
-- Answers with one line per write, by its place from 1: what is stored under its key now, and whether that is new.
--
-- A key that another transaction is writing is waited for, then replayed. A replay counts itself in the row, so that it
-- too is checked by the trigger and confirmed by every in-sync zone before it is answered (T9).
CREATE FUNCTION write_batch(written_shard integer, tables text[], writes jsonb)
RETURNS TABLE (place bigint, is_new boolean, fingerprint text, status integer, answer text)
LANGUAGE plpgsql AS $$
DECLARE
  current_epoch CONSTANT bigint := control.begin_write(written_shard);
  new_places bigint[];
BEGIN
  -- Claimed in the order of the keys: two batches with the same keys then wait for each other in one direction only.
  WITH wanted AS (
    SELECT w.n, w.write->>'route' AS route, w.write->>'caller' AS caller, w.write->>'key' AS key, w.write
      FROM jsonb_array_elements(writes) WITH ORDINALITY AS w (write, n)
  ), claimed AS (
    INSERT INTO public.idempotency_keys AS k (shard, route, caller, key, epoch, fingerprint, status, answer, created_at)
    SELECT written_shard, w.route, w.caller, w.key, current_epoch, decode(w.write->>'fingerprint', 'hex'),
           (w.write->>'status')::integer, w.write->>'answer', now()
      FROM wanted w
     ORDER BY w.route, w.caller, w.key
    ON CONFLICT DO NOTHING
    RETURNING k.route, k.caller, k.key
  )
  SELECT coalesce(array_agg(w.n), '{}') INTO new_places
    FROM wanted w JOIN claimed c ON c.route = w.route AND c.caller = w.caller AND c.key = w.key;

  IF 'stores' = ANY (tables) THEN
    INSERT INTO public.stores (id, shard, epoch, name, latitude, longitude, created_at)
    SELECT r.id, written_shard, current_epoch, r.name, r.latitude, r.longitude, r.created_at
      FROM jsonb_array_elements(writes) WITH ORDINALITY AS w (write, n)
     CROSS JOIN LATERAL jsonb_populate_recordset(NULL::public.stores, w.write->'rows'->'stores') r
     WHERE w.n = ANY (new_places);
  END IF;
  IF 'couriers' = ANY (tables) THEN
    INSERT INTO public.couriers (id, shard, epoch, name, vehicle, latitude, longitude, created_at)
    SELECT r.id, written_shard, current_epoch, r.name, r.vehicle, r.latitude, r.longitude, r.created_at
      FROM jsonb_array_elements(writes) WITH ORDINALITY AS w (write, n)
     CROSS JOIN LATERAL jsonb_populate_recordset(NULL::public.couriers, w.write->'rows'->'couriers') r
     WHERE w.n = ANY (new_places);
  END IF;
  IF 'orders' = ANY (tables) THEN
    INSERT INTO public.orders (id, shard, epoch, store_id, customer_id, status, items, drop_off_latitude,
                               drop_off_longitude, note, ready_at, expected_drop_off_at, placed_at)
    SELECT r.id, written_shard, current_epoch, r.store_id, r.customer_id, r.status, r.items, r.drop_off_latitude,
           r.drop_off_longitude, r.note, r.ready_at, r.expected_drop_off_at, r.placed_at
      FROM jsonb_array_elements(writes) WITH ORDINALITY AS w (write, n)
     CROSS JOIN LATERAL jsonb_populate_recordset(NULL::public.orders, w.write->'rows'->'orders') r
     WHERE w.n = ANY (new_places);
  END IF;
  IF 'order_events' = ANY (tables) THEN
    INSERT INTO public.order_events (id, shard, epoch, order_id, order_version, kind, before, after, actor, occurred_at)
    SELECT r.id, written_shard, current_epoch, r.order_id, r.order_version, r.kind, r.before, r.after, r.actor,
           r.occurred_at
      FROM jsonb_array_elements(writes) WITH ORDINALITY AS w (write, n)
     CROSS JOIN LATERAL jsonb_populate_recordset(NULL::public.order_events, w.write->'rows'->'order_events') r
     WHERE w.n = ANY (new_places);
  END IF;

  IF cardinality(new_places) < jsonb_array_length(writes) THEN
    RETURN QUERY
    UPDATE public.idempotency_keys k SET replays = k.replays + 1, epoch = current_epoch
      FROM jsonb_array_elements(writes) WITH ORDINALITY AS w (write, n)
     WHERE w.n <> ALL (new_places)
       AND k.shard = written_shard AND k.route = w.write->>'route' AND k.caller = w.write->>'caller'
       AND k.key = w.write->>'key'
    RETURNING w.n, false, encode(k.fingerprint, 'hex'), k.status, k.answer;
  END IF;
  RETURN QUERY SELECT p, true, NULL::text, NULL::integer, NULL::text FROM unnest(new_places) p;
END $$;
REVOKE EXECUTE ON FUNCTION write_batch(integer, text[], jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION write_batch(integer, text[], jsonb) TO borough_api;
