//! The real ledger beside the boxes of a story: what it tells them and what they hand in is carried by hand, when the test
//! says so.

use cloud_ledger::Ledger;
use cloud_ledger::ledger::{Hello, Refusal, Upload};
use gatepost::domain::event::{CloudNews, FeedChange, Input};
use serde_json::{Value, json};

use crate::story::Story;

/// 2026-03-02T08:00:00+08:00, when every story begins, and the ledger's time all the while.
pub const BEGIN: i64 = 1_772_409_600_000;

/// The real ledger.
pub struct Cloud {
    pub ledger: Ledger,
    _place: tempfile::TempDir,
}

impl Cloud {
    pub fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        Self { ledger: Ledger::open(&place.path().join("cloud.db")).unwrap(), _place: place }
    }

    pub fn greet(&self, story: &Story) {
        let at = "SELECT json_object('epoch', epoch, 'seq', seq, 'head', lower(hex(head))) FROM journal
                  ORDER BY entry DESC LIMIT 1";
        let hello: Hello = serde_json::from_str(&story.rows(at)[0]).unwrap();
        self.ledger.hello(&name_of(story), &hello, BEGIN).unwrap();
    }

    /// The box hears what the feed has for it.
    pub fn tell(&self, story: &mut Story) {
        let after = story.rows("SELECT CAST(value AS TEXT) FROM cloud_cursor WHERE name = 'feed'").pop();
        self.tell_after(after.map_or(0, |text| text.parse().unwrap()), story);
    }

    pub fn tell_after(&self, after: i64, story: &mut Story) {
        let page = self.ledger.feed(after, 500).unwrap();
        let change = |change| serde_json::from_value::<FeedChange>(serde_json::to_value(change).unwrap()).unwrap();
        let changes = page.changes.iter().map(change).collect();
        let next = u64::try_from(page.next).unwrap();
        story.feed(Input::Cloud(CloudNews::Fed { changes, next }));
    }

    /// Every journal of the box, of which the ledger takes what it has not got; the last refusal, where there was one.
    pub fn upload(&self, story: &Story) -> Result<(), Refusal> {
        let entries = "SELECT json_object('epoch', epoch, 'seq', seq, 'body', CAST(body AS TEXT),
                       'head', lower(hex(head))) FROM journal ORDER BY entry";
        let entries: Vec<Value> = story.rows(entries).iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let mut outcome = Ok(());
        for part in entries.chunk_by(|a, b| a["epoch"] == b["epoch"]).flat_map(|epoch| epoch.chunks(500)) {
            let upload: Upload = serde_json::from_value(json!({"epoch": part[0]["epoch"], "entries": part})).unwrap();
            outcome = self.ledger.upload(&name_of(story), &upload, BEGIN).map(drop).and(outcome);
        }
        outcome
    }
}

fn name_of(story: &Story) -> String {
    story.rows("SELECT box_id FROM box").remove(0)
}
