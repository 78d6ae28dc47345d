-- What ops people ask a zone about receipts: rows that a deposed owner had written and nobody was told of (0007-healing.sql).

-- For going through them from the newest; and those of one table or shard.
CREATE INDEX receipt_by_table ON control.receipt (table_name, id);
CREATE INDEX receipt_by_shard ON control.receipt (shard, id);

-- The newest `up_to` receipts kept here with an id below `before`, of one table and of one shard where these are not null:
-- [{id, table, key, shard, epoch, version, foundAt, foundBy, isReplaced}]. Not what stood in the rows.
CREATE FUNCTION control.receipts(of_table text, of_shard integer, before bigint, up_to integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object(
           'id', r.id, 'table', r.table_name, 'key', r.row_key, 'shard', r.shard, 'epoch', r.epoch, 'version', r.version,
           'foundAt', to_char(r.found_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'foundBy', r.found_by,
           'isReplaced', r.is_replaced) ORDER BY r.id DESC), '[]')
    FROM (SELECT c.id, c.table_name, c.row_key, c.shard, c.epoch, c.version, c.found_at, c.found_by,
                 c.replaced_by IS NOT NULL AS is_replaced
            FROM control.receipt c
           WHERE (of_table IS NULL OR c.table_name = of_table) AND (of_shard IS NULL OR c.shard = of_shard)
             AND (before IS NULL OR c.id < before)
           ORDER BY c.id DESC LIMIT up_to) r
$$;

-- One receipt, with the row as it stood and the row that took its place (null where the owner has none); null where there
-- is no such receipt.
CREATE FUNCTION control.receipt_of(receipt_id bigint) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
           'id', r.id, 'table', r.table_name, 'key', r.row_key, 'shard', r.shard, 'epoch', r.epoch, 'version', r.version,
           'foundAt', to_char(r.found_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'), 'foundBy', r.found_by,
           'document', r.document, 'replacedBy', r.replaced_by)
    FROM control.receipt r WHERE r.id = receipt_id
$$;

REVOKE EXECUTE ON FUNCTION
  control.receipts(text, integer, bigint, integer),
  control.receipt_of(bigint)
  FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
  control.receipts(text, integer, bigint, integer),
  control.receipt_of(bigint)
  TO borough_control;
