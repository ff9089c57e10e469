-- The ledger file. Everything below `journal` is its consequence, written in the same transaction,
-- and can be made again from it; what the cloud ledger owns is cached under `cloud_`.

CREATE TABLE box (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    box_id   TEXT NOT NULL,
    epoch    INTEGER NOT NULL CHECK (epoch >= 1)
) STRICT;

-- `entry` counts through all epochs of this file and is what every `seq` column below means; `seq` counts from 1 in each
-- epoch, whose chain of heads begins anew.
CREATE TABLE journal (
    entry  INTEGER PRIMARY KEY CHECK (entry >= 1),
    epoch  INTEGER NOT NULL CHECK (epoch >= 1),
    seq    INTEGER NOT NULL CHECK (seq >= 1),
    body   BLOB NOT NULL,
    head   BLOB NOT NULL CHECK (length(head) = 32)
) STRICT;

-- The epochs of this file. An entry's number in its epoch is `entry` less `before`.
CREATE TABLE epoch (
    epoch   INTEGER PRIMARY KEY,
    before  INTEGER NOT NULL,
    reason  TEXT NOT NULL
) STRICT;

-- What the box knows of itself by name: 'quarantined' (reason), 'quarantined_why', 'lease_lapsed', 'rules_version',
-- 'emergency_by_contact' and 'emergency_by_staff' ('on' or 'off'), 'tickets' (how many were issued), 'drift/<inner lot>'
-- (vehicles that people counted less those of the books).
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
    changed_seq  INTEGER NOT NULL,
    debts_fen    INTEGER NOT NULL DEFAULT 0 CHECK (debts_fen >= 0),
    owed_fen     INTEGER NOT NULL DEFAULT 0 CHECK (owed_fen >= 0),
    -- What the camera at the entry told besides the text, as JSON.
    entry_read   TEXT,
    -- On what right it is inside, and by which rule its entry was assumed, as JSON.
    right_held   TEXT,
    assumed      TEXT,
    untrusted    INTEGER NOT NULL DEFAULT 0,
    refund_fen   INTEGER NOT NULL DEFAULT 0 CHECK (refund_fen >= 0)
) STRICT, WITHOUT ROWID;
-- One vehicle has one visit at a time.
CREATE UNIQUE INDEX stay_inside_by_plate ON stay (plate)
    WHERE state IN ('pending_entry', 'open', 'pending_exit') AND plate IS NOT NULL;
CREATE INDEX stay_inside_by_member ON stay (member)
    WHERE state IN ('pending_entry', 'open', 'pending_exit') AND member IS NOT NULL;
-- Two, so that neither list has to read through the other's: years of stays are over, and few are inside.
CREATE INDEX stay_inside_by_change ON stay (changed_seq DESC) WHERE state IN ('pending_entry', 'open', 'pending_exit');
CREATE INDEX stay_ended_by_change ON stay (changed_seq DESC) WHERE state IN ('closed', 'void');

