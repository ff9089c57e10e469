//! The main job as a newcomer runs it: one command, and its last line says that the books match the world.

use std::process::Command;

use serde_json::Value;

/// Captures at the lane with two cameras that were more than one arrival: two reads were taken and neither knows of the other,
/// or more than one raise followed.
const ARRIVED_TWICE: &str = "
    WITH records AS (
        SELECT entry, r.value AS it FROM journal, json_each(CAST(body AS TEXT), '$.records') r
    ), taken AS (
        SELECT it ->> '$.read.captured' AS captured, it ->> '$.read.event' AS event, it -> '$.read.earlier' AS earlier,
            (SELECT count(*) FROM records c WHERE c.entry = t.entry AND c.it ->> '$.kind' = 'barrier_commanded') AS raises
        FROM records t
        WHERE it ->> '$.kind' = 'read_taken' AND it ->> '$.outcome' = 'taken' AND it ->> '$.read.lane' = 'exit-1'
    )
    SELECT 'captured at ' || captured FROM taken GROUP BY captured
    HAVING count(DISTINCT event) FILTER (WHERE earlier IS NULL) > 1 OR sum(raises) > 1";

#[test]
fn a_headless_day_ends_with_books_that_match_the_world() {
    let keep = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(["demo", "--headless", "--cars", "60", "--seed", "7", "--speed", "60", "--json", "--keep"])
        .arg(keep.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    let report: Value = serde_json::from_str(last).unwrap();
    assert!(output.status.success(), "{report:#}");
    assert_eq!(report["books_match_world"], true, "{report:#}");
    assert_eq!((&report["overspent_points"], &report["unacknowledged_records"]), (&0.into(), &0.into()));
    for counted in [
        "cars",
        "entries",
        "exits",
        "raised_automatically",
        "points_spent",
        "points_earned",
        "cash_fen",
        "coupons_used",
        "coupons_fen",
    ] {
        assert!(report[counted].as_i64().is_some_and(|n| n > 0), "{counted} in {report:#}");
    }
    assert!(report["losses"]["tailgated"].as_i64().is_some_and(|n| n > 0), "somebody escaped: {report:#}");
    // A payment code is shown only where a driver waits for longer than a look at the lane takes; `signs` tells of those.
    for told in ["screens", "sentences"] {
        assert!(report["shown"][told].as_u64().is_some_and(|n| n > 0), "{told} in {report:#}");
    }
    assert_eq!(report["shown"]["flash_writes"], 0);
    assert!(report["arms_lowered"].as_u64().is_some_and(|n| n > 0), "an arm closes behind vehicles: {report:#}");
    let ledger = rusqlite::Connection::open(keep.path().join("ledger.db")).unwrap();
    for kind in ["ticket_issued", "zone_entered", "zone_left", "tailgate_seen", "debt_booked"] {
        let sql = "SELECT count(*) FROM journal, json_each(CAST(body AS TEXT), '$.records') r WHERE r.value ->> '$.kind' = ?1";
        let told: i64 = ledger.query_row(sql, [kind], |row| row.get(0)).unwrap();
        assert!(told > 0, "the day tells of {kind}");
    }
    // Two cameras look at one exit, and each vehicle there was one arrival, whichever spoke first and whatever it read.
    let by_both = |what: &str| -> i64 {
        let sql = format!(
            "SELECT count(*) FROM plate_read rear JOIN plate_read front USING (captured_ms) \
             WHERE rear.device = 'camera-exit-1-rear' AND front.device = 'camera-exit-1' AND {what}"
        );
        ledger.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    let front_first = "front.outcome = 'taken' AND rear.outcome = 'same_vehicle'";
    let rear_first = "rear.outcome = 'taken' AND front.outcome = 'same_vehicle'";
    let otherwise =
        "rear.plate NOT IN (SELECT plate FROM plate_read WHERE device = 'camera-entry-1' AND plate NOT NULL)";
    for what in [
        format!("{front_first} AND rear.plate = front.plate"),
        format!("{rear_first} AND rear.plate = front.plate"),
        format!("{front_first} AND {otherwise}"),
    ] {
        assert!(by_both(&what) > 0, "no vehicle at both cameras with {what}");
    }
    // Where the first camera read it wrong and nothing was decided, the other one's read is taken beside it: once.
    let both_taken = "front.outcome = 'taken' AND rear.outcome = 'taken'";
    assert!(by_both(both_taken) > 0, "no vehicle was decided by what both cameras read");
    let twice: Vec<String> =
        ledger.prepare(ARRIVED_TWICE).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert!(twice.is_empty(), "one vehicle was two arrivals: {twice:?}");
    assert!(report["manual"].is_u64() && report["latency_ms"]["p50"].is_f64() && report["latency_ms"]["p99"].is_f64());

    let daemon_log = std::fs::read_to_string(keep.path().join("gatepost.log")).unwrap();
    assert!(daemon_log.matches("ready address=").count() == 2, "killed and started again");
    assert!(daemon_log.contains("the line to the cloud ledger up=false"), "cut off and back");
    assert_no_plate(&daemon_log);
}

/// No plate above DEBUG, and the daemon logs at INFO.
fn assert_no_plate(log: &str) {
    let provinces = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
    let shown = log.lines().find(|line| line.chars().any(|c| provinces.contains(c)));
    assert_eq!(shown, None, "a plate in the log");
}
