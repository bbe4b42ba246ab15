CREATE TABLE station (
	id            TEXT PRIMARY KEY,
	jurisdiction  TEXT NOT NULL,
	name          TEXT NOT NULL,
	latitude      REAL,
	longitude     REAL,
	enrolled      INTEGER NOT NULL,
	last_word     INTEGER NOT NULL DEFAULT 0,
	online        INTEGER NOT NULL DEFAULT 0,
	state         BLOB
) STRICT, WITHOUT ROWID;

CREATE TABLE chain (
	station  TEXT NOT NULL REFERENCES station(id),
	epoch    BLOB NOT NULL,
	lane     INTEGER NOT NULL,
	head     INTEGER NOT NULL,
	touched  INTEGER NOT NULL,
	PRIMARY KEY (station, epoch, lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
	id        INTEGER PRIMARY KEY AUTOINCREMENT,
	station   TEXT NOT NULL REFERENCES station(id),
	epoch     BLOB NOT NULL,
	seq       INTEGER NOT NULL,
	received  INTEGER NOT NULL,
	record    BLOB NOT NULL,
	UNIQUE (station, epoch, seq)
) STRICT;

CREATE TABLE alarm (
	event      INTEGER PRIMARY KEY REFERENCES event(id),
	place      TEXT NOT NULL,             -- station, source and zone: what a restore ends
	owner      TEXT NOT NULL DEFAULT '',
	claimed    INTEGER NOT NULL DEFAULT 0,
	closed_by  TEXT NOT NULL DEFAULT '',
	closed     INTEGER NOT NULL DEFAULT 0, -- acknowledged at; 0 = open
	restored   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX alarm_open  ON alarm(event) WHERE closed = 0;
CREATE INDEX alarm_place ON alarm(place, event);

CREATE TABLE action (
	id     INTEGER PRIMARY KEY,
	event  INTEGER NOT NULL REFERENCES alarm(event),
	at     INTEGER NOT NULL,
	who    TEXT NOT NULL,
	verb   TEXT NOT NULL
) STRICT;
CREATE INDEX action_event ON action(event, id);

CREATE TABLE feed (
	id     INTEGER PRIMARY KEY AUTOINCREMENT,
	event  INTEGER NOT NULL
) STRICT;

CREATE TABLE command (
	id        TEXT PRIMARY KEY,
	station   TEXT NOT NULL REFERENCES station(id),
	kind      TEXT NOT NULL,
	body      BLOB NOT NULL,
	created   INTEGER NOT NULL,
	expires   INTEGER NOT NULL,
	state     TEXT NOT NULL DEFAULT 'open', -- open, done, refused, expired
	reply     BLOB,
	answered  INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX command_open ON command(station) WHERE state = 'open';

CREATE TABLE viewing (
	id       TEXT PRIMARY KEY,
	station  TEXT NOT NULL REFERENCES station(id),
	camera   TEXT NOT NULL,
	profile  TEXT NOT NULL,
	purpose  TEXT NOT NULL,
	who      TEXT NOT NULL,
	asked    INTEGER NOT NULL,
	began    INTEGER NOT NULL DEFAULT 0,
	ended    INTEGER NOT NULL DEFAULT 0,
	outcome  TEXT NOT NULL DEFAULT 'asked' -- asked, live, refused, closed
) STRICT, WITHOUT ROWID;

CREATE TABLE person (
	name     TEXT PRIMARY KEY,
	hash     BLOB NOT NULL,
	changed  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE session (
	token    BLOB PRIMARY KEY,             -- SHA-256 of the cookie
	person   TEXT NOT NULL REFERENCES person(name),
	expires  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE setting (
	key    TEXT PRIMARY KEY,
	value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
PRAGMA user_version = 1;
