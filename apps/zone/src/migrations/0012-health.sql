-- How the changes of zones come in and go out, for `borough status` and metrics, and what a link that lost changes takes back.

-- As this zone sees it, towards each of these zones: what comes in (`incoming`, where it is the subscriber) and what goes out
-- (`outgoing`, where it is the publisher). Counters are since the server's statistics of that subscription began.
-- Columns that only newer servers have are read out of the row as jsonb: confl_* (18), invalidation_reason (17).
CREATE FUNCTION control.link_health(zones text[]) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object(
    'zone', own.id,
    'incoming', (
      SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'from', z,
               'isSubscribed', s.oid IS NOT NULL,
               'isEnabled', coalesce(s.subenabled, false),
               'hasWorker', w.pid IS NOT NULL,
               'heardMsAgo', extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time) * 1000,
               'position', CASE WHEN s.oid IS NOT NULL THEN
                             coalesce(pg_replication_origin_progress('pg_' || s.oid, true), '0/0') - '0/0'::pg_lsn END,
               'beatAgeMs', greatest(0, extract(epoch FROM clock_timestamp() - control.last_beat_of(z)) * 1000),
               'applyErrors', coalesce(t.apply_error_count + t.sync_error_count, 0),
               'conflicts', (SELECT coalesce(jsonb_object_agg(substr(c.key, 7), c.value::bigint), '{}')
                               FROM jsonb_each_text(to_jsonb(t)) c WHERE c.key LIKE 'confl\_%'),
               'isSealed', EXISTS (SELECT FROM control.seal x WHERE x.zone = z)
             )) ORDER BY z), '[]')
        FROM unnest(zones) z
        LEFT JOIN pg_subscription s ON s.subname = control.link_from(z)
              AND s.subdbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
        LEFT JOIN pg_stat_subscription w ON w.subid = s.oid AND w.relid IS NULL AND w.leader_pid IS NULL
        LEFT JOIN pg_stat_subscription_stats t ON t.subid = s.oid
       WHERE z <> own.id),
    'outgoing', (
      SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
               'to', z,
               'hasSlot', p.slot_name IS NOT NULL,
               'isActive', coalesce(p.active, false),
               -- Commits here wait for it.
               'isCounted', current_setting('synchronous_standby_names') ~ ('[( ]' || control.link_to(z) || '[,)]'),
               'isLost', coalesce(p.wal_status = 'lost' OR to_jsonb(p)->>'invalidation_reason' IS NOT NULL, false),
               'lostBecause', to_jsonb(p)->>'invalidation_reason',
               'lagBytes', greatest(0, pg_current_wal_flush_lsn() - p.confirmed_flush_lsn),
               'logLeftBytes', greatest(0, p.safe_wal_size)
             )) ORDER BY z), '[]')
        FROM unnest(zones) z
        LEFT JOIN pg_replication_slots p ON p.slot_name = control.link_to(z) AND p.database = current_database()
       WHERE z <> own.id),
    -- Of its log this zone keeps so much for a link; null: all of it.
    'keptLogBytes', (SELECT CASE WHEN g.setting::bigint >= 0 THEN g.setting::bigint * 1024 * 1024 END
                       FROM pg_settings g WHERE g.name = 'max_slot_wal_keep_size'),
    -- How long the oldest commit that waits for members has waited.
    'commitsWaitMs', (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - a.query_start) * 1000), 0)
                        FROM pg_stat_activity a WHERE a.wait_event = 'SyncRep')
  )
  FROM control.zone own
$$;

-- Changes of this zone were lost on their way here: of no shard it owns can this zone say any more that it has all rows.
-- They are healed again, from the owner.
CREATE FUNCTION control.forget_healed(owner_zone text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('synchronous_commit', 'local', true);
  DELETE FROM control.healed h USING control.ownership o WHERE o.shard = h.shard AND o.owner = owner_zone;
END $$;

REVOKE EXECUTE ON FUNCTION control.link_health(text[]), control.forget_healed(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION control.link_health(text[]) TO borough_control;
