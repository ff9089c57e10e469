//! Stories of points that the cloud ledger lends: grants with lots, recalls, leave to spend, doubt, and new epochs.

use gatepost::domain::event::{
    CloudNews, EpochReason, FeedChange, Given, GrantId, Input, JournalHead, LaneId, Member, MemberId, OpId, Points,
    Reply, StaffRefusal, StaffWish, TillAnswer, Undo, UtcMs, Witnessed,
};
use gatepost::domain::lane::Unpaid;
use gatepost::domain::points::{Lot, Window};

use crate::story::{Story, given};

const PLATE: &str = "粤B12345";

#[test]
fn two_cars_of_one_member_cannot_leave_on_the_same_points() {
    let mut story = Story::new();
    story.member("M1", &[PLATE, "粤BD98765"]);
    story.enter("in", PLATE);
    story.enter("in-2", "粤BD98765");
    story.minutes(60);
    // Both asked at entry; the ledger had points for one of them only.
    story.grant_once(100, 0);
    story.arrival("out", true);
    story.arrival("out-2", true);
    assert_eq!(story.read("out", PLATE), 1, "the first leaves on points");
    assert_eq!(story.read("out-2", "粤BD98765"), 0, "what is held for the first is not there for the second");
    assert_eq!(story.usable(), 0);
    story.drive_through("out");
    assert_eq!((story.points("spent"), story.phase("out-2").as_str()), (100, "waiting"));
}

#[test]
fn points_are_taken_where_and_while_they_are_valid_and_the_first_to_expire_first() {
    let mut story = Story::new();
    story.member("M1", &[]);
    let noon = story.now().0 + 4 * 3_600_000;
    let lot = |id: &str| Lot { id: Some(id.to_owned()), ..Lot::default() };
    let grants = [
        ("G-open", 50, lot("open")),
        ("G-late", 50, Lot { expires_ms: Some(UtcMs(noon + 1)), ..lot("late") }),
        ("G-soon", 30, Lot { expires_ms: Some(UtcMs(noon)), ..lot("soon") }),
        ("G-here", 20, Lot { places: vec!["box-1".to_owned()], ..lot("here") }),
        ("G-there", 90, Lot { places: vec!["box-2".to_owned()], ..lot("there") }),
        // The story begins on a Monday at midnight of the site that goes by UTC.
        ("G-night", 90, Lot { times: Some(vec![window(&[2], 0, 1440)]), ..lot("night") }),
    ];
    story.enter("in", PLATE);
    story.member("M1", &[PLATE]);
    story.enter("in-2", "粤A00001");
    story.give_all("M1", &grants);
    assert!(applied(&story.till("k1", Some("M1"), 900, None, 0, 900).1));
    assert_eq!(story.parts_of_last_spend(), ["G-soon 30", "G-late 50", "G-here 10"]);
    story.minutes(240);
    let refused = story.till("k2", Some("M1"), 700, None, 0, 700).1;
    assert!(
        matches!(&refused, TillAnswer::Refused { code, detail } if code == "insufficient-points"
        && detail.contains("60 are usable")),
        "{refused:?}"
    );
}

#[test]
fn a_recall_gives_back_what_is_not_held() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(60);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    let grant = GrantId(story.rows("SELECT grant_id FROM points_grant")[0].clone());
    for _ in 0..2 {
        story.feed(Input::Cloud(CloudNews::Recalled { grant: grant.clone() }));
    }
    assert_eq!((story.points("returned"), story.usable()), (200, 0));
    story.drive_through("out");
    assert_eq!(story.points("spent"), 100);
}

