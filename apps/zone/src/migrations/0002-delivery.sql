-- Stores, couriers, orders and what makes them safe to repeat. Every table is sharded: it carries shard, epoch (of the
-- ownership that wrote the row) and version (+1 per change), and lives in every zone.
-- No foreign keys: rows are never removed, each write reads its store first, and a key share lock on a busy store's row
-- would be taken by every order. The checks keep a row and what it points to in one shard.

CREATE TABLE stores (
  id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  name text NOT NULL,
  latitude double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
  longitude double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
  created_at timestamptz NOT NULL,
  CONSTRAINT stores_id_carries_shard CHECK (control.shard_of(id) = shard)
);
SELECT control.shard_table('stores');

CREATE TABLE couriers (
  id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  name text NOT NULL,
  vehicle text NOT NULL CHECK (vehicle IN ('walking', 'bicycle', 'motorcycle', 'car')),
  latitude double precision NOT NULL CHECK (latitude BETWEEN -90 AND 90),
  longitude double precision NOT NULL CHECK (longitude BETWEEN -180 AND 180),
  created_at timestamptz NOT NULL,
  CONSTRAINT couriers_id_carries_shard CHECK (control.shard_of(id) = shard)
);
SELECT control.shard_table('couriers');

CREATE TABLE orders (
  id uuid PRIMARY KEY,
  shard integer NOT NULL,
  epoch bigint NOT NULL,
  version bigint NOT NULL DEFAULT 1,
  store_id uuid NOT NULL,
  customer_id uuid NOT NULL,
  status text NOT NULL CHECK (status IN ('placed', 'accepted', 'assigned', 'picked-up', 'delivered', 'cancelled')),
  items jsonb NOT NULL,
  drop_off_latitude double precision NOT NULL CHECK (drop_off_latitude BETWEEN -90 AND 90),
  drop_off_longitude double precision NOT NULL CHECK (drop_off_longitude BETWEEN -180 AND 180),
  note text,
  ready_at timestamptz,
  expected_drop_off_at timestamptz,
  placed_at timestamptz NOT NULL,
  CONSTRAINT orders_id_carries_shard CHECK (control.shard_of(id) = shard),
  CONSTRAINT orders_in_shard_of_store CHECK (control.shard_of(store_id) = shard)
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
  CONSTRAINT order_events_id_carries_shard CHECK (control.shard_of(id) = shard),
  CONSTRAINT order_events_in_shard_of_order CHECK (control.shard_of(order_id) = shard),
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
