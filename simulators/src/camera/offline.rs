//! What a camera does by itself while the box is away: it lets in who stands on its own list, keeps what it saw, and says it
//! later, one after the other, as the box asks for more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};

use super::dialect::Message;
use crate::clock::{WallTime, wall_time};

/// Records that such a camera keeps at most; the oldest are lost then.
const RECORDS_MAX: usize = 1000;

/// A camera's own list and memory.
pub(super) struct Offline {
    /// Without an answer in this time the box counts as away.
    pub after: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// From when until when each plate may come in, by the camera's own clock.
    list: BTreeMap<String, (String, String)>,
    stored: VecDeque<(u64, Message)>,
}

impl Offline {
    pub fn new(after: Duration) -> Self {
        Self { after, state: Mutex::default() }
    }

    /// What an answer of the box changes: the list, and which record it has now.
    pub fn hear(&self, answer: &str) {
        let Ok(answer) = serde_json::from_str::<Value>(answer) else { return };
        let told = &answer["Response_AlarmInfoPlate"];
        let order = &told["white_list_operate"];
        for entry in order["white_list_data"].as_array().into_iter().flatten() {
            self.change_list(&order["operate_type"], entry);
        }
        // Only the record that it names is with the box; a camera that has no such record goes on as it was.
        let has = told["ContinuePushOffline"]["plateid"].as_u64();
        self.state().stored.retain(|(record, _)| Some(*record) != has);
    }

    fn change_list(&self, operation: &Value, entry: &Value) {
        match operation.as_i64() {
            Some(0) => self.add(entry),
            Some(1) => self.delete(entry["plate"].as_str().unwrap_or_default()),
            _ => {}
        }
    }

    /// A plate with its time.
    pub fn add(&self, entry: &Value) {
        let text = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        if entry["enable"] == 1 {
            self.state().list.insert(text("plate"), (text("enable_time"), text("overdue_time")));
        }
    }

    /// The maker's camera empties its list for want of a plate.
    pub fn delete(&self, plate: &str) {
        let mut state = self.state();
        if plate.is_empty() {
            state.list.clear();
        } else {
            state.list.remove(plate);
        }
    }

    /// The box has this record, or its broker for it.
    pub fn forget(&self, record: u64) {
        self.state().stored.retain(|(kept, _)| *kept != record);
    }

    /// Whether the camera lets this plate in by itself at this moment.
    pub fn lets_in(&self, plate: &str, at_ms: i64) -> bool {
        let WallTime { date, time } = wall_time(at_ms);
        let now = format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", date.0, date.1, date.2, time.0, time.1, time.2);
        self.state().list.get(plate).is_some_and(|(from, until)| *from <= now && now < *until)
    }

    /// Keeps what the box has not heard, marked as stored.
    pub fn keep(&self, record: u64, message: &Message) {
        let Ok(mut document) = serde_json::from_slice::<Value>(&message.body) else { return };
        // Through a broker it is in an envelope.
        let is_enveloped = document.get("payload").is_some();
        let alarm = if is_enveloped { &mut document["payload"] } else { &mut document };
        alarm["AlarmInfoPlate"]["result"]["PlateResult"]["isoffline"] = json!(1);
        let mut state = self.state();
        state.stored.push_back((record, Message::json(message.to.clone(), &document)));
        while state.stored.len() > RECORDS_MAX {
            state.stored.pop_front();
        }
    }

    /// The oldest record that the box has not taken.
    pub fn next(&self) -> Option<(u64, Message)> {
        self.state().stored.front().cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_MS: i64 = 1_772_294_399_638;

    #[test]
    fn the_list_is_what_the_box_says_and_a_delete_without_a_plate_empties_it() {
        let camera = Offline::new(Duration::from_secs(1));
        let add = |plate: &str, from: &str, until: &str| {
            camera.hear(&format!(
                r#"{{"Response_AlarmInfoPlate":{{"white_list_operate":{{"operate_type":0,"white_list_data":[{{"plate":"{plate}","enable":1,"need_alarm":0,"enable_time":"{from}","overdue_time":"{until}"}}]}}}}}}"#
            ));
        };
        add("粤B11111", "2026-02-28 00:00:00", "2026-03-30 00:00:00");
        add("粤B22222", "2026-01-01 00:00:00", "2026-02-28 23:59:59");
        assert!(camera.lets_in("粤B11111", AT_MS) && !camera.lets_in("粤B33333", AT_MS));
        assert!(!camera.lets_in("粤B22222", AT_MS), "its time is over");
        let delete = |plate: &str| {
            camera.hear(&format!(
                r#"{{"Response_AlarmInfoPlate":{{"white_list_operate":{{"operate_type":1,"white_list_data":[{{"plate":"{plate}"}}]}}}}}}"#
            ));
        };
        delete("粤B22222");
        assert!(camera.lets_in("粤B11111", AT_MS));
        delete("");
        assert!(!camera.lets_in("粤B11111", AT_MS));
    }

    #[test]
    fn a_record_is_kept_until_the_box_names_it() {
        let camera = Offline::new(Duration::from_secs(1));
        let post = json!({"AlarmInfoPlate": {"result": {"PlateResult": {"isoffline": 0}}}});
        camera.keep(7, &Message::json("/a".to_owned(), &post));
        camera.keep(8, &Message::json("/a".to_owned(), &post));
        camera.hear(r#"{"Response_AlarmInfoPlate":{"ContinuePushOffline":{"plateid":6,"continue":1}}}"#);
        let (record, message) = camera.next().expect("a record");
        let said: Value = serde_json::from_slice(&message.body).unwrap();
        assert_eq!((record, &said["AlarmInfoPlate"]["result"]["PlateResult"]["isoffline"]), (7, &json!(1)));
        camera.hear(r#"{"Response_AlarmInfoPlate":{"ContinuePushOffline":{"plateid":7,"continue":1}}}"#);
        assert_eq!(camera.next().map(|(record, _)| record), Some(8));
    }
}
