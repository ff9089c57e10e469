-- The ledger file. Everything below `journal` is its consequence, written in the same transaction,
-- and can be made again from it; what the cloud ledger owns is cached under `cloud_`.

CREATE TABLE box (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    box_id   TEXT NOT NULL,
    epoch    INTEGER NOT NULL CHECK (epoch >= 1)
) STRICT;

CREATE TABLE journal (
    seq   INTEGER PRIMARY KEY CHECK (seq >= 1),
    body  BLOB NOT NULL,
    head  BLOB NOT NULL CHECK (length(head) = 32)
) STRICT;

-- What the box knows of itself by name: 'quarantined' (reason), 'rules_version',
-- 'emergency_by_contact' and 'emergency_by_staff' ('on' or 'off').
CREATE TABLE fact (
    name   TEXT PRIMARY KEY,
    value  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE rules (
    version  INTEGER PRIMARY KEY,
    hash     TEXT NOT NULL,
    text     TEXT NOT NULL
) STRICT;

CREATE TABLE lane (
    lane   TEXT PRIMARY KEY,
    state  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE plate_read (
    seq          INTEGER NOT NULL,
    device       TEXT NOT NULL,
    event        TEXT NOT NULL,
    lane         TEXT NOT NULL,
    plate        TEXT,
    confidence   INTEGER NOT NULL,
    captured_ms  INTEGER NOT NULL,
    outcome      TEXT NOT NULL,
    PRIMARY KEY (device, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX plate_read_by_seq ON plate_read (seq);

CREATE TABLE stay (
    stay         TEXT PRIMARY KEY,
    plate        TEXT,
    member       TEXT,
    state        TEXT NOT NULL CHECK (state IN ('pending_entry', 'open', 'pending_exit', 'closed', 'void')),
    entry_lane   TEXT NOT NULL,
    entry_ms     INTEGER NOT NULL,
    exit_lane    TEXT,
    exit_ms      INTEGER,
    rules        INTEGER NOT NULL,
    fee_fen      INTEGER CHECK (fee_fen >= 0),
    fee          TEXT,
    paid_fen     INTEGER NOT NULL DEFAULT 0 CHECK (paid_fen >= 0),
    paid_ms      INTEGER,
    waived_fen   INTEGER NOT NULL DEFAULT 0 CHECK (waived_fen >= 0),
    entry_evidence TEXT,
    exit_evidence  TEXT,
    void_reason  TEXT,
    changed_seq  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- One vehicle has one visit at a time.
CREATE UNIQUE INDEX stay_inside_by_plate ON stay (plate)
    WHERE state IN ('pending_entry', 'open', 'pending_exit') AND plate IS NOT NULL;
CREATE INDEX stay_inside_by_member ON stay (member)
    WHERE state IN ('pending_entry', 'open', 'pending_exit') AND member IS NOT NULL;
-- Two, so that neither list has to read through the other's: years of stays are over, and few are inside.
CREATE INDEX stay_inside_by_change ON stay (changed_seq DESC) WHERE state IN ('pending_entry', 'open', 'pending_exit');
CREATE INDEX stay_ended_by_change ON stay (changed_seq DESC) WHERE state IN ('closed', 'void');

-- Earlier visits of a plate that share a cap of the day.
CREATE INDEX stay_closed_by_plate ON stay (plate, exit_ms) WHERE state = 'closed';

CREATE TABLE payment (
    op      TEXT PRIMARY KEY,
    stay    TEXT NOT NULL,
    fen     INTEGER NOT NULL CHECK (fen > 0),
    tender  TEXT NOT NULL,
    seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX payment_by_stay ON payment (stay);

-- `grant_id` is a grant of the cloud ledger, or 'born:<member>' for what this box's tills earned.
CREATE TABLE points_grant (
    grant_id   TEXT PRIMARY KEY,
    member     TEXT NOT NULL,
    points     INTEGER NOT NULL CHECK (points >= 0),
    remaining  INTEGER NOT NULL CHECK (remaining >= 0 AND remaining <= points)
) STRICT, WITHOUT ROWID;
CREATE INDEX points_grant_by_member ON points_grant (member) WHERE remaining > 0;

CREATE TABLE grant_request (
    request  TEXT PRIMARY KEY,
    member   TEXT NOT NULL,
    points   INTEGER NOT NULL CHECK (points > 0),
    state    TEXT NOT NULL CHECK (state IN ('open', 'granted', 'refused')),
    seq      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_request_open ON grant_request (seq) WHERE state = 'open';

CREATE TABLE hold (
    op      TEXT PRIMARY KEY,
    stay    TEXT NOT NULL,
    member  TEXT NOT NULL,
    points  INTEGER NOT NULL CHECK (points > 0),
    fen     INTEGER NOT NULL CHECK (fen > 0),
    parts   TEXT NOT NULL,
    state   TEXT NOT NULL CHECK (state IN ('held', 'spent', 'void'))
) STRICT, WITHOUT ROWID;
CREATE INDEX hold_by_stay ON hold (stay) WHERE state = 'held';

-- Every movement of points that this box decided, for good.
CREATE TABLE points_entry (
    op      TEXT PRIMARY KEY,
    member  TEXT NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('spent', 'earned', 'returned')),
    points  INTEGER NOT NULL CHECK (points > 0),
    fen     INTEGER,
    stay    TEXT,
    seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX points_entry_by_stay ON points_entry (stay) WHERE stay IS NOT NULL;


CREATE TABLE sale (
    op        TEXT PRIMARY KEY,
    terminal  TEXT NOT NULL,
    receipt   TEXT NOT NULL,
    member    TEXT,
    fen       INTEGER NOT NULL CHECK (fen >= 0),
    at_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE operation (
    terminal     TEXT NOT NULL,
    key          TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    answer       TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    PRIMARY KEY (terminal, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE barrier_command (
    command  TEXT PRIMARY KEY,
    lane     TEXT NOT NULL,
    cause    TEXT NOT NULL,
    stay     TEXT,
    answer   TEXT,
    passed   INTEGER NOT NULL DEFAULT 0,
    seq      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE alarm (
    seq   INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    code  TEXT NOT NULL,
    text  TEXT NOT NULL,
    lane  TEXT,
    stay  TEXT,
    PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;

-- How each stay was found at its exit.
CREATE TABLE stay_match (
    stay           TEXT PRIMARY KEY,
    lane           TEXT NOT NULL,
    read           TEXT NOT NULL,
    posterior_ppm  INTEGER NOT NULL,
    none_ppm       INTEGER NOT NULL,
    matched_by     TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the cameras of an entry and an exit have shown of each other's mistakes; no plates.
CREATE TABLE camera_pair (
    entry_lane  TEXT NOT NULL,
    exit_lane   TEXT NOT NULL,
    lessons     INTEGER NOT NULL,
    PRIMARY KEY (entry_lane, exit_lane)
) STRICT, WITHOUT ROWID;

CREATE TABLE camera_pair_signs (
    entry_lane  TEXT NOT NULL,
    exit_lane   TEXT NOT NULL,
    held_out    INTEGER NOT NULL,
    signs       TEXT NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (entry_lane, exit_lane, held_out, signs)
) STRICT, WITHOUT ROWID;

-- Cached facts of the cloud ledger: not journaled, made again from the feed.
CREATE TABLE cloud_cursor (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cloud_member (
    member          TEXT PRIMARY KEY,
    handle          TEXT NOT NULL,
    tier            TEXT NOT NULL,
    consent_plates  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cloud_plate (
    plate   TEXT PRIMARY KEY,
    member  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_plate_by_member ON cloud_plate (member);

CREATE TABLE cloud_code (
    code    TEXT PRIMARY KEY,
    member  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_code_by_member ON cloud_code (member);