#[test]
fn without_leave_no_points_are_spent_and_everything_else_goes_on() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    let day = 86_400_000;
    let start = 1_700_000_000_000;
    story.feed(Input::Cloud(CloudNews::Leased { server_ms: UtcMs(start), length_ms: 7 * day }));
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(60);
    // The civil clock is years off and has no part in it.
    story.minutes(3 * 525_600);
    story.feed(Input::Cloud(CloudNews::TimePassed { server_ms: UtcMs(start + 7 * day - 1) }));
    assert!(applied(&story.till("k1", Some("M1"), 100, None, 0, 100).1));
    story.feed(Input::Cloud(CloudNews::TimePassed { server_ms: UtcMs(start + 7 * day) }));
    // A restart does not give the leave back, nor does an old answer that comes late.
    story.restart();
    story.feed(Input::Cloud(CloudNews::Leased { server_ms: UtcMs(start), length_ms: 7 * day }));
    let refused = story.till("k2", Some("M1"), 100, None, 0, 100).1;
    assert!(matches!(&refused, TillAnswer::Refused { code, .. } if code == "quarantined"), "{refused:?}");
    assert!(applied(&story.till("k3", Some("M1"), 100, None, 100, 0).1), "money is money");
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0, "the vehicle waits for another tender");
    story.feed(Input::Cloud(CloudNews::Leased { server_ms: UtcMs(start + 7 * day), length_ms: 7 * day }));
    assert!(applied(&story.till("k4", Some("M1"), 100, None, 0, 100).1));
    story.feed(Input::Cloud(CloudNews::Unleased));
    assert!(!applied(&story.till("k5", Some("M1"), 100, None, 0, 100).1));
    assert_eq!(story.alarms(), ["lease_lapsed", "lease_lapsed"]);
}

#[test]
fn a_fenced_box_closes_its_epoch_and_goes_on_in_the_next() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.member("M2", &["粤A00001"]);
    story.enter("in", PLATE);
    story.enter("in-2", "粤A00001");
    story.grant(300);
    story.minutes(60);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1, "raised on points that are held");
    story.feed(Input::Cloud(CloudNews::Doubted { why: EpochReason::Fenced, reason: "fenced".to_owned() }));
    story.new_epoch(2, EpochReason::Fenced);
    assert_eq!(story.epoch(), 2);
    // What was held was spent, what was not went back, both in the journal of the old epoch.
    assert_eq!((story.points("spent"), story.points("returned"), story.usable()), (100, 500, 0));
    let kinds = "SELECT epoch || ' ' || seq FROM journal ORDER BY entry DESC LIMIT 1";
    assert_eq!(story.rows(kinds), ["2 1"]);
    story.drive_through("out");
    assert_eq!(story.stays()[0], format!("{PLATE} closed 1000 1000 0"));
    // Those who are inside get new points in the new epoch.
    assert_eq!(story.grant(300), 0);
    assert_eq!(story.usable(), 300, "one of them has left already");
    story.arrival("out-2", true);
    assert_eq!(story.read("out-2", "粤A00001"), 1);
    story.drive_through("out-2");
    assert_eq!(story.points("spent"), 200);
    story.restart();
    assert_eq!(story.epoch(), 2);
}

#[test]
fn a_rewound_box_freezes_its_grants_and_books_what_it_held() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(60);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1);
    let head = JournalHead { epoch: 1, seq: 900, head: "ab".repeat(32) };
    let seen = || Input::Witnessed(Witnessed { by: "till-1".to_owned(), head: head.clone() });
    story.feed(seen());
    assert!(!applied(&story.till("k1", Some("M1"), 100, None, 0, 100).1), "quarantined");
    story.new_epoch(3, EpochReason::Witness);
    // The old till still remembers the old epoch; that says nothing about the new one.
    story.feed(seen());
    assert_eq!((story.points("spent"), story.points("returned"), story.usable()), (0, 0, 0));
    story.drive_through("out");
    assert_eq!(story.rows("SELECT plate || ' ' || fen FROM debt"), [format!("{PLATE} 1000")]);
    assert_eq!(story.alarms(), ["quarantined", "epoch_began", "debt"]);
    // The grants of the old epoch stay what they were: with the ledger.
    assert_eq!(story.rows("SELECT CAST(remaining AS TEXT) FROM points_grant"), ["300"]);
    story.member("M1", &[PLATE]);
    story.enter("in", "粤A00001");
    assert!(!applied(&story.till("k2", Some("M1"), 100, None, 0, 100).1));
}

