//! The views against a small mall's ledger file.

use std::time::Duration;

use super::sample::{NOON_MS, Sample};
use super::{ReadError, Reader, View};
use crate::domain::event::{Evidence, Fen, MemberId, Points, RaiseCause, ReadOutcome, StayId, Tender, TillAnswer};
use crate::domain::plate::Plate;
use crate::domain::stay::StayState;

#[tokio::test]
async fn an_empty_journal_stands_at_its_genesis() {
    let sample = Sample::empty();
    let head = see(&sample, |view| view.head()).await;
    assert_eq!((head.box_id.as_str(), head.epoch, head.seq), ("demo-1", 1, 0));
    // printf 'gatepost-journal-v1\ndemo-1\n1' | sha256sum
    assert_eq!(head.head, "0c6dd72e47906e9395e1a1e20f899526a697c855696e84e01682b7c41550da9f");
    assert_eq!(see(&sample, |view| view.unacknowledged()).await, 0);
}

#[tokio::test]
async fn the_tail_comes_in_order_and_within_its_bounds() {
    let sample = Sample::midday();
    let all = see(&sample, |view| view.entries(1, 500, 1 << 20)).await;
    assert_eq!(all.iter().map(|entry| entry.seq).collect::<Vec<_>>(), (1..=9).collect::<Vec<_>>());
    assert_eq!(all.last().map(|entry| entry.head.clone()), Some(see(&sample, |view| view.head()).await.head));
    let one_body = all[0].body.len();
    check_tail(&sample, 7, 500, 1 << 20, &[7, 8, 9]).await;
    check_tail(&sample, 1, 2, 1 << 20, &[1, 2]).await;
    check_tail(&sample, 1, 500, 2 * one_body, &[1, 2]).await;
    check_tail(&sample, 1, 500, 0, &[1]).await;
    check_tail(&sample, 10, 500, 1 << 20, &[]).await;
}

#[tokio::test]
async fn what_the_cloud_does_not_hold_yet_is_counted() {
    let sample = Sample::midday();
    let look = |view: &View<'_>| Ok((view.acknowledged()?, view.feed_cursor()?, view.unacknowledged()?));
    assert_eq!(see(&sample, look).await, (6, 12, 3));
    let open = see(&sample, |view| view.open_grant_requests(10)).await;
    assert_eq!(
        open.iter().map(|r| (r.request.as_str(), r.points)).collect::<Vec<_>>(),
        [("demo-1/1/5/0", Points(120))]
    );
}

#[tokio::test]
async fn a_stay_is_found_by_id_and_while_inside_by_plate() {
    let sample = Sample::midday();
    let row = see(&sample, |view| view.stay(&"S1-2".into())).await.expect("the stay");
    assert_eq!(row.stay.state, StayState::PendingExit);
    assert_eq!((row.stay.member, row.exit.map(|at| at.0)), (Some(MemberId::from("M1001")), Some(NOON_MS)));
    assert_eq!(row.stay.fee.map(|fee| (fee.total, fee.lines.len())), Some((Fen(800), 2)));
    assert_eq!(row.entry_evidence, Some(Evidence::PassageLoop));
    assert_eq!(inside(&sample, "粤B12345").await, Some(StayId::from("S1-2")));
    assert_eq!(inside(&sample, "粤BD12345").await, None, "it has left");
    assert_eq!(see(&sample, |view| view.stay(&"S1-99".into())).await, None);
}

#[tokio::test]
async fn those_inside_and_those_gone_come_newest_first() {
    let sample = Sample::midday();
    let look = |view: &View<'_>| Ok((view.inside(10)?, view.recently_ended(1)?, view.inside_count()?));
    let (inside, ended, count) = see(&sample, look).await;
    assert_eq!(inside.iter().map(|row| row.stay.id.as_str()).collect::<Vec<_>>(), ["S1-2", "S1-3"]);
    assert_eq!(ended.iter().map(|row| row.stay.id.as_str()).collect::<Vec<_>>(), ["S1-0"]);
    assert_eq!((ended[0].waived, ended[0].exit_evidence, count), (Fen(3000), Some(Evidence::Unconfirmed), 2));
}

