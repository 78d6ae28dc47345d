-- Audits: this zone compares what it holds of other zones' shards with their owners (replication/audit). One table per zone,
-- replicated nowhere: a coordinator asks each zone for its part, under one id, and puts the parts together when it is asked.

CREATE TABLE control.audit (
  id uuid PRIMARY KEY,
  -- {tables?: [text], zones?: [text], since?: instant, heal: boolean}
  request jsonb NOT NULL,
  requested_by text NOT NULL,
  requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'running', 'ended')),
  is_cancelled boolean NOT NULL DEFAULT false,
  -- {owner, table, rowsCompared} while it runs.
  progress jsonb,
  -- {pairs: [{owner, copy, rowsCompared, rowsRead, differing: [...], undecided, isComplete, taken, receipts, problem?}]}
  result jsonb,
  ended_at timestamptz
);
CREATE INDEX audit_requested ON control.audit (requested_at DESC);
GRANT SELECT ON control.audit TO borough_audit;

-- What this zone takes over from others just now: after its disk was lost, or on its way back.
CREATE TABLE control.healing_progress (
  from_zone text PRIMARY KEY,
  rows_done bigint NOT NULL,
  rows_total bigint NOT NULL,
  taken bigint NOT NULL,
  receipts bigint NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
GRANT SELECT ON control.healing_progress TO borough_audit;

-- Asks for an audit; again by the same id changes nothing. The last 50 are kept.
CREATE FUNCTION control.request_audit(
  given_number bigint, given_coordinator text, audit_id uuid, its_request jsonb, by_whom text
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  INSERT INTO control.audit (id, request, requested_by) VALUES (audit_id, its_request, by_whom) ON CONFLICT DO NOTHING;
  DELETE FROM control.audit a
   WHERE a.state = 'ended' AND a.id NOT IN (SELECT k.id FROM control.audit k ORDER BY k.requested_at DESC LIMIT 50);
END $$;

-- It ends at the next range of rows, with what it has found so far.
CREATE FUNCTION control.cancel_audit(given_number bigint, given_coordinator text, audit_id uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM control.require_term(given_number, given_coordinator);
  UPDATE control.audit a SET is_cancelled = true WHERE a.id = audit_id AND a.state <> 'ended';
END $$;

CREATE FUNCTION control.audit_document(a control.audit) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
    'auditId', a.id, 'zone', (SELECT z.id FROM control.zone z), 'state', a.state, 'request', a.request,
    'requestedBy', a.requested_by, 'requestedAt', a.requested_at, 'isCancelled', a.is_cancelled, 'progress', a.progress,
    'result', a.result, 'endedAt', a.ended_at))
$$;

-- The newest first.
CREATE FUNCTION control.audits(up_to integer) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_agg(control.audit_document(a) ORDER BY a.requested_at DESC), '[]')
    FROM (SELECT * FROM control.audit ORDER BY requested_at DESC LIMIT up_to) a
$$;

-- Null where this zone has no part in it.
CREATE FUNCTION control.audit_of(audit_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT control.audit_document(a) FROM control.audit a WHERE a.id = audit_id
$$;

-- For the status page: {lastAudit?, healing}. The last audit is the last one of everything: one that was asked for some tables
-- or zones, or was cancelled, says nothing of the rest.
CREATE FUNCTION control.zone_work() RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
    'lastAudit', (
      SELECT jsonb_build_object(
               'auditId', a.id, 'endedAt', to_char(a.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
               'ageMs', greatest(0, extract(epoch FROM clock_timestamp() - a.ended_at) * 1000),
               'rowsCompared', coalesce(sum((p->>'rowsCompared')::bigint), 0),
               'differing', coalesce(sum(jsonb_array_length(p->'differing')), 0),
               'undecided', coalesce(sum((p->>'undecided')::bigint), 0),
               'problem', string_agg(p->>'problem', '; '))
        FROM (SELECT * FROM control.audit b
               WHERE b.state = 'ended' AND NOT b.is_cancelled
                 AND NOT b.request ?| ARRAY['tables', 'zones', 'since']
               ORDER BY b.ended_at DESC LIMIT 1) a
        LEFT JOIN LATERAL jsonb_array_elements(a.result->'pairs') p ON true
       GROUP BY a.id, a.ended_at),
    'healing', (
      SELECT coalesce(jsonb_agg(jsonb_build_object(
               'from', h.from_zone, 'rowsDone', h.rows_done, 'rowsTotal', h.rows_total, 'taken', h.taken,
               'receipts', h.receipts) ORDER BY h.from_zone), '[]')
        FROM control.healing_progress h)
  ))
$$;

REVOKE EXECUTE ON FUNCTION control.request_audit(bigint, text, uuid, jsonb, text), control.cancel_audit(bigint, text, uuid),
  control.audit_document(control.audit), control.audits(integer), control.audit_of(uuid), control.zone_work() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION control.request_audit(bigint, text, uuid, jsonb, text), control.cancel_audit(bigint, text, uuid),
  control.audits(integer), control.audit_of(uuid), control.zone_work() TO borough_control;
