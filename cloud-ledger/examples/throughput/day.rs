//! What the boxes of the measurement did: journals as long as wanted, with the mix and the sizes of a real box's.

use cloud_ledger::journal::{Entry, Head};
use serde_json::{Value, json};

/// Members that park and shop.
pub const MEMBERS: usize = 2000;

/// A journal of so many entries. Cars come and go; every seventh entry is a sale that earns points, every eleventh
/// spends what was earned before.
pub fn journal(name: &str, length: usize) -> Vec<Entry> {
    let mut head = Head::genesis(name, 1);
    let mut entries = Vec::with_capacity(length);
    let mut pocket = None;
    for number in 1..=length {
        let body = body(name, number, &mut pocket);
        head = head.link(&body);
        entries.push(Entry { seq: number as i64, body, head: Some(head) });
    }
    entries
}

/// What was earned last and not spent yet: whose, and in which pocket.
type Pocket = Option<(String, String)>;

fn body(name: &str, number: usize, pocket: &mut Pocket) -> String {
    let at_ms = 1_772_294_400_000 + number as i64 * 4_300 + scatter(number, 997) as i64;
    let member = format!("M{}", number * 31 % MEMBERS);
    let op = format!("{name}/1/{number}/0");
    let (input, records) = match number {
        _ if number.is_multiple_of(11) && pocket.is_some() => spend(number, &op, pocket.take().unwrap_or_default()),
        _ if number.is_multiple_of(7) => {
            *pocket = Some((member.clone(), format!("born:{op}")));
            sale(number, name, &op, &member, at_ms)
        }
        _ if number.is_multiple_of(3) => arrival(number, name, &op, at_ms),
        _ => passage(number, &op),
    };
    json!({"at_ms": at_ms, "trusted": true, "input": input, "records": records}).to_string()
}

/// A number below `most` that looks like chance and is the same in every run.
fn scatter(number: usize, most: usize) -> usize {
    (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % most
}

fn spend(number: usize, op: &str, (member, grant): (String, String)) -> (Value, Value) {
    let input = json!({"kind": "till", "terminal": "till-3", "key": format!("k{number}"), "receipt": format!("r{number}"),
        "member": member, "sale": 30, "cash": 0, "points_cover": 30});
    let parts = json!([{"grant": grant, "points": 3}]);
    let spent = json!({"kind": "points_spent", "op": op, "member": member, "points": 3, "fen": 30, "parts": parts});
    (input, json!([spent]))
}

fn sale(number: usize, name: &str, op: &str, member: &str, at_ms: i64) -> (Value, Value) {
    let fen = 100 * scatter(number, 577);
    let input = json!({"kind": "till", "terminal": "till-3", "key": format!("k{number}"), "receipt": format!("r{number}"),
        "member": member, "sale": fen, "cash": fen, "points_cover": 0});
    let sold = json!({"kind": "sale_committed", "op": format!("{name}/1/{number}/1"), "terminal": "till-3",
        "member": member, "total_fen": fen, "at_ms": at_ms, "receipt": format!("r{number}")});
    (input, json!([sold, {"kind": "points_earned", "op": op, "member": member, "points": 5}]))
}

fn arrival(number: usize, name: &str, op: &str, at_ms: i64) -> (Value, Value) {
    let lane = format!("in-{}", number % 4);
    let plate = format!("粤B{:05}", scatter(number, 100_000));
    let input = json!({"kind": "plate_read", "lane": lane, "device": format!("camera-{lane}"), "plate": plate,
        "event": format!("e{number}"), "confidence": 90 + number % 10, "captured": at_ms, "stored_offline": false});
    let stay = format!("{name}/1/{number}/1");
    let opened = json!({"kind": "stay_opened", "stay": stay, "plate": plate, "lane": lane, "entry_ms": at_ms});
    let raised = json!({"kind": "barrier_commanded", "lane": lane, "command": op});
    let moved = json!({"kind": "lane_moved", "lane": lane, "state": {"phase": {"at": "raised", "command": op}}});
    (input, json!([opened, raised, moved]))
}

fn passage(number: usize, op: &str) -> (Value, Value) {
    let lane = format!("in-{}", number % 4);
    let input = json!({"kind": "loop_changed", "lane": lane, "role": "passage", "occupied": number.is_multiple_of(2)});
    let seen = json!({"kind": "passage_seen", "lane": lane, "op": op});
    (input, json!([seen, {"kind": "lane_moved", "lane": lane, "state": {"phase": {"at": "idle"}}}]))
}