#[tokio::test]
async fn a_stay_knows_how_it_was_paid() {
    let sample = Sample::midday();
    let paid = see(&sample, |view| view.payments(&"S1-0".into())).await;
    assert_eq!(
        paid.iter().map(|p| (p.fen, p.tender.clone())).collect::<Vec<_>>(),
        [(Fen(2000), Tender::Guard { operator: "li".to_owned() })]
    );
    let points = see(&sample, |view| view.points_of(&"S1-1".into())).await;
    assert_eq!((points.points, points.fen), (Points(40), Fen(400)), "the hold became the spend and counts once");
    sample.run("INSERT INTO hold VALUES ('h', 'S1-2', 'M1001', 30, 300, '[]', 'held')", []);
    let held = see(&sample, |view| view.points_of(&"S1-2".into())).await;
    assert_eq!((held.points, held.fen), (Points(30), Fen(300)));
    let until = |seq| move |view: &View<'_>| view.paid_until(&"S1-0".into(), seq);
    assert_eq!(see(&sample, until(7)).await, Fen(0));
    assert_eq!(see(&sample, until(8)).await, Fen(2000));
}

#[tokio::test]
async fn a_member_is_found_by_code_plate_and_id() {
    let sample = Sample::midday();
    let plate: Plate = "粤BD12345".parse().expect("a plate");
    let look = move |view: &View<'_>| {
        Ok([view.member(&"M1001".into())?, view.member_by_code("GPM1001")?, view.member_by_plate(&plate)?])
    };
    for found in see(&sample, look).await {
        let found = found.expect("the member");
        assert_eq!((found.id.as_str(), found.tier.as_str(), found.consent_plates), ("M1001", "gold", true));
    }
    assert_eq!(see(&sample, |view| view.member_by_code("GPM9")).await, None);
    assert_eq!(see(&sample, |view| view.usable_points(&"M1001".into())).await, Points(178));
    assert_eq!(see(&sample, |view| view.usable_points(&"M2002".into())).await, Points(0));
}

#[tokio::test]
async fn a_stored_answer_comes_with_its_entry() {
    let sample = Sample::midday();
    let answer = serde_json::json!({"result": "refused", "code": "stay-unknown", "detail": "no"});
    let seq = sample.operation("T1", "k-1", "ff", &answer);
    sample.entry();
    let found = see(&sample, |view| view.operation(&"T1".into(), "k-1")).await.expect("the operation");
    let entry = see(&sample, move |view| view.entries(seq as u64, 1, 0)).await.remove(0);
    assert_eq!((found.seq, found.head), (entry.seq, entry.head));
    assert_eq!(found.answer, TillAnswer::Refused { code: "stay-unknown".to_owned(), detail: "no".to_owned() });
    assert_eq!(see(&sample, |view| view.operation(&"T2".into(), "k-1")).await, None, "a key belongs to one terminal");
}

#[tokio::test]
async fn reads_alarms_rules_and_facts_are_there() {
    let sample = Sample::midday();
    let reads = see(&sample, |view| view.last_reads(2)).await;
    assert_eq!(
        reads.iter().map(|r| (r.seq, r.outcome)).collect::<Vec<_>>(),
        [(9, ReadOutcome::Taken), (4, ReadOutcome::NoPlate)]
    );
    let alarm = see(&sample, |view| view.alarms(5)).await.remove(0);
    assert_eq!((alarm.code.as_str(), alarm.at_ms), ("unconfirmed-exit", Some(NOON_MS + 8000)));
    let look = |view: &View<'_>| Ok((view.rules_text(1)?, view.rules_text(2)?, view.fact("quarantined")?));
    assert_eq!(see(&sample, look).await, (Some("version = 1".to_owned()), None, None));
}

#[tokio::test]
async fn a_lane_comes_with_its_state_and_a_foreign_one_is_an_error() {
    let sample = Sample::midday();
    let lanes = see(&sample, |view| view.lanes()).await;
    assert_eq!(lanes.iter().map(|row| row.lane.as_str()).collect::<Vec<_>>(), ["E1", "X1"]);
    assert_eq!(lanes[1].state.stay(), Some(&StayId::from("S1-2")));
    for foreign in ["[]", r#"{"phase": {"at": "dancing"}, "arrival": false, "passage": false}"#] {
        sample.run("UPDATE lane SET state = ?1 WHERE lane = 'X1'", [foreign]);
        let lanes = sample.reader().look(|view| view.lanes()).await;
        assert!(matches!(lanes, Err(ReadError::Foreign { what: "lane.state", .. })), "{foreign}: {lanes:?}");
    }
}

