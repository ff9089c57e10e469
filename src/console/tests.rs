//! The page and its stream through a real socket, over a small mall's ledger file.

mod arms;
mod pictures;

use serde_json::Value;

use super::rig::{Rig, Stream};
use super::*;
use crate::domain::event::{ArmPosition, CommandAnswer, CommandId, Fen, PlateRead, RaiseCause, UtcMs};
use crate::domain::lane::{Lane, Phase, PossibleStay, Raised, Served, WaitReason, Waiting};
use crate::domain::losses::DayReport;
use crate::store::reader::sample::{NOON_MS, visit, waiting};

#[tokio::test]
async fn the_page_shows_the_lanes_the_fees_and_why() {
    let rig = Rig::new().await;
    let page = rig.text("/?lang=en").await;
    for must in ["Waiting for payment", "粤B·12345", "gold · 王**", "178 points usable", "Due¥8.00", "2 h × ¥4.00"]
    {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
    for must in ["Take cash ¥8.00", "Arm down", "Raise the barrier", "Last plate reads", "88%"] {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
    for must in ["16 h × ¥4.00¥64.00", "at most ¥50.00 a day−¥14.00", "Cash at the lane li ¥20.00", "Points 40 = ¥4.00"]
    {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
    let hash = rig.sample.reader().look(|view| view.head()).await.expect("the head").head;
    for must in ["Let go unpaid ¥30.00", "Nobody saw it leave", "Entries to upload3", "Cloud offline", &hash[..12]] {
        assert!(page.contains(must), "{must:?} is not on the page: {page}");
    }
}

#[tokio::test]
async fn a_plate_is_shown_in_full_only_at_a_lane() {
    let rig = Rig::new().await;
    let page = rig.text("/").await.replace('·', "");
    assert!(page.contains("粤B12345"), "it stands in a lane");
    for gone in ["粤B66666", "粤BD12345", "粤A88888"] {
        assert!(!page.contains(gone), "{gone} has left, yet: {page}");
    }
    assert!(page.contains("粤B••••6") && page.contains("粤B•••••5") && page.contains("粤A••••8"), "{page}");
}

#[tokio::test]
async fn the_page_speaks_the_language_that_is_asked_for() {
    let rig = Rig::new().await;
    assert!(rig.text("/").await.contains("等待付款"));
    assert!(rig.text("/?lang=en").await.contains("Waiting for payment"));
    let request = rig.client.get(rig.url("/")).header("Accept-Language", "en-GB,en;q=0.9");
    let page = request.send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains("Waiting for payment") && page.contains(r#"<html lang="en">"#), "{page}");
    assert!(page.contains(r#"href="/?lang=zh""#), "{page}");
}

#[tokio::test]
async fn nothing_from_outside_becomes_markup() {
    let rig = Rig::new().await;
    let evil = "<script>alert(1)</script>\"'&";
    rig.sample.run("UPDATE alarm SET text = ?1, code = ?1, lane = ?1", [evil]);
    rig.sample.run("UPDATE cloud_member SET handle = ?1, tier = ?1", [evil]);
    rig.sample.run("UPDATE stay SET void_reason = ?1 WHERE stay = 'S1-0'", [evil]);
    rig.sample.run("UPDATE plate_read SET plate = ?1 WHERE event = 'e-3'", [evil]);
    let cause = RaiseCause::Staff { operator: evil.to_owned(), reason: evil.to_owned() };
    rig.sample.lane("E1", &raised(cause, Some(CommandAnswer::Refused(evil.to_owned()))));
    let page = rig.client.get(rig.url("/")).send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(!page.contains("<script>alert"), "{page}");
    let mut stream = Stream::open(&rig, "").await;
    for part in stream.until_beat().await {
        assert!(!part.html.contains("<script"), "{}", part.html);
    }
}

#[tokio::test]
async fn the_page_loads_only_its_own_files() {
    let rig = Rig::new().await;
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/console/app.js", "text/javascript; charset=utf-8"),
        ("/console/app.css", "text/css; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let response = rig.client.get(rig.url(path)).send().await.expect("an answer");
        let headers = response.headers().clone();
        assert_eq!(headers["content-type"], kind, "{path}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["cache-control"], "no-store", "{path}");
        let policy = headers["content-security-policy"].to_str().expect("a text");
        assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
        let text = response.text().await.expect("a text");
        let may_name = ["http://www.w3.org/2000/svg"];
        let foreign = text.match_indices("http").any(|(at, _)| !may_name.iter().any(|ok| text[at..].starts_with(ok)));
        assert!(!foreign && !text.contains("style=") && !text.contains("onclick="), "{path}");
    }
}

#[tokio::test]
async fn a_guard_finds_the_near_plates_of_those_inside() {
    let rig = Rig::new().await;
    let unknown = visit(Some("粤A8888B"), None);
    let why = WaitReason::NoEntryFound;
    rig.sample.lane(
        "X1",
        &waiting(Waiting {
            visit: unknown,
            due: None,
            with_points: None,
            why,
            asked_for_points: false,
            candidates: Vec::new(),
            crossed: false,
            since_ms: 0,
        }),
    );
    let page = rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains(r#"data-act="/api/v1/staff/lanes/X1/plate""#), "{page}");
    assert!(page.contains(r#"name="plate" value="粤A88888""#), "{page}");
    assert!(!page.contains("lanes/X1/settle"), "nothing is known to be due: {page}");
}

/// The pictures of both entries beside the one of the exit, and only as long as there is something to choose.
#[tokio::test]
async fn a_guard_compares_the_pictures_of_the_entries_and_chooses() {
    let rig = Rig::new().await;
    let possible = |stay: &str, plate: &str, posterior_ppm| PossibleStay {
        stay: stay.into(),
        plate: plate.parse().expect("a plate"),
        posterior_ppm,
        second_factor: false,
    };
    let candidates = vec![possible("S1-3", "粤A88888", 612_000), possible("S1-2", "粤B12345", 300_000)];
    rig.take_a_picture("E1", "entry-of-3", 64).await;
    rig.sample.run("UPDATE stay SET entry_read = ?1 WHERE stay = 'S1-3'", [r#"{"event":"entry-of-3"}"#]);
    let entry = rig.photos.of_arrival(&"E1".into(), "entry-of-3").scene.expect("kept");
    let small = rig.url(&format!("/console/photos/{entry}"));
    let status = async || rig.client.get(&small).send().await.expect("an answer").status();
    assert_eq!(status().await, 404, "it is not to be compared with anything");
    let (visit, why) = (visit(Some("粤A8888B"), None), WaitReason::ChoiceOfStay);
    let (asked_for_points, crossed, since_ms) = (false, false, 0);
    let state = Waiting { visit, due: None, with_points: None, why, asked_for_points, candidates, crossed, since_ms };
    rig.sample.lane("X1", &waiting(state));
    let page = rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text");
    assert!(page.contains(r#"data-act="/api/v1/staff/lanes/X1/stay""#), "{page}");
    assert!(page.contains(r#"name="stay" value="S1-3""#) && page.contains("61 %") && page.contains("30 %"), "{page}");
    assert_eq!(page.matches(&format!(r#"src="/console/photos/{entry}""#)).count(), 1, "{page}");
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn a_lane_of_the_settings_is_there_before_its_first_word() {
    let rig = Rig::new().await;
    rig.sample.run("DELETE FROM lane", []);
    let page = rig.text("/?lang=en").await;
    assert!(page.contains("Exit X1") && page.contains("Free") && page.contains("Raise the barrier"), "{page}");
}

#[tokio::test]
async fn free_spaces_and_the_last_days_losses_are_shown() {
    let rig = Rig::new().await;
    let mut report = DayReport { date: "2026-02-28".to_owned(), entered: 12, left: 11, ..DayReport::default() };
    report.raised_without_stay.count = 3;
    let row = ("2026-02-28", serde_json::to_string(&report).expect("a report"));
    rig.sample.run("INSERT INTO day_report VALUES (?1, ?2)", row);
    let page = rig.text("/?lang=en").await;
    assert!(page.contains("Free spaces") && page.contains("Free spaces38"), "two of forty are inside: {page}");
    assert!(page.contains("2026-02-28") && page.contains("Raised for nobody"), "{page}");
}

#[tokio::test]
async fn staff_find_a_form_for_whatever_is_missing() {
    let rig = Rig::new().await;
    let forms = async |lane: &str, why| {
        let (visit, asked_for_points, candidates) = (visit(None, None), false, Vec::new());
        let state = Waiting {
            visit,
            due: None,
            with_points: None,
            why,
            asked_for_points,
            candidates,
            crossed: false,
            since_ms: 0,
        };
        rig.sample.lane(lane, &waiting(state));
        rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text")
    };
    let page = forms("E1", WaitReason::NoPlate).await;
    assert!(page.contains(r#"data-act="/api/v1/staff/lanes/E1/ticket""#), "{page}");
    assert!(!page.contains(r#"lanes/E1/no-entry""#) && !page.contains(r#"lanes/X1/ticket""#), "{page}");
    let page = forms("X1", WaitReason::NoPlate).await;
    assert!(page.contains(r#"lanes/X1/ticket""#) && page.contains(r#"lanes/X1/no-entry""#), "{page}");
    for must in [r#"name="unpaid""#, r#"name="second_pin""#, "/api/v1/staff/stays/{stay}/end", "/api/v1/staff/counts"] {
        assert!(page.contains(must), "{must} is not on the page: {page}");
    }
}

/// Whatever staff may ask the box to do has a form; the lanes' own are on the lanes' cards.
#[tokio::test]
async fn whatever_staff_may_post_has_a_form_with_all_its_fields() {
    let rig = Rig::new().await;
    let page = rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text");
    for (address, fields) in [
        ("stays/{stay}/correct", "stay plate reason evidence"),
        ("stays/{stay}/merge", "stay first reason evidence"),
        ("stays/{stay}/split", "stay left_at back_at reason evidence"),
        ("stays/{stay}/end", "stay reason evidence"),
        ("stays/{stay}/approve", "stay limit second second_pin reason evidence"),
        ("counts", "zone vehicles reason evidence"),
        ("emergency", "active reason"),
        ("rules/activate", "second second_pin"),
        ("rules/rollback", ""),
        ("pairings", "code terminal merchant"),
        ("terminals/{terminal}/revocation", "terminal"),
        ("reversals", "spend reason"),
        ("business-days/{day}/close", "day"),
    ] {
        let form = page.split(&format!(r#"data-act="/api/v1/staff/{address}""#)).nth(1);
        let form = form.and_then(|rest| rest.split("</form>").next()).unwrap_or_else(|| panic!("no form {address}"));
        let names: Vec<&str> = form.split(r#" name=""#).skip(1).filter_map(|rest| rest.split('"').next()).collect();
        assert_eq!(names.join(" "), fields, "{address}");
    }
}

#[tokio::test]
async fn whatever_a_vehicle_waits_for_is_said_in_both_languages() {
    let rig = Rig::new().await;
    check_waiting(&rig, WaitReason::FeeDue, "等待付款", "Waiting for payment").await;
    check_waiting(&rig, WaitReason::NoEntryFound, "没有入场记录", "No entry found").await;
    check_waiting(&rig, WaitReason::NoPlate, "看不清车牌", "Plate not readable").await;
    check_waiting(&rig, WaitReason::Blocked, "黑名单车辆", "On a block list").await;
    check_waiting(&rig, WaitReason::Full, "车位已满", "No space is free").await;
    check_waiting(&rig, WaitReason::DebtsDue, "有未付欠费", "Owes for earlier stays").await;
    check_waiting(&rig, WaitReason::InsideAlready, "该车已在场内", "Inside already").await;
    check_waiting(&rig, WaitReason::NoZoneRight, "无权进入此区域", "No right to this area").await;
    check_waiting(&rig, WaitReason::LeavingElsewhere, "正从另一车道离场", "Leaving by another lane").await;
}

#[tokio::test]
async fn points_that_were_asked_for_and_the_vehicle_behind_are_shown() {
    let rig = Rig::new().await;
    let mut due = due_at_noon(WaitReason::FeeDue);
    rig.sample.lane("X1", &waiting(due.clone()));
    let page = rig.text("/?lang=en").await;
    assert!(!page.contains("Asking the cloud") && !page.contains("Next behind it"), "{page}");
    due.asked_for_points = true;
    let next = PlateRead {
        lane: "X1".into(),
        device: "cam-x1".into(),
        event: "e-10".to_owned(),
        plate: Some("粤C77777".parse().expect("a plate")),
        confidence: 97,
        captured: UtcMs(NOON_MS),
        stored_offline: false,
        photos: None,
        told: Default::default(),
        earlier: Vec::new(),
    };
    rig.sample.lane("X1", &Lane { next: Some(next), ..waiting(due) });
    let page = rig.text("/?lang=en").await;
    assert!(page.contains("Asking the cloud for more points"), "{page}");
    assert!(page.contains("Next behind it 粤C·77777"), "{page}");
    assert!(rig.text("/?lang=zh").await.contains("正在向云端申请更多积分"));
}

#[tokio::test]
async fn a_raise_that_nobody_is_sure_of_says_what_a_guard_can_do() {
    let rig = Rig::new().await;
    let unsure = "Nobody knows if the arm went up";
    for (answer, is_uncertain, words) in [
        (None, false, "Raised; go ahead"),
        (Some(CommandAnswer::Accepted), false, "Raised; go ahead"),
        (Some(CommandAnswer::NotSent("the port is not there".to_owned())), true, "Not sent: the port is not there"),
        (
            Some(CommandAnswer::Silent("no answer in time".to_owned())),
            true,
            "No answer from the device: no answer in time",
        ),
        (Some(CommandAnswer::Refused("code 500".to_owned())), true, "The device refused: code 500"),
    ] {
        let never_left = matches!(answer, Some(CommandAnswer::NotSent(_)));
        let uncertain = if never_left { "The barrier was not told to go up" } else { unsure };
        let down = Lane { arm: Some(ArmPosition::Down), ..raised(RaiseCause::Paid, answer.clone()) };
        rig.sample.lane("X1", &down);
        let page = rig.text("/?lang=en").await;
        assert!(page.contains(words), "{answer:?}: {page}");
        assert_eq!(page.contains(uncertain), is_uncertain, "{answer:?}: {page}");
        assert!(!never_left || !page.contains(unsure), "{page}");
        assert_eq!(page.contains("press “Raise…” below once more"), is_uncertain, "{answer:?}: {page}");
        rig.sample.lane("X1", &Lane { arm: Some(ArmPosition::Up), ..down });
        let page = rig.text("/?lang=en").await;
        assert_eq!(page.contains("limit switch shows the arm up"), is_uncertain, "{answer:?}: {page}");
        assert!(!page.contains("below once more"), "an arm that is seen up is not raised again: {page}");
    }
}

#[tokio::test]
async fn what_a_guard_lets_go_unpaid_is_shown_at_the_lane() {
    let rig = Rig::new().await;
    let staff = RaiseCause::Staff { operator: "li".to_owned(), reason: "Fee waived".to_owned() };
    let mut lane = raised(staff, Some(CommandAnswer::Accepted));
    rig.sample.lane("X1", &lane);
    assert!(!rig.text("/?lang=en").await.contains("Let go unpaid ¥8.00"));
    if let Phase::Raised(raised) = &mut lane.phase {
        raised.waived = Fen(800);
    }
    rig.sample.lane("X1", &lane);
    let page = rig.text("/?lang=en").await;
    assert!(page.contains("Let go unpaid ¥8.00") && page.contains("Raised by hand · li: Fee waived"), "{page}");
}

#[tokio::test]
async fn the_vehicle_before_is_shown_masked() {
    let rig = Rig::new().await;
    let last =
        Served { plate: "粤B66666".parse().expect("a plate"), at: UtcMs(NOON_MS), unread: None, also: Vec::new() };
    rig.sample.lane("E1", &Lane { last: Some(last), ..Lane::default() });
    let page = rig.text("/?lang=en").await;
    assert!(page.contains("Last 粤B·••••6 · 12:00:00"), "{page}");
}

#[tokio::test]
async fn a_change_reaches_the_page_and_nothing_else_is_sent() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, "?lang=en").await;
    let mut ids: Vec<String> = stream.until_beat().await.into_iter().map(|part| part.id).collect();
    ids.sort();
    let every = [
        "alarms",
        "day",
        "devices",
        "ended",
        "journal",
        "lane-0-forms",
        "lane-0-now",
        "lane-0-offers",
        "lane-0-photos",
        "lane-1-forms",
        "lane-1-now",
        "lane-1-offers",
        "lane-1-photos",
        "overview",
        "reads",
    ];
    assert_eq!(ids, every, "a stream begins with the whole picture");
    rig.sample.lane("E1", &Lane { arm: Some(ArmPosition::Up), ..raised(RaiseCause::Entry, None) });
    rig.versions.send_modify(|version| *version += 1);
    let changed = stream.until_beat().await;
    assert_eq!(changed.iter().map(|part| part.id.as_str()).collect::<Vec<_>>(), ["lane-0-now"]);
    assert!(changed[0].html.contains("Welcome in") && changed[0].html.contains("Arm up"), "{}", changed[0].html);
    let mut back = Stream::open(&rig, "?lang=en").await;
    let again = back.until_beat().await;
    assert_eq!(again.len(), every.len());
    assert!(again.iter().any(|part| part.html == changed[0].html), "who comes back sees what was missed");
}

#[tokio::test]
async fn a_stream_keeps_its_pace_and_shows_the_last_of_many_changes() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, "").await;
    let begun = std::time::Instant::now();
    for number in 1..=4 {
        stream.until_beat().await;
        rig.change_alarm(number);
    }
    let parts = stream.until_beat().await;
    assert!(parts.iter().any(|part| part.html.contains("alarm 4<")));
    // The first picture may have been taken before the clock was read.
    assert!(begun.elapsed() >= stream::PACE * 3, "five pictures in {} ms", begun.elapsed().as_millis());
    for number in 5..=200 {
        rig.change_alarm(number);
    }
    let parts = stream.until_beat().await;
    assert!(parts.iter().any(|part| part.html.contains("alarm 200<")), "one picture of them all");
}

#[tokio::test]
async fn the_stream_ends_with_the_loop() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, "").await;
    stream.until_beat().await;
    drop(rig.versions);
    while stream.response.chunk().await.expect("a clean end").is_some() {}
}

#[tokio::test]
async fn there_is_a_limit_on_open_pages() {
    let rig = Rig::new().await;
    let mut open = Vec::new();
    for _ in 0..MOST_STREAMS {
        open.push(Stream::open(&rig, "").await);
    }
    let one_more = rig.client.get(rig.url("/console/events")).send().await.expect("an answer");
    assert_eq!(one_more.status(), 503);
    assert_eq!(rig.client.get(rig.url("/")).send().await.expect("an answer").status(), 200);
}

#[tokio::test]
async fn health_says_whether_the_ledger_can_be_read() {
    let rig = Rig::new().await;
    let well: Value = rig.client.get(rig.url("/healthz")).send().await.expect("an answer").json().await.expect("JSON");
    assert_eq!(well, json!({"ok": true, "seq": 9}));
    rig.sample.run("DROP TABLE box", []);
    assert_eq!(rig.client.get(rig.url("/healthz")).send().await.expect("an answer").status(), 503);
    assert_eq!(rig.client.get(rig.url("/")).send().await.expect("an answer").status(), 503);
}

#[tokio::test]
async fn a_picture_is_given_without_a_pin_only_while_its_vehicle_stands_in_the_lane() {
    let rig = Rig::new().await;
    let mut stream = Stream::open(&rig, "").await;
    stream.until_beat().await;
    rig.take_a_picture("X1", "e-9", 640).await;
    let parts = stream.until_beat().await;
    let part = parts.iter().find(|part| part.id == "lane-1-photos").expect("the lane's pictures are sent again");
    let id = part.html.split("/console/photos/").nth(1).and_then(|rest| rest.split('"').next()).expect("a picture");
    assert!(part.html.contains(&format!(r#"data-photo="{id}""#)), "{}", part.html);
    let get = |id: &str| rig.client.get(rig.url(&format!("/console/photos/{id}"))).send();

    let picture = get(id).await.expect("an answer");
    assert_eq!(
        (picture.status().as_u16(), &picture.headers()["content-type"]),
        (200, &"image/jpeg".parse().expect("a text"))
    );
    assert_eq!(picture.headers()["cache-control"], "no-store");
    assert_eq!(picture.headers()["x-content-type-options"], "nosniff");
    assert!(picture.bytes().await.expect("a picture").starts_with(&[0xFF, 0xD8, 0xFF]));

    rig.take_a_picture("X1", "e-8", 64).await;
    let other = rig.photos.of_arrival(&"X1".into(), "e-8").scene.expect("kept").to_string();
    assert_eq!(get(&other).await.expect("an answer").status(), 404, "of another vehicle");
    for name in ["..%2f..%2fetc%2fpasswd", "%2e%2e", "x", &id.replace("20260302", "20260303")] {
        assert_eq!(get(name).await.expect("an answer").status(), 404, "{name}");
    }
    rig.sample.lane("X1", &Lane::default());
    assert_eq!(get(id).await.expect("an answer").status(), 404, "the vehicle has gone");
}

#[tokio::test]
async fn the_last_reads_offer_their_picture_to_who_has_a_pin() {
    let rig = Rig::new().await;
    rig.take_a_picture("E1", "e-3", 64).await;
    let page = rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text");
    let id = rig.photos.of_arrival(&"E1".into(), "e-3").scene.expect("kept");
    assert!(page.contains(&format!(r#"data-photo="{id}">Picture</button>"#)), "{page}");
    assert!(!page.contains("/console/photos/"), "nobody with a picture stands in a lane: {page}");
}

#[tokio::test]
async fn a_guard_is_offered_what_points_leave_to_pay() {
    let rig = Rig::new().await;
    rig.sample.lane("X1", &waiting(Waiting { with_points: Some(Fen(300)), ..due_at_noon(WaitReason::FeeDue) }));
    let page = rig.client.get(rig.url("/?lang=en")).send().await.expect("an answer").text().await.expect("a text");
    for (fen, words) in [(800, "Take cash <b>¥8.00</b>"), (300, "Points, and cash <b>¥3.00</b>")] {
        assert!(page.contains(&format!(r#"name="fen" value="{fen}""#)) && page.contains(words), "{words}: {page}");
    }
}

async fn check_waiting(rig: &Rig, why: WaitReason, zh: &str, en: &str) {
    rig.sample.lane("X1", &waiting(due_at_noon(why)));
    for (lang, words) in [("zh", zh), ("en", en)] {
        let page = rig.text(&format!("/?lang={lang}")).await;
        assert!(page.contains(words), "{why:?}: {words:?} is not on the page: {page}");
    }
}

fn due_at_noon(why: WaitReason) -> Waiting {
    let visit = visit(Some("粤B12345"), Some("S1-2"));
    Waiting {
        visit,
        due: Some(Fen(800)),
        with_points: None,
        why,
        asked_for_points: false,
        candidates: Vec::new(),
        crossed: false,
        since_ms: 0,
    }
}

/// A lane that was commanded up for nobody that the box knows.
fn raised(cause: RaiseCause, answer: Option<CommandAnswer>) -> Lane {
    let phase = Phase::Raised(Raised {
        visit: None,
        command: CommandId::from("demo-1/1/9/0"),
        cause,
        answer,
        on_passage: false,
        waived: Fen(0),
        since_ms: 0,
        told: false,
        has_told_uncertain: false,
        is_ahead: false,
    });
    Lane { phase, ..Lane::default() }
}