/// The ledger was asked before the till spoke, and its answer comes after.
#[test]
fn a_witness_is_worse_news_than_the_end_of_an_epoch_whichever_comes_first() {
    for is_fenced_first in [true, false] {
        let mut story = Story::new();
        story.member("M1", &[PLATE]);
        story.enter("in", PLATE);
        story.grant(300);
        let head = JournalHead { epoch: 1, seq: 900, head: "ab".repeat(32) };
        let witness = Input::Witnessed(Witnessed { by: "till-1".to_owned(), head });
        let fenced =
            Input::Cloud(CloudNews::Doubted { why: EpochReason::Fenced, reason: "the epoch has ended".to_owned() });
        let news = if is_fenced_first { [fenced, witness] } else { [witness, fenced] };
        let [first, second] = news;
        story.feed(first);
        story.restart();
        story.feed(second);
        story.new_epoch(2, EpochReason::Fenced);
        assert_eq!(story.points("returned"), 0, "a rewound journal gives nothing back");
        assert_eq!(story.rows("SELECT CAST(remaining AS TEXT) FROM points_grant"), ["300"]);
    }
}

#[test]
fn a_debt_is_collected_with_the_next_stay() {
    let mut story = Story::new();
    story.enter("in", PLATE);
    story.minutes(60);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    let what = StaffWish::Raise { reason: "terminal broken".to_owned(), plate: None, debt: true, second: None };
    assert_eq!(story.staff("out", what).0, 1);
    story.drive_through("out");
    assert_eq!(story.rows("SELECT state || ' ' || waived_fen || ' ' || owed_fen FROM stay"), ["closed 0 1000"]);

    story.minutes(60);
    story.enter("in", PLATE);
    story.minutes(20);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 0);
    let lines = story.rows(
        "SELECT value ->> '$.rule' || ' ' || (value ->> '$.fen')
        FROM stay, json_each(fee, '$.lines') WHERE state = 'pending_exit'",
    );
    assert_eq!(lines, ["standard.unit 500", "debt 1000"]);
    // What is paid counts for this stay first, so only a part of the debt is paid.
    let stay = story.stay_of(PLATE);
    assert!(applied(&story.till("k1", None, 0, Some(&stay), 1500, 0).1));
    story.drive_through("out");
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["1000 1000"]);
    story.minutes(60);
    story.enter("in", PLATE);
    assert_eq!(story.rows("SELECT CAST(debts_fen AS TEXT) FROM stay WHERE state = 'open'"), ["0"]);
}

#[test]
fn a_guard_who_lets_go_lets_go_of_this_stay_only() {
    let mut story = Story::new();
    story.lanes.get_mut(&LaneId::from("out")).unwrap().unpaid = Unpaid::Debt;
    story.restart();
    story.enter("in", PLATE);
    story.minutes(60);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1, "the site lets vehicles go and books what they owe");
    story.drive_through("out");
    story.minutes(60);
    story.enter("in", PLATE);
    story.minutes(20);
    story.arrival("out-2", true);
    assert_eq!(story.read("out-2", PLATE), 0);
    let what = StaffWish::Raise { reason: "goodwill".to_owned(), plate: None, debt: false, second: None };
    assert_eq!(story.staff("out-2", what).0, 1);
    story.drive_through("out-2");
    let stays = story.rows("SELECT fee_fen || ' ' || waived_fen || ' ' || owed_fen FROM stay ORDER BY entry_ms");
    assert_eq!(stays, ["1000 0 1000", "1500 500 1000"]);
    assert_eq!(story.rows("SELECT fen || ' ' || paid_fen FROM debt"), ["1000 0"]);
}

