//! The real ledger behind its wire interface, in this process and on a file in memory, and the keys of its boxes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud_ledger::sign::request_text;
use cloud_ledger::{Ledger, Tokens};
use gatepost::sync::identity::Identity;
use serde_json::{Value, json};

use super::{BOXES, MEMBERS, memory};

/// The ledger, and a client that may do everything.
pub struct Cloud {
    rt: tokio::runtime::Runtime,
    client: reqwest::Client,
    base: String,
    /// What each box signs with: only a box with a key is given points of several lots at once.
    keys: BTreeMap<&'static str, Identity>,
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
        let open = |name| (name, Identity::open(&dir.path().join(name)).unwrap());
        let keys = BOXES.map(open).into();
        let cloud = Self { rt, client, base, keys, _dir: dir };
        for (name, key) in &cloud.keys {
            let body = json!({"public_key": key.public_key()});
            let enrol = cloud.client.post(format!("{}/v1/boxes/{name}/enrol", cloud.base));
            let (status, answer) = cloud.ask(enrol.bearer_auth(format!("token-{name}")).body(body.to_string()));
            assert_eq!(status, 200, "{answer}");
        }
        for ((member, balance), home) in MEMBERS.iter().zip(balances).zip(BOXES) {
            let profile = json!({"handle": "王**", "tier": "gold", "consent_plates": true, "plates": [], "codes": [],
                "home": home});
            cloud.office_ok("PUT", &format!("v1/members/{member}"), &profile);
            let credit = json!({"op": format!("begin-{member}"), "points": balance, "reason": "the beginning"});
            cloud.office_ok("POST", &format!("v1/members/{member}/credits"), &credit);
        }
        cloud
    }

    /// What a box asks, signed with its key.
    pub fn as_box(&self, name: &str, what: &str, body: &Value) -> Answer {
        let (target, epoch, bytes) = (format!("/v1/boxes/{name}/{what}"), body["epoch"].to_string(), body.to_string());
        let text = request_text("POST", &target, name, &epoch, bytes.as_bytes());
        let request = self.client.post(format!("{}{target}", self.base)).header("gatepost-box", name);
        let request = request.header("gatepost-epoch", epoch).header("gatepost-signature", self.keys[name].sign(&text));
        self.ask(request.body(bytes))
    }

    /// What the office asks.
    pub fn office(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = self.client.request(method.parse().unwrap(), format!("{}/{path}", self.base));
        let request = request.bearer_auth("office");
        self.ask(if body.is_null() { request } else { request.json(body) })
    }

    /// The same, where nothing can be wrong.
    pub fn office_ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.office(method, path, body);
        assert_eq!(status, 200, "{method} {path} {body}: {answer}");
        answer
    }

    fn ask(&self, request: reqwest::RequestBuilder) -> Answer {
        self.rt.block_on(async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.json().await.unwrap())
        })
    }
}