#[tokio::test]
async fn the_books_hold_everything_that_was_counted() {
    let sample = Sample::midday();
    let books = see(&sample, |view| view.books()).await;
    assert_eq!((books.seq, books.unacknowledged_entries, books.stays.len()), (9, 3, 4));
    let by_points = books.stays.iter().find(|stay| stay.stay == "S1-1").expect("the stay");
    assert_eq!((by_points.fee_fen, by_points.paid_fen, by_points.points_fen), (Some(400), 0, 400));
    assert_eq!(books.payments.iter().map(|p| p.fen).sum::<i64>(), 2000);
    assert_eq!(
        books.points.iter().map(|p| (p.kind.as_str(), p.points)).collect::<Vec<_>>(),
        [("earned", 128), ("spent", 40)]
    );
    assert_eq!(books.sales.iter().map(|sale| sale.fen).sum::<i64>(), 12800);
    let staff = RaiseCause::Staff { operator: "li".to_owned(), reason: "Fee waived".to_owned() };
    assert_eq!((&books.raises[0].cause, books.raises[0].passed), (&staff, true));
    let text = serde_json::to_value(&books).expect("JSON");
    assert_eq!((&text["box"], &text["payments"][0]["tender"]["by"]), (&"demo-1".into(), &"guard".into()));
}

#[tokio::test]
async fn a_view_cannot_write() {
    let sample = Sample::midday();
    let wrote = sample.reader().look(|view| Ok(view.tx.execute("DELETE FROM stay", [])?)).await;
    assert!(matches!(wrote, Err(ReadError::Sqlite(_))), "{wrote:?}");
}

#[tokio::test]
async fn one_look_is_of_one_moment() {
    let sample = Sample::midday();
    let path = sample.path();
    let (before, after) = see(&sample, move |view| {
        let before = view.inside_count()?;
        let writer = rusqlite::Connection::open(&path)?;
        writer.execute("DELETE FROM stay", [])?;
        Ok((before, view.inside_count()?))
    })
    .await;
    assert_eq!((before, after), (2, 2));
    assert_eq!(see(&sample, |view| view.inside_count()).await, 0);
}

#[tokio::test]
async fn a_view_that_takes_too_long_is_stopped_and_the_next_one_works() {
    let sample = Sample::midday();
    let reader = sample.reader();
    let stopped = reader.look_within(Duration::from_millis(50), endless).await;
    assert!(matches!(stopped, Err(ReadError::Deadline(_))), "{stopped:?}");
    for _ in 0..4 {
        assert_eq!(reader.look(|view| view.inside_count()).await.expect("a view"), 2);
    }
    let all = reader.shared.permits.acquire_many(super::CONNECTIONS as u32);
    let all = tokio::time::timeout(Duration::from_secs(5), all).await;
    assert!(all.is_ok(), "the endless query still runs");
}

#[test]
fn a_file_that_is_not_there_is_not_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("none.sqlite");
    assert!(Reader::open(&path).is_err());
    assert!(!path.exists());
}

async fn see<T: Send + 'static>(
    sample: &Sample,
    look: impl FnOnce(&View<'_>) -> Result<T, ReadError> + Send + 'static,
) -> T {
    sample.reader().look(look).await.expect("a view")
}

async fn inside(sample: &Sample, plate: &str) -> Option<StayId> {
    let plate: Plate = plate.parse().expect("a plate");
    see(sample, move |view| view.stay_inside_by_plate(&plate)).await.map(|row| row.stay.id)
}

async fn check_tail(sample: &Sample, from: u64, most: usize, most_bytes: usize, expect: &[u64]) {
    let tail = see(sample, move |view| view.entries(from, most, most_bytes)).await;
    assert_eq!(tail.iter().map(|entry| entry.seq).collect::<Vec<_>>(), expect);
}

/// Half a minute of counting: endless enough, and over at last where nobody stops it.
fn endless(view: &View<'_>) -> Result<i64, ReadError> {
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 150000000) SELECT max(i) FROM n";
    Ok(view.tx.query_row(sql, [], |row| row.get(0))?)
}