#[test]
fn only_the_box_that_made_a_spend_undoes_it_and_only_once() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    let (_, answer) = story.till("k1", Some("M1"), 1000, None, 0, 1000);
    let TillAnswer::Applied { transaction, .. } = answer else { panic!("{answer:?}") };
    let undo = |of: &OpId| Input::Undo(Undo { of: of.clone(), by: "guard-1".to_owned(), reason: "wrong".to_owned() });
    assert_eq!(story.usable(), 200);
    for _ in 0..2 {
        let (_, reply) = story.feed(undo(&transaction));
        assert_eq!(reply, Reply::Staff(Ok("100 points are back".to_owned())));
        assert_eq!((story.usable(), story.points("reversed")), (300, 100));
    }
    let elsewhere = story.feed(undo(&OpId::from("box-2/1/9/0"))).1;
    assert_eq!(elsewhere, Reply::Staff(Err(StaffRefusal::SpentElsewhere)));
    let (_, answer) = story.till("k2", Some("M1"), 500, None, 0, 500);
    let TillAnswer::Applied { transaction: of_first, .. } = answer else { panic!("{answer:?}") };
    story.new_epoch(2, EpochReason::Fenced);
    let ended = story.feed(undo(&of_first)).1;
    assert_eq!(ended, Reply::Staff(Err(StaffRefusal::EpochEnded)), "the ledger gives those back now");
    assert_eq!(story.points("reversed"), 100);
    assert_eq!(story.feed(undo(&transaction)).1, Reply::Staff(Ok("100 points are back".to_owned())), "as before");
}

#[test]
fn points_that_paid_for_parking_are_owed_again_or_let_go() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    story.grant(300);
    story.minutes(60);
    let stay = story.stay_of(PLATE);
    let (_, answer) = story.till("k1", Some("M1"), 0, Some(&stay), 0, 1000);
    let TillAnswer::Applied { transaction, .. } = answer else { panic!("{answer:?}") };
    let undo = || Input::Undo(Undo { of: transaction.clone(), by: "guard-1".to_owned(), reason: "wrong".to_owned() });
    story.feed(undo());
    assert_eq!(story.stays(), [format!("{PLATE} open - 0 0")]);
    story.arrival("out", true);
    assert_eq!(story.read("out", PLATE), 1, "points pay at the exit");
    let spend = story.rows("SELECT op FROM hold WHERE state = 'held'").pop().unwrap();
    let undo = || Input::Undo(Undo { of: OpId(spend.clone()), by: "guard-1".to_owned(), reason: "wrong".to_owned() });
    assert_eq!(story.feed(undo()).1, Reply::Staff(Err(StaffRefusal::SpentElsewhere)), "held is not spent");
    story.drive_through("out");
    story.feed(undo());
    assert_eq!(story.stays(), [format!("{PLATE} closed 1000 0 1000")]);
    assert_eq!((story.usable(), story.points("returned")), (0, 300), "the member has left, so all goes back");
}

#[test]
fn a_home_keeps_a_members_points_between_visits() {
    let mut story = Story::new();
    story.rules(|rules| {
        rules.replace("visit_points = 300", "visit_points = 300\nstanding_points = 80\nlow_water_points = 40")
    });
    let at_home = Member { home: Some("box-1".to_owned()), ..story.member_of("M1", &[PLATE]) };
    let next = 1;
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Member { member: at_home }], next }));
    let look = || Input::Cloud(CloudNews::HomesLooked { members: vec![MemberId::from("M1")] });
    story.feed(look());
    story.feed(look());
    let asked = "SELECT points || ' ' || standing FROM grant_request ORDER BY seq";
    assert_eq!(story.rows(asked), ["80 1"], "asked once while the answer is open");
    story.grant(80);
    assert_eq!(story.usable(), 80, "kept although no vehicle is inside");
    assert!(applied(&story.till("k1", Some("M1"), 300, None, 0, 300).1), "a walk-in pays with them, with the line cut");
    story.feed(look());
    assert_eq!(story.rows(asked).len(), 1, "50 are above the mark");
    assert!(applied(&story.till("k2", Some("M1"), 300, None, 0, 300).1));
    story.feed(look());
    assert_eq!(story.rows(asked), ["80 1", "60 1"]);
    story.grant(60);
    story.enter("in", PLATE);
    story.grant(300);
    assert_eq!(story.usable(), 380);
    story.minutes(10);
    story.arrival("out", true);
    story.read("out", PLATE);
    story.drive_through("out");
    assert_eq!(story.usable(), 80, "the visit's points go back, the home's stay");
}

