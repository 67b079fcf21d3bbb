-- The trigger function of one table: what a statement did to its rows, into the outbox.
--
-- Filled in by definitions.py; words between @ are its blanks. Called once per statement, with
-- the rows before and after it as the tables old_rows and new_rows.
--
-- It must never fail, for then the statement would. So columns are not named as those of the
-- table, which a migration may drop or rename before this function is made anew: "gone" offers
-- each of them in an outer scope. Where the table has it no more, its value is {}, which no
-- field spells, and the relay takes the whole model for changed.
#variable_conflict use_column
DECLARE
    _mark text := '@mark_head@' || pg_backend_pid() || '@mark_tail@';
    _count integer := 1;
    _rows jsonb;
BEGIN
    -- @why_skip@
    IF @skip@ THEN
        RETURN NULL;
    END IF;

    IF TG_OP = 'INSERT' THEN
        SELECT count(*) INTO _count FROM (SELECT FROM new_rows LIMIT @limit@ + 1) AS few;
        IF _count BETWEEN 1 AND @limit@ THEN
            SELECT jsonb_agg(jsonb_build_object('old', NULL, 'new', @told@)) INTO _rows
            FROM new_rows AS r, (SELECT @gone@) AS gone;
        END IF;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT count(*) INTO _count FROM (SELECT FROM old_rows LIMIT @limit@ + 1) AS few;
        IF _count BETWEEN 1 AND @limit@ THEN
            SELECT jsonb_agg(jsonb_build_object('old', @told@, 'new', NULL)) INTO _rows
            FROM old_rows AS r, (SELECT @gone@) AS gone;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT count(*) INTO _count FROM (SELECT FROM new_rows LIMIT @limit@ + 1) AS few;
        IF _count BETWEEN 1 AND @limit@ THEN
            -- Rows whose key was changed come as two; rows that are what they were, not at all.
            SELECT count(*), jsonb_agg(jsonb_build_object('old', o.told, 'new', n.told))
            INTO _count, _rows
            FROM (SELECT r AS image, @told@ AS told, @keys@
                  FROM old_rows AS r, (SELECT @gone@) AS gone) AS o
            FULL JOIN (SELECT r AS image, @told@ AS told, @keys@
                  FROM new_rows AS r, (SELECT @gone@) AS gone) AS n ON @same_keys@
            WHERE coalesce(o.image *<> n.image, true);
        END IF;
    END IF;

    IF _count > 0 THEN
        INSERT INTO @outbox@ (source, payload) VALUES ('trigger', jsonb_build_object(
            'prefix', '@prefix@', 'table', '@table@', 'op', TG_OP, 'rows', _rows
        ));
    END IF;
    RETURN NULL;
END
