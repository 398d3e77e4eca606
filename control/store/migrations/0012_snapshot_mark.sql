-- Every version of the snapshot that was made in this database, with a mark that no other database gives it: by it control notices a proxy
-- that has seen another history, as after a restored dump. Such a proxy's own version stands here once its keys were taken in.
CREATE TABLE snapshot_mark (
    version bigint NOT NULL,
    mark    text NOT NULL DEFAULT gen_random_uuid()::text,
    ours    boolean NOT NULL DEFAULT true,
    PRIMARY KEY (version, mark)
);
-- Proxies ask for the new version, and so learn its mark.
UPDATE snapshot SET version = version + 1;
INSERT INTO snapshot_mark (version) SELECT version FROM snapshot;
