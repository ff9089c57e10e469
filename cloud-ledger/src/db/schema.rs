//! The tables, once for both engines, with the checks that the database itself holds.
//!
//! Nothing is ever deleted except what a removed member was called: journals, ops and requests stay for ever, because
//! a box may come back after weeks and repeat itself. Rows that an upload writes by the hundred (`entry`, `transfer`,
//! `op`) have no foreign keys; `verify` looks at what they would say.

/// The tables. `{number}` is a key that the database counts up; `{id}` is a text that is sorted by its bytes.
const TABLES: &str = "
CREATE TABLE about (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE counter (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counter (name, value) VALUES ('change', 0);

-- `token` is the SHA-256 of the enrolment token that brought the newest key.
CREATE TABLE box (
    name    TEXT PRIMARY KEY,
    epoch   BIGINT NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    revoked BIGINT NOT NULL DEFAULT 0 CHECK (revoked IN (0, 1)),
    token   BYTEA CHECK (length(token) = 32)
);

-- A key opens the epochs from `from_epoch` up to the next key's.
CREATE TABLE box_key (
    box        TEXT NOT NULL REFERENCES box (name),
    from_epoch BIGINT NOT NULL CHECK (from_epoch BETWEEN 0 AND 4294967295),
    public_key BYTEA NOT NULL CHECK (length(public_key) = 32),
    at_ms      BIGINT NOT NULL,
    PRIMARY KEY (box, from_epoch)
);

CREATE TABLE cursor (
    box   TEXT NOT NULL REFERENCES box (name),
    epoch BIGINT NOT NULL CHECK (epoch BETWEEN 0 AND 4294967295),
    seq   BIGINT NOT NULL CHECK (seq >= 0),
    head  BYTEA NOT NULL CHECK (length(head) = 32),
    PRIMARY KEY (box, epoch)
);

CREATE TABLE entry (
    box   TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    seq   BIGINT NOT NULL CHECK (seq >= 1),
    body  TEXT NOT NULL,
    head  BYTEA NOT NULL CHECK (length(head) = 32),
    PRIMARY KEY (box, epoch, seq)
);

-- What a box did beside the journal that is held: kept, never applied.
CREATE TABLE branch_entry (
    {number},
    box   TEXT NOT NULL REFERENCES box (name),
    epoch BIGINT NOT NULL,
    seq   BIGINT NOT NULL CHECK (seq >= 1),
    prev  BYTEA NOT NULL CHECK (length(prev) = 32),
    body  TEXT NOT NULL,
    head  BYTEA NOT NULL CHECK (length(head) = 32),
    at_ms BIGINT NOT NULL,
    UNIQUE (box, epoch, head)
);

-- A member's points are in lots and escrow; this row is what a grant or an online spend holds while it decides.
CREATE TABLE account (
    member  {id} PRIMARY KEY,
    version BIGINT NOT NULL DEFAULT 0 CHECK (version >= 0)
);

CREATE TABLE member (
    id             {id} PRIMARY KEY REFERENCES account (member),
    handle         TEXT NOT NULL,
    tier           TEXT NOT NULL,
    consent_plates BIGINT NOT NULL CHECK (consent_plates IN (0, 1)),
    home           TEXT,
    privileges     TEXT NOT NULL
);

CREATE TABLE plate (
    plate    TEXT PRIMARY KEY,
    member   {id} NOT NULL REFERENCES member (id),
    position BIGINT NOT NULL
);
CREATE INDEX plate_member ON plate (member);

CREATE TABLE code (
    code     TEXT PRIMARY KEY,
    member   {id} NOT NULL REFERENCES member (id),
    position BIGINT NOT NULL
);
CREATE INDEX code_member ON code (member);

-- Points of one credit or one earning. What is not available, spent online or expired is or was in escrow; the last
-- check is the promise that no point is in two places.
CREATE TABLE lot (
    id            {id} PRIMARY KEY,
    member        {id} NOT NULL REFERENCES account (member),
    issuer        TEXT NOT NULL,
    funder        TEXT NOT NULL,
    source        TEXT NOT NULL,
    settle_bps    BIGINT NOT NULL CHECK (settle_bps BETWEEN 0 AND 10000),
    expires_ms    BIGINT,
    valid_from_ms BIGINT,
    places        TEXT NOT NULL,
    times         TEXT NOT NULL,
    at_ms         BIGINT NOT NULL,
    points        BIGINT NOT NULL CHECK (points >= 0),
    available     BIGINT NOT NULL DEFAULT 0 CHECK (available >= 0),
    spent         BIGINT NOT NULL DEFAULT 0 CHECK (spent >= 0),
    expired       BIGINT NOT NULL DEFAULT 0 CHECK (expired >= 0),
    CHECK (available + spent + expired <= points)
);
CREATE INDEX lot_member ON lot (member);

-- Every request for a grant with its answer. A request that got nothing has no grants.
CREATE TABLE grant_request (
    {number},
    box      TEXT NOT NULL REFERENCES box (name),
    request  TEXT NOT NULL,
    epoch    BIGINT NOT NULL,
    member   {id} NOT NULL,
    asked    BIGINT NOT NULL CHECK (asked >= 1),
    standing BIGINT NOT NULL CHECK (standing IN (0, 1)),
    granted  BIGINT NOT NULL CHECK (granted BETWEEN 0 AND asked),
    UNIQUE (box, request)
);

-- Points reserved for one box and epoch: grants, and pockets of what the box earned (`born_seq` is then their entry).
-- What is outstanding is amount - spent - returned - released.
CREATE TABLE escrow (
    id            {id} PRIMARY KEY,
    box           TEXT NOT NULL,
    epoch         BIGINT NOT NULL,
    member        {id} NOT NULL,
    lot           {id} NOT NULL,
    request       TEXT,
    place         BIGINT NOT NULL,
    born_seq      BIGINT NOT NULL DEFAULT 0,
    standing      BIGINT NOT NULL DEFAULT 0 CHECK (standing IN (0, 1)),
    amount        BIGINT NOT NULL CHECK (amount >= 0),
    spent         BIGINT NOT NULL DEFAULT 0 CHECK (spent >= 0),
    returned      BIGINT NOT NULL DEFAULT 0 CHECK (returned >= 0),
    released      BIGINT NOT NULL DEFAULT 0 CHECK (released >= 0),
    late_spent    BIGINT NOT NULL DEFAULT 0 CHECK (late_spent >= 0),
    late_returned BIGINT NOT NULL DEFAULT 0 CHECK (late_returned >= 0),
    accepted      BIGINT NOT NULL DEFAULT 0 CHECK (accepted IN (0, 1)),
    recalled      BIGINT NOT NULL DEFAULT 0 CHECK (recalled IN (0, 1)),
    CHECK (spent + returned + released <= amount),
    CHECK (late_spent + late_returned <= released)
);
CREATE INDEX escrow_box ON escrow (box, epoch, request);
CREATE INDEX escrow_member ON escrow (member);

-- What boxes said they moved beyond what was reserved for them: a loss for people to settle.
CREATE TABLE excess (
    box      TEXT NOT NULL,
    epoch    BIGINT NOT NULL,
    seq      BIGINT NOT NULL,
    record   BIGINT NOT NULL,
    part     BIGINT NOT NULL,
    what     TEXT NOT NULL CHECK (what IN ('spent', 'returned', 'reversed')),
    member   TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    points   BIGINT NOT NULL CHECK (points > 0),
    PRIMARY KEY (box, epoch, seq, record, part)
);

-- Which record an op had its effect with, for ever.
CREATE TABLE op (
    op     {id} PRIMARY KEY,
    box    TEXT NOT NULL,
    epoch  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    record BIGINT NOT NULL
);

-- Every movement of points, from one account to another, written once and never changed.
CREATE TABLE transfer (
    {number},
    at_ms       BIGINT NOT NULL,
    what        TEXT NOT NULL,
    op          TEXT NOT NULL,
    of_op       TEXT,
    source      TEXT NOT NULL,
    destination TEXT NOT NULL,
    points      BIGINT NOT NULL CHECK (points > 0),
    member      TEXT NOT NULL,
    lot         TEXT NOT NULL,
    escrow      TEXT,
    box         TEXT,
    epoch       BIGINT,
    seq         BIGINT,
    CHECK (source <> destination)
);
CREATE INDEX transfer_of ON transfer (of_op) WHERE of_op IS NOT NULL;
CREATE INDEX transfer_time ON transfer (at_ms);

CREATE TABLE credit (
    op     {id} PRIMARY KEY,
    member {id} NOT NULL REFERENCES account (member),
    points BIGINT NOT NULL CHECK (points > 0),
    reason TEXT NOT NULL,
    at_ms  BIGINT NOT NULL
);

-- What was spent online, and what was reversed online of any spend (`of_op`).
CREATE TABLE online (
    op     {id} PRIMARY KEY,
    of_op  TEXT,
    member {id} NOT NULL REFERENCES account (member),
    points BIGINT NOT NULL CHECK (points > 0),
    at_ms  BIGINT NOT NULL
);

CREATE TABLE debt (
    debt   {id} PRIMARY KEY,
    box    TEXT NOT NULL,
    epoch  BIGINT NOT NULL,
    seq    BIGINT NOT NULL,
    fen    BIGINT NOT NULL CHECK (fen >= 0),
    plate  TEXT,
    member TEXT,
    stay   TEXT,
    at_ms  BIGINT NOT NULL
);

CREATE TABLE debt_payment (
    op    TEXT PRIMARY KEY,
    debt  {id} NOT NULL,
    box   TEXT NOT NULL,
    fen   BIGINT NOT NULL CHECK (fen >= 0),
    at_ms BIGINT NOT NULL
);
CREATE INDEX debt_payment_debt ON debt_payment (debt);

-- What the administrator said of a campaign last. `boxes` are names, one on each line; empty for all. `turn` goes up
-- whenever a share changes.
CREATE TABLE campaign (
    id                  {id} PRIMARY KEY,
    stopped             BIGINT NOT NULL CHECK (stopped IN (0, 1)),
    spent_elsewhere_fen BIGINT NOT NULL CHECK (spent_elsewhere_fen >= 0),
    budget_fen          BIGINT CHECK (budget_fen >= 0),
    boxes               TEXT NOT NULL,
    turn                BIGINT NOT NULL DEFAULT 0 CHECK (turn >= 0)
);

-- A box's part of a budget. It may believe to have `reserved_fen`, whatever it was told last.
CREATE TABLE campaign_share (
    campaign     {id} NOT NULL REFERENCES campaign (id),
    box          TEXT NOT NULL,
    epoch        BIGINT NOT NULL,
    told_fen     BIGINT NOT NULL CHECK (told_fen >= 0),
    reserved_fen BIGINT NOT NULL CHECK (reserved_fen >= told_fen),
    spent_fen    BIGINT NOT NULL DEFAULT 0 CHECK (spent_fen BETWEEN 0 AND reserved_fen),
    lost_fen     BIGINT NOT NULL DEFAULT 0 CHECK (lost_fen >= 0),
    PRIMARY KEY (campaign, box)
);

-- What the administrator said of a coupon last, or null where only boxes have spoken of it; and which box has it alone.
-- `turn` goes up whenever another one, or none, has it. Who wants it next is a box and its epoch, or nobody.
CREATE TABLE coupon (
    id           {id} PRIMARY KEY,
    content      TEXT,
    turn         BIGINT NOT NULL DEFAULT 0 CHECK (turn >= 0),
    box          TEXT,
    epoch        BIGINT NOT NULL DEFAULT 0,
    wanted       BIGINT NOT NULL DEFAULT 0 CHECK (wanted IN (0, 1)),
    wanted_box   TEXT,
    wanted_epoch BIGINT NOT NULL DEFAULT 0
);

-- What a box said of a use last, and in which entry: an old journal that comes late changes nothing that is newer.
CREATE TABLE coupon_use (
    coupon  {id} NOT NULL,
    box     TEXT NOT NULL,
    purpose TEXT NOT NULL,
    epoch   BIGINT NOT NULL,
    seq     BIGINT NOT NULL,
    stands  BIGINT NOT NULL CHECK (stands IN (0, 1)),
    fen     BIGINT NOT NULL CHECK (fen >= 0),
    claimed BIGINT NOT NULL CHECK (claimed IN (0, 1)),
    at_ms   BIGINT NOT NULL,
    PRIMARY KEY (coupon, box, purpose)
);

-- The same words about the same entry are one alarm, however often a box repeats itself.
CREATE TABLE alarm (
    {number},
    box   TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    seq   BIGINT NOT NULL,
    code  TEXT NOT NULL,
    text  TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    UNIQUE (box, epoch, seq, code, text)
);

-- `content` is the member as JSON, or null where the member was removed.
CREATE TABLE change (
    change  BIGINT PRIMARY KEY,
    member  TEXT NOT NULL,
    content TEXT
);
";

/// The tables as SQLite wants them.
pub fn for_sqlite() -> String {
    TABLES
        .replace("{number}", "number INTEGER PRIMARY KEY")
        .replace("{id}", "TEXT")
        .replace("BIGINT PRIMARY KEY", "INTEGER PRIMARY KEY")
        .replace("BIGINT", "INTEGER")
        .replace("BYTEA", "BLOB")
        .replace("\n);", "\n) STRICT;")
}

/// The tables as PostgreSQL wants them.
pub fn for_postgres() -> String {
    let numbered = "number BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY";
    TABLES.replace("{number}", numbered).replace("{id}", "TEXT COLLATE \"C\"")
}
