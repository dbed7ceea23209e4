-- How a newsletter ended, and how many it reached: counted here with each delivery, so that nobody counts them later.
-- 'sending' outlives a service that is killed; the next one makes 'interrupted' of it.
ALTER TABLE newsletters ADD COLUMN state TEXT NOT NULL DEFAULT 'sending'
    CHECK (state IN ('sending', 'completed', 'failed', 'stopped', 'interrupted'));
ALTER TABLE newsletters ADD COLUMN total INTEGER NOT NULL DEFAULT 0;
ALTER TABLE newsletters ADD COLUMN sent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE newsletters ADD COLUMN failed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE newsletters ADD COLUMN in_doubt INTEGER NOT NULL DEFAULT 0;
CREATE INDEX newsletters_sending ON newsletters (id) WHERE state = 'sending';
CREATE INDEX newsletters_interrupted ON newsletters (id) WHERE state = 'interrupted';

-- 'in doubt': the text went out and no answer came back. 'deferred': refused for now, to be tried again.
CREATE TABLE deliveries_2 (
    newsletter_id INTEGER NOT NULL REFERENCES newsletters,
    subscriber_id INTEGER NOT NULL REFERENCES subscribers,
    state TEXT NOT NULL CHECK (state IN ('sending', 'deferred', 'sent', 'failed', 'in doubt')),
    error TEXT,
    updated TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (newsletter_id, subscriber_id)
) WITHOUT ROWID;
INSERT INTO deliveries_2 SELECT newsletter_id, subscriber_id, state, error, updated FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE deliveries_2 RENAME TO deliveries;

UPDATE newsletters SET
    total = (SELECT count(*) FROM subscribers),
    sent = (SELECT count(*) FROM deliveries WHERE newsletter_id = newsletters.id AND deliveries.state = 'sent'),
    failed = (SELECT count(*) FROM deliveries WHERE newsletter_id = newsletters.id AND deliveries.state = 'failed');
UPDATE newsletters SET state = 'completed' WHERE sent + failed = total;
