CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE,
    joined TEXT NOT NULL
);

CREATE TABLE posts (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users,
    title TEXT NOT NULL,
    published TEXT NOT NULL
);
CREATE INDEX posts_of_user ON posts (user_id, published DESC);

CREATE TABLE statistics (
    user_id INTEGER PRIMARY KEY REFERENCES users,
    posts INTEGER NOT NULL,
    views INTEGER NOT NULL,
    followers INTEGER NOT NULL
);

CREATE TABLE articles (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    published TEXT NOT NULL
);
CREATE VIRTUAL TABLE articles_text USING fts5 (
    title, body, content = 'articles', content_rowid = 'id', tokenize = 'porter unicode61'
);

CREATE TABLE subscribers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL UNIQUE
);

CREATE TABLE newsletters (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);

-- The primary key is the promise that nobody gets a newsletter twice: a row is made before the mail is sent.
CREATE TABLE deliveries (
    newsletter_id INTEGER NOT NULL REFERENCES newsletters,
    subscriber_id INTEGER NOT NULL REFERENCES subscribers,
    state TEXT NOT NULL CHECK (state IN ('sending', 'sent', 'failed')),
    error TEXT,
    updated TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (newsletter_id, subscriber_id)
) WITHOUT ROWID;