#[test]
fn a_visit_is_asked_for_by_what_is_usual_here() {
    let mut story = Story::new();
    story.member("M1", &[PLATE]);
    story.enter("in", PLATE);
    let asked = "SELECT CAST(points AS TEXT) FROM grant_request ORDER BY seq";
    assert_eq!(
        story.rows(asked),
        ["900"],
        "300 until there are spends enough to tell, and the most that parking costs"
    );
    story.grant(2000);
    for n in 0..40 {
        let points = if n < 38 { 10 } else { 500 };
        assert!(applied(&story.till(&format!("k{n}"), Some("M1"), points * 10, None, 0, points * 10).1));
    }
    story.member("M2", &["粤A00001"]);
    story.enter("in-2", "粤A00001");
    assert_eq!(story.rows(asked)[1], "610", "95 of 100 spends are of 10 points at most");
}

fn applied(answer: &TillAnswer) -> bool {
    matches!(answer, TillAnswer::Applied { .. })
}

fn window(days: &[u8], from_min: u16, to_min: u16) -> Window {
    Window { days: days.to_vec(), from_min, to_min }
}

impl Story {
    /// Answers the oldest open request with `first` points and the others with `rest`.
    fn grant_once(&mut self, first: i64, rest: i64) {
        let mut points = first;
        for request in self.rows("SELECT request || ' ' || member FROM grant_request WHERE state = 'open' ORDER BY seq")
        {
            let (request, member) = request.split_once(' ').unwrap();
            let grants = if points > 0 { vec![given(&format!("G-{request}"), points)] } else { Vec::new() };
            let (request, member) = (OpId::from(request), MemberId::from(member));
            self.feed(Input::Cloud(CloudNews::Granted { request, member, epoch: 1, grants }));
            points = rest;
        }
    }

    /// Answers the member's next request with grants of several lots.
    fn give_all(&mut self, member: &str, grants: &[(&str, i64, Lot)]) {
        let mut plate = self.statement("in", "粤C00001");
        plate.lane = LaneId::from("in-blind");
        self.member(member, &["粤C00001"]);
        self.feed(Input::PlateRead(plate));
        let sql = "SELECT request FROM grant_request WHERE state = 'open'";
        let request = OpId(self.rows(sql).pop().unwrap());
        let grants = grants.iter().map(|(grant, points, lot)| Given {
            grant: GrantId::from(*grant),
            points: Points(*points),
            lot: lot.clone(),
        });
        let (member, grants) = (MemberId::from(member), grants.collect());
        self.feed(Input::Cloud(CloudNews::Granted { request, member, epoch: 1, grants }));
    }

    fn parts_of_last_spend(&self) -> Vec<String> {
        self.rows(
            "SELECT (value ->> '$.grant') || ' ' || (value ->> '$.points') FROM points_entry, json_each(parts)
             WHERE kind = 'spent' AND seq = (SELECT max(seq) FROM points_entry WHERE kind = 'spent')",
        )
    }

    fn new_epoch(&mut self, epoch: u32, why: EpochReason) {
        let from = self.epoch();
        self.feed(Input::Cloud(CloudNews::EpochGiven { from, epoch, why }));
    }
}
