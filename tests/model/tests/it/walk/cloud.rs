//! The real ledger behind its wire interface, in this process and on a file in memory.

use std::sync::Arc;

use cloud_ledger::{Ledger, Tokens};
use serde_json::{Value, json};

use super::{BOXES, MEMBERS, memory};

/// The ledger, and a client that may do everything.
pub struct Cloud {
    rt: tokio::runtime::Runtime,
    client: reqwest::Client,
    base: String,
    _dir: tempfile::TempDir,
}

/// What the ledger answered: the status and the body.
pub type Answer = (u16, Value);

impl Cloud {
    /// A new ledger whose members have these points.
    pub fn new(balances: &[i16]) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let dir = tempfile::tempdir_in(memory()).unwrap();
        let ledger = Ledger::open(&dir.path().join("cloud.db")).unwrap();
        let tokens = Tokens::new("office", BOXES.map(|name| (name.to_owned(), format!("token-{name}")))).unwrap();
        let listener = rt.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        rt.spawn(cloud_ledger::serve(listener, Arc::new(ledger), tokens, std::future::pending()));
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
        let cloud = Self { rt, client, base, _dir: dir };
        for (member, balance) in MEMBERS.iter().zip(balances) {
            let profile = json!({"handle": "王**", "tier": "gold", "consent_plates": true, "plates": [], "codes": []});
            cloud.office_ok("PUT", &format!("v1/members/{member}"), &profile);
            let credit = json!({"op": format!("begin-{member}"), "points": balance, "reason": "the beginning"});
            cloud.office_ok("POST", &format!("v1/members/{member}/credits"), &credit);
        }
        cloud
    }

    /// What a box asks.
    pub fn as_box(&self, name: &str, what: &str, body: &Value) -> Answer {
        self.ask("POST", &format!("v1/boxes/{name}/{what}"), &format!("token-{name}"), body)
    }

    /// What the office asks.
    pub fn office(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.ask(method, path, "office", body)
    }

    /// The same, where nothing can be wrong.
    pub fn office_ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.office(method, path, body);
        assert_eq!(status, 200, "{method} {path} {body}: {answer}");
        answer
    }

    fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let url = format!("{}/{path}", self.base);
        let mut request = self.client.request(method.parse().unwrap(), url).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        self.rt.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap())
        })
    }
}
