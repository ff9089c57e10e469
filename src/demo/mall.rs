//! What a site rents or has in its cellar: a broker, a cloud ledger with members, and a line to it that can be cut.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use mqtt5::broker::config::StorageBackend;
use mqtt5::broker::{BrokerConfig, MqttBroker};
use serde_json::{Value, json};
use simulators::line::Line;
use simulators::plan::Plan;
use tokio::net::TcpListener;

/// The box's name at the ledger.
pub const BOX_ID: &str = "demo-1";
/// What the box proves itself with at the ledger.
pub const BOX_TOKEN: &str = "demo-box-token";
/// The kind of coupon that the mall hands out, by its name in the rules.
const COUPON_KIND: &str = "welcome";
const ADMIN_TOKEN: &str = "demo-admin-token";

/// The running surroundings; they end with the process.
pub struct Mall {
    /// The broker's address.
    pub broker: SocketAddr,
    /// The box's line to the cloud ledger.
    pub line: Line,
    cloud: SocketAddr,
}

impl Mall {
    /// Starts all of it and gives the ledger the plan's members and coupons.
    pub async fn open(folder: &Path, plan: &mut Plan) -> anyhow::Result<Self> {
        let broker = start_broker().await.context("start the broker")?;
        let cloud = start_cloud(folder).await.context("start the cloud ledger")?;
        let line = Line::open(cloud).await.context("open the line to the cloud")?;
        let mall = Self { broker, line, cloud };
        mall.enrol(plan).await.context("enrol the members")?;
        mall.issue(plan).await.context("issue the coupons")?;
        Ok(mall)
    }

    /// The ledger's accounts, its own verification and what it knows of the box.
    pub async fn accounts(&self, coupons: &[String]) -> anyhow::Result<Accounts> {
        Ok(Accounts {
            members: self.ask(reqwest::Method::GET, "members", None).await?,
            coupons: self.coupons(coupons).await?,
            verification: self.ask(reqwest::Method::GET, "verify", None).await?,
            this_box: self.ask(reqwest::Method::GET, &format!("boxes/{BOX_ID}"), None).await?,
        })
    }

    async fn coupons(&self, ids: &[String]) -> anyhow::Result<Vec<Value>> {
        let mut coupons = Vec::new();
        for id in ids {
            coupons.push(self.ask(reqwest::Method::GET, &format!("coupons/{id}"), None).await?);
        }
        Ok(coupons)
    }

    async fn issue(&self, plan: &Plan) -> anyhow::Result<()> {
        for id in plan.coupons() {
            let issued = json!({ "kind": COUPON_KIND, "state": "issued" });
            self.ask(reqwest::Method::PUT, &format!("coupons/{id}"), Some(&issued)).await?;
        }
        Ok(())
    }

    async fn enrol(&self, plan: &mut Plan) -> anyhow::Result<()> {
        for member in &mut plan.members {
            let who = json!({
                "handle": member.handle,
                "tier": member.tier,
                "consent_plates": true,
                "plates": member.plates,
                "codes": [member.code],
            });
            self.ask(reqwest::Method::PUT, &format!("members/{}", member.id), Some(&who)).await?;
            let phone = json!({ "phone_key": member.phone().public_key() });
            let given = self.ask(reqwest::Method::POST, &format!("members/{}/phones", member.id), Some(&phone)).await?;
            member.token = given["token"].as_str().map(str::to_owned);
            if member.balance > 0 {
                let op = format!("opening/{}", member.id);
                let credit = json!({ "op": op, "points": member.balance, "reason": "opening balance" });
                self.ask(reqwest::Method::POST, &format!("members/{}/credits", member.id), Some(&credit)).await?;
            }
        }
        Ok(())
    }

    async fn ask(&self, method: reqwest::Method, what: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = format!("http://{}/v1/{what}", self.cloud);
        let mut request = reqwest::Client::new().request(method, url).bearer_auth(ADMIN_TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("ask the ledger for {what}"))?;
        let status = response.status();
        let text = response.text().await.with_context(|| format!("read the ledger's answer for {what}"))?;
        anyhow::ensure!(status.is_success(), "the ledger said {status} to {what}: {text}");
        serde_json::from_str(&text).with_context(|| format!("read the ledger's answer for {what}"))
    }
}

/// What the ledger says at the end.
pub struct Accounts {
    /// `GET /v1/members`
    pub members: Value,
    /// `GET /v1/coupons/{id}` of each
    pub coupons: Vec<Value>,
    /// `GET /v1/verify`
    pub verification: Value,
    /// `GET /v1/boxes/{box}`
    pub this_box: Value,
}

async fn start_broker() -> anyhow::Result<SocketAddr> {
    let mut config = BrokerConfig::default().with_bind_address(([127, 0, 0, 1], 0)).with_sys_topics_enabled(false);
    config.auth_config.allow_anonymous = true;
    config.storage_config.backend = StorageBackend::Memory;
    let mut broker = MqttBroker::with_config(config).await?;
    let address = broker.local_addr().context("read the broker's address")?;
    tokio::spawn(async move { broker.run().await });
    Ok(address)
}

async fn start_cloud(folder: &Path) -> anyhow::Result<SocketAddr> {
    let ledger = cloud_ledger::Ledger::open(&folder.join("cloud.db"))?;
    let tokens = cloud_ledger::Tokens::new(ADMIN_TOKEN, [(BOX_ID.to_owned(), BOX_TOKEN.to_owned())])?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(cloud_ledger::serve(listener, ledger.into(), tokens, std::future::pending()));
    Ok(address)
}