-- The parts of stays in inner lots.
CREATE TABLE zone_visit (
    stay     TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    zone     TEXT NOT NULL,
    from_ms  INTEGER NOT NULL,
    to_ms    INTEGER,
    PRIMARY KEY (stay, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX zone_visit_open ON zone_visit (stay, zone) WHERE to_ms IS NULL;

-- What staff have put right.
CREATE TABLE correction (
    op              TEXT PRIMARY KEY,
    stay            TEXT NOT NULL,
    difference_fen  INTEGER NOT NULL,
    operator        TEXT NOT NULL,
    reason          TEXT NOT NULL,
    evidence        TEXT NOT NULL,
    seq             INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was lost on each business day.
CREATE TABLE day_report (
    date    TEXT PRIMARY KEY,
    report  TEXT NOT NULL
) STRICT, WITHOUT ROWID;

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

-- What vehicles that have left still owe.
CREATE TABLE debt (
    debt      TEXT PRIMARY KEY,
    plate     TEXT NOT NULL,
    stay      TEXT NOT NULL,
    fen       INTEGER NOT NULL CHECK (fen > 0),
    paid_fen  INTEGER NOT NULL DEFAULT 0 CHECK (paid_fen >= 0 AND paid_fen <= fen),
    seq       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX debt_open ON debt (plate, seq) WHERE paid_fen < fen;

-- `grant_id` is a grant of the cloud ledger, or 'born:<op>' for what one sale at this box's tills earned. Only grants of
-- the epoch in which the box works are spent.
CREATE TABLE points_grant (
    grant_id   TEXT PRIMARY KEY,
    member     TEXT NOT NULL,
    points     INTEGER NOT NULL CHECK (points >= 0),
    remaining  INTEGER NOT NULL CHECK (remaining >= 0 AND remaining <= points),
    epoch      INTEGER NOT NULL,
    lot        TEXT,
    seq        INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX points_grant_by_member ON points_grant (member) WHERE remaining > 0;

CREATE TABLE grant_request (
    request  TEXT PRIMARY KEY,
    member   TEXT NOT NULL,
    points   INTEGER NOT NULL CHECK (points > 0),
    state    TEXT NOT NULL CHECK (state IN ('open', 'granted', 'refused')),
    standing INTEGER NOT NULL,
    seq      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grant_request_open ON grant_request (seq) WHERE state = 'open';
CREATE INDEX grant_request_open_by_member ON grant_request (member) WHERE state = 'open';

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
    kind    TEXT NOT NULL CHECK (kind IN ('spent', 'earned', 'returned', 'reversed', 'taken_back')),
    points  INTEGER NOT NULL CHECK (points > 0),
    fen     INTEGER,
    stay    TEXT,
    seq     INTEGER NOT NULL,
    parts   TEXT,
    of      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX points_entry_by_stay ON points_entry (stay) WHERE stay IS NOT NULL;
CREATE INDEX points_spent_by_seq ON points_entry (seq) WHERE kind = 'spent';
CREATE INDEX points_spent_by_member ON points_entry (member, seq) WHERE kind = 'spent';
-- Goods come back in parts, so a spend may be undone in parts.
CREATE INDEX points_reversed ON points_entry (of) WHERE of IS NOT NULL;

-- What stays use up of benefits: held while the vehicle is inside, used when it has left, void where it went back.
CREATE TABLE benefit_use (
    stay      TEXT NOT NULL,
    seq       INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    source    TEXT NOT NULL,
    instance  TEXT,
    used      TEXT NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('held', 'used', 'void')),
    PRIMARY KEY (stay, seq, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX benefit_use_by_instance ON benefit_use (instance) WHERE instance IS NOT NULL AND state <> 'void';

-- What is held or used, by whom and day: the sums that allowances and limits are held against.
CREATE TABLE benefit_count (
    dimension  TEXT NOT NULL,
    who        TEXT NOT NULL,
    day        TEXT NOT NULL,
    class      TEXT NOT NULL,
    benefit    TEXT NOT NULL,
    uses       INTEGER NOT NULL CHECK (uses >= 0),
    minutes    INTEGER NOT NULL CHECK (minutes >= 0),
    fen        INTEGER NOT NULL CHECK (fen >= 0),
    PRIMARY KEY (dimension, who, day, class, benefit)
) STRICT, WITHOUT ROWID;

CREATE TABLE validation (
    id         TEXT PRIMARY KEY,
    stay       TEXT NOT NULL,
    kind       TEXT NOT NULL,
    merchant   TEXT NOT NULL,
    operator   TEXT,
    spend_fen  INTEGER NOT NULL CHECK (spend_fen >= 0),
    -- What a paper voucher gives by itself, as JSON.
    gives      TEXT,
    -- What was known of the shop then, as JSON.
    shop       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX validation_by_stay ON validation (stay);

CREATE TABLE coupon_shown (
    stay    TEXT NOT NULL,
    coupon  TEXT NOT NULL,
    PRIMARY KEY (stay, coupon)
) STRICT, WITHOUT ROWID;

-- Limits of benefits beyond which two persons let a stay go.
CREATE TABLE approval (
    stay      TEXT NOT NULL,
    limit_id  TEXT NOT NULL,
    PRIMARY KEY (stay, limit_id)
) STRICT, WITHOUT ROWID;

-- Coupons and passes that were used for goods. A coupon is used once, and again where it came back.
CREATE TABLE coupon_use (
    op           TEXT PRIMARY KEY,
    coupon       TEXT NOT NULL,
    terminal     TEXT NOT NULL,
    shift        INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    fen          INTEGER NOT NULL CHECK (fen >= 0),
    line         TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    returned_by  TEXT,
    source       TEXT NOT NULL CHECK (source IN ('coupon', 'pass'))
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX coupon_use_standing ON coupon_use (coupon) WHERE returned_by IS NULL AND source = 'coupon';
CREATE INDEX coupon_use_by_coupon ON coupon_use (coupon, seq);
CREATE INDEX coupon_use_by_shift ON coupon_use (terminal, shift);
CREATE INDEX coupon_use_by_day ON coupon_use (day);

-- What this box said of coupons that one box has alone, in the epoch that runs; its uses it remembers for ever.
CREATE TABLE coupon_word (
    coupon         TEXT PRIMARY KEY,
    wanted_turn    INTEGER,
    taken_turn     INTEGER,
    returned_turn  INTEGER,
    used_by        TEXT,
    was_used       INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX coupon_word_by_use ON coupon_word (used_by) WHERE used_by IS NOT NULL;
CREATE INDEX coupon_word_of_now ON coupon_word (coupon)
    WHERE wanted_turn IS NOT NULL OR taken_turn IS NOT NULL OR returned_turn IS NOT NULL;

CREATE TABLE sale (
    op        TEXT PRIMARY KEY,
    terminal  TEXT NOT NULL,
    receipt   TEXT NOT NULL,
    member    TEXT,
    fen       INTEGER NOT NULL CHECK (fen >= 0),
    at_ms     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- `number` is the till's own count; a hole in it within a shift is a request that did not arrive.
CREATE TABLE operation (
    terminal     TEXT NOT NULL,
    key          TEXT NOT NULL,
    fingerprint  TEXT NOT NULL,
    answer       TEXT NOT NULL,
    seq          INTEGER NOT NULL,
    number       INTEGER,
    shift        INTEGER NOT NULL,
    day          INTEGER NOT NULL,
    PRIMARY KEY (terminal, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX operation_by_number ON operation (terminal, shift, number) WHERE number IS NOT NULL;
CREATE INDEX operation_by_day ON operation (day, terminal, number) WHERE number IS NOT NULL;

CREATE INDEX operation_by_entry ON operation (seq);
CREATE INDEX operation_given_up ON operation (day) WHERE answer ->> '$.code' = 'tombstoned';

-- Answers that are kept in the journal alone: the first half of SHA-256 over terminal, newline, key; and the entry.
CREATE TABLE operation_past (
    id     BLOB PRIMARY KEY CHECK (length(id) = 16),
    entry  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The tills' books: what each commit, capture, void and refund did. No amount is negative; `what` says which way it went.
CREATE TABLE till_book (
    op                  TEXT PRIMARY KEY,
    what                TEXT NOT NULL CHECK (what IN ('sale', 'capture', 'void', 'refund')),
    of                  TEXT,
    terminal            TEXT NOT NULL,
    shift               INTEGER NOT NULL,
    day                 INTEGER NOT NULL,
    merchant            TEXT,
    member              TEXT,
    stay                TEXT,
    sale_fen            INTEGER NOT NULL CHECK (sale_fen >= 0),
    sale_points_fen     INTEGER NOT NULL CHECK (sale_points_fen BETWEEN 0 AND sale_fen),
    sale_points         INTEGER NOT NULL CHECK (sale_points >= 0),
    parking_fen         INTEGER NOT NULL CHECK (parking_fen >= 0),
    parking_points_fen  INTEGER NOT NULL CHECK (parking_points_fen BETWEEN 0 AND parking_fen),
    parking_points      INTEGER NOT NULL CHECK (parking_points >= 0),
    earned              INTEGER NOT NULL CHECK (earned >= 0),
    line                TEXT NOT NULL,
    seq                 INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX till_book_by_shift ON till_book (terminal, shift);
CREATE INDEX till_book_by_day ON till_book (day, merchant);
CREATE INDEX till_book_by_original ON till_book (of) WHERE of IS NOT NULL;

-- Points set aside for tills. `ended` says why they are free again; none: they are not.
CREATE TABLE till_hold (
    op          TEXT PRIMARY KEY,
    terminal    TEXT NOT NULL,
    expires_ms  INTEGER NOT NULL,
    hold        TEXT NOT NULL,
    ended       TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX till_hold_open ON till_hold (expires_ms) WHERE ended IS NULL;

-- Points that were earned too much and were not here any more.
CREATE TABLE points_debt (
    debt    TEXT PRIMARY KEY,
    of      TEXT NOT NULL,
    member  TEXT NOT NULL,
    points  INTEGER NOT NULL CHECK (points > 0),
    paid    INTEGER NOT NULL DEFAULT 0 CHECK (paid >= 0 AND paid <= points),
    seq     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX points_debt_open ON points_debt (member, seq) WHERE paid < points;

-- A terminal's shifts, counted from 1. One that nobody opened begins with its first line in the books.
CREATE TABLE shift (
    terminal    TEXT NOT NULL,
    shift       INTEGER NOT NULL CHECK (shift >= 1),
    day         INTEGER NOT NULL,
    operator    TEXT,
    opened_seq  INTEGER NOT NULL,
    closed_seq  INTEGER,
    totals      TEXT,
    PRIMARY KEY (terminal, shift)
) STRICT, WITHOUT ROWID;

-- Who owes whom: a leg for each lot of each spend of points, and for each benefit that lowered a fee. No amount is
-- negative; `what` says which way it goes. `face_fen` is what the customer had of it, `fen` what is owed after the lot's rate.
CREATE TABLE leg (
    seq       INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    day       INTEGER NOT NULL,
    what      TEXT NOT NULL CHECK (what IN ('spend', 'undone', 'benefit')),
    op        TEXT,
    stay      TEXT,
    payer     TEXT NOT NULL,
    acceptor  TEXT NOT NULL,
    lot       TEXT,
    points    INTEGER NOT NULL CHECK (points >= 0),
    face_fen  INTEGER NOT NULL CHECK (face_fen >= 0),
    fen       INTEGER NOT NULL CHECK (fen BETWEEN 0 AND face_fen),
    -- What of the rules it is for, as JSON; none for points.
    rule      TEXT,
    PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX leg_by_day ON leg (day, payer, acceptor);
CREATE INDEX leg_by_op ON leg (op) WHERE op IS NOT NULL;

-- What else belongs to a business day: stays that ended, and lanes ('stranger') where a vehicle without one passed.
CREATE TABLE day_item (
    seq   INTEGER NOT NULL,
    n     INTEGER NOT NULL,
    day   INTEGER NOT NULL,
    kind  TEXT NOT NULL CHECK (kind IN ('stay', 'stranger')),
    name  TEXT NOT NULL,
    PRIMARY KEY (seq, n)
) STRICT, WITHOUT ROWID;
CREATE INDEX day_item_by_day ON day_item (day, kind);

-- Days that are closed: nothing is posted to them again.
CREATE TABLE day_close (
    day        INTEGER PRIMARY KEY,
    closed_by  TEXT NOT NULL,
    report     TEXT NOT NULL,
    seq        INTEGER NOT NULL
) STRICT;

CREATE INDEX shift_by_day ON shift (day);

-- Tills that staff let in. `token_sha256` is empty where one was shut out again, also one of the settings.
CREATE TABLE terminal (
    terminal      TEXT PRIMARY KEY,
    merchant      TEXT,
    token_sha256  TEXT,
    seq           INTEGER NOT NULL
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
    -- All that left this way, and those of them that taught something.
    vehicles    INTEGER NOT NULL,
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

-- This box's newest word about its part of a campaign's budget; it holds for one epoch.
CREATE TABLE campaign_share (
    campaign   TEXT PRIMARY KEY,
    turn       INTEGER NOT NULL CHECK (turn >= 0),
    share_fen  INTEGER NOT NULL CHECK (share_fen >= spent_fen),
    spent_fen  INTEGER NOT NULL CHECK (spent_fen >= 0)
) STRICT, WITHOUT ROWID;

-- Cached facts of the cloud ledger: not journaled, made again from the feed. Names: 'feed', 'heard' (when), 'acknowledged' (an entry),
-- 'lease_until' and 'lease_latest' (the ledger's time in milliseconds).
CREATE TABLE cloud_cursor (
    name   TEXT PRIMARY KEY,
    value  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cloud_member (
    member          TEXT PRIMARY KEY,
    handle          TEXT NOT NULL,
    tier            TEXT NOT NULL,
    consent_plates  INTEGER NOT NULL,
    home            TEXT,
    -- Paid plans, tags, birthday and passes, as JSON; null where there are none.
    privileges      TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_member_by_home ON cloud_member (home, member) WHERE home IS NOT NULL;

CREATE TABLE cloud_coupon (
    coupon    TEXT PRIMARY KEY,
    kind      TEXT NOT NULL,
    member    TEXT,
    merchant  TEXT,
    from_ms   INTEGER,
    until_ms  INTEGER,
    state     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_coupon_by_member ON cloud_coupon (member) WHERE member IS NOT NULL;

-- Which box has a coupon alone, as the ledger told of it last; `used` names the boxes that used it, as JSON.
CREATE TABLE cloud_claim (
    coupon    TEXT PRIMARY KEY,
    turn      INTEGER NOT NULL,
    box       TEXT,
    epoch     INTEGER NOT NULL,
    wanted    INTEGER NOT NULL,
    used      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_claim_by_box ON cloud_claim (box) WHERE box IS NOT NULL;

CREATE TABLE cloud_campaign (
    campaign             TEXT PRIMARY KEY,
    stopped              INTEGER NOT NULL,
    spent_elsewhere_fen  INTEGER NOT NULL,
    as_of_ms             INTEGER NOT NULL,
    -- Whether the ledger shares its budget out; this box's share is then in campaign_share, or nothing.
    shared               INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A merchant as the ledger told of it last, as JSON.
CREATE TABLE cloud_merchant (
    merchant  TEXT PRIMARY KEY,
    told      TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE cloud_plate (
    plate   TEXT PRIMARY KEY,
    member  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_plate_by_member ON cloud_plate (member);

CREATE TABLE cloud_pass (
    pass    TEXT PRIMARY KEY,
    member  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_pass_by_member ON cloud_pass (member);

CREATE TABLE cloud_code (
    code    TEXT PRIMARY KEY,
    member  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX cloud_code_by_member ON cloud_code (member);

-- Codes of members' phones that were used: where first, and whether they have paid. Old ones are refused by their time.
CREATE TABLE member_code (
    member  TEXT NOT NULL,
    step    INTEGER NOT NULL,
    place   TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    paid    INTEGER NOT NULL,
    PRIMARY KEY (member, step)
) STRICT, WITHOUT ROWID;
CREATE INDEX member_code_by_step ON member_code (step);

-- What a member carries from sale to sale, in parts of a point, and the status points earned here.
CREATE TABLE earning_account (
    member   TEXT PRIMARY KEY,
    carried  INTEGER NOT NULL,
    status   INTEGER NOT NULL CHECK (status >= 0)
) STRICT, WITHOUT ROWID;

-- What the service desk and merchants did. `id` is the asker's own name for it, so that nothing is done twice; `subject` is
-- what it is about: a shop and its receipt, an entry, a dispute, the number of a voucher.
CREATE TABLE office_note (
    op       TEXT PRIMARY KEY,
    id       TEXT NOT NULL,
    kind     TEXT NOT NULL,
    by_whom  TEXT NOT NULL,
    day      INTEGER NOT NULL,
    subject  TEXT,
    points   INTEGER NOT NULL,
    note     TEXT NOT NULL,
    seq      INTEGER NOT NULL,
    UNIQUE (by_whom, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX office_note_by_day ON office_note (kind, day);
CREATE INDEX office_note_by_subject ON office_note (kind, subject);
CREATE INDEX till_book_by_receipt ON till_book (merchant, line ->> '$.receipt') WHERE what = 'sale' AND member IS NOT NULL;
CREATE INDEX till_book_by_payment ON till_book (merchant, line ->> '$.money[0].ref')
    WHERE what = 'sale' AND member IS NOT NULL;

-- Paper vouchers that were keyed in, each once, and what came of them.
CREATE TABLE voucher_use (
    number     INTEGER PRIMARY KEY,
    day        INTEGER NOT NULL,
    how        TEXT NOT NULL CHECK (how IN ('given', 'left', 'settled', 'unmatched', 'goods')),
    stay       TEXT,
    fen        INTEGER NOT NULL CHECK (fen >= 0),
    of_waived  INTEGER NOT NULL CHECK (of_waived BETWEEN 0 AND fen),
    seq        INTEGER NOT NULL
) STRICT;
CREATE INDEX voucher_use_by_stay ON voucher_use (stay) WHERE stay IS NOT NULL;
CREATE INDEX voucher_use_by_day ON voucher_use (day);
