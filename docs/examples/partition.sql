-- Partition the tables of an empty store by tract: `psql DATABASE -f partition.sql`.
-- Open the store once, so that its tables are there; then run this before anything is committed.
-- For a store in a schema of its own, put `SET search_path = agents;` first.
DO $$
DECLARE
    partitions CONSTANT integer := 8;
    field text;
    named text;
    used boolean;
BEGIN
    FOR named, field IN VALUES
        ('tracts', 'tract_id'), ('commits', 'tract_id'), ('refs', 'tract_id'), ('runs', 'tract_id'),
        ('origins', 'tract_id'), ('usage', 'tract_id'), ('spool', 'tract_id'),
        ('attachments', 'tract_id'), ('keys', 'tract_id'),
        ('blobs', 'content_hash'), ('attachment_uses', 'content_hash')
    LOOP
        EXECUTE format('LOCK TABLE %I', named);
        EXECUTE format('SELECT EXISTS (SELECT FROM %I)', named) INTO used;
        IF used THEN
            RAISE EXCEPTION 'table % has rows: partition an empty store, and copy into it', named;
        END IF;
        EXECUTE format(
            'CREATE TABLE partitioned (LIKE %I INCLUDING ALL) PARTITION BY HASH (%I)', named, field
        );
        EXECUTE format('DROP TABLE %I', named);
        EXECUTE format('ALTER TABLE partitioned RENAME TO %I', named);
        FOR remainder IN 0..partitions - 1 LOOP
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)%s',
                named || '_' || remainder, named, partitions, remainder,
                CASE WHEN named IN ('tracts', 'refs') THEN ' WITH (fillfactor = 50)' ELSE '' END
            );
        END LOOP;
    END LOOP;
END
$$;
