//! Merchants: what a shop takes part in, and what is known of it.

use serde::Deserialize;

use super::Tills;
use super::access::Secret;
use super::problem::{Code, Problem};
use super::verbs::Verb;
use crate::domain::event::Shop;

/// A shop, `[[merchants]]` in the settings; what the cloud ledger says of it comes first, except its PIN.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merchant {
    /// Its name, as `merchant` of its tills and in statements.
    pub id: String,
    /// What customers call it; its id where it is left out.
    #[serde(default)]
    pub name: String,
    /// The floor.
    #[serde(default)]
    pub floor: String,
    /// What kind of trade.
    #[serde(default)]
    pub format: String,
    /// Other marks, such as the kind of lease.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Whether points pay there.
    #[serde(default = "yes")]
    pub accepts_points: bool,
    /// Whether its sales earn.
    #[serde(default = "yes")]
    pub earns_points: bool,
    /// Whether it gives parking.
    #[serde(default = "yes")]
    pub gives_parking: bool,
    /// Whether its tills are told when a member's vehicle comes; a service desk's are, a shop's need not know.
    #[serde(default)]
    pub hears_arrivals: bool,
    /// What its people type at the merchants' page; without one the page is closed to it.
    pub pin: Option<Secret>,
}

fn yes() -> bool {
    true
}

impl Merchant {
    /// What is stamped on what it does, where the cloud ledger says nothing of it.
    fn shop(&self) -> Shop {
        Shop {
            id: self.id.clone(),
            name: self.name.clone(),
            floor: self.floor.clone(),
            format: self.format.clone(),
            tags: self.tags.clone(),
            earns_nothing: !self.earns_points,
            refuses_points: !self.accepts_points,
            gives_no_parking: !self.gives_parking,
        }
    }
}

impl Tills {
    /// What is known of a merchant now: the cloud ledger's word, else the settings'. One of whom neither says anything
    /// takes part in everything.
    pub(super) async fn shop_of(&self, merchant: Option<&str>) -> Result<Option<Shop>, Problem> {
        let Some(id) = merchant.map(str::to_owned) else { return Ok(None) };
        let of_settings = self.settings.merchants.iter().find(|known| known.id == id).map(Merchant::shop);
        let told = self.settings.reader.look(move |view| view.merchant_told(&id)).await?;
        let now = (self.settings.pricing.now)();
        Ok(told.map(|told| told.shop(now)).or(of_settings))
    }

    /// Whether a till is told when a member's vehicle comes. The site says so, not the ledger's feed.
    pub(super) fn hears_arrivals(&self, shop: Option<&str>) -> bool {
        let known = |merchant: &&Merchant| shop == Some(merchant.id.as_str());
        self.settings.merchants.iter().find(known).is_some_and(|merchant| merchant.hears_arrivals)
    }
}

/// Refuses what the shop does not take part in.
pub(super) fn takes_part(shop: Option<&Shop>, verb: Verb, by_points: bool) -> Result<(), Problem> {
    let Some(shop) = shop else { return Ok(()) };
    let refuse = |what: &str| Err(Problem::new(Code::MerchantRefused, format!("{} {what}", shop.id)));
    if shop.refuses_points && (verb == Verb::Hold || verb == Verb::Commit && by_points) {
        return refuse("does not accept points; another tender is allowed");
    }
    if shop.gives_no_parking && verb == Verb::Validate {
        return refuse("does not give parking");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::domain::event::Input;
    use crate::tills::rig::{Rig, Sent};

    #[tokio::test]
    async fn the_ledgers_word_comes_before_the_settings_and_what_was_stamped_stays() {
        let rig = Rig::new().await;
        tell(&rig, &json!({"floor": "B1"}));
        gift(&rig, "g-1").expect(200).await;
        tell(&rig, &json!({"floor": "L3", "name": "Nuovo"}));
        gift(&rig, "g-2").expect(200).await;
        let floor = |input: &Input| {
            let Input::Till(commit) = input else { panic!("{input:?}") };
            commit.mark.shop.as_ref().map(|shop| shop.floor.clone()).unwrap_or_default()
        };
        assert_eq!(rig.inputs().iter().map(floor).collect::<Vec<_>>(), ["B1", "L3"]);
        let page = page(&rig, "totals", &json!({})).expect(200).await;
        assert_eq!(page["merchant"], "Nuovo");
        tell(&rig, &json!({"gives_parking": false}));
        gift(&rig, "g-3").problem("merchant-refused", 403).await;
        page_stays(&rig).problem("merchant-refused", 403).await;
        gift(&rig, "g-1").expect(200).await;
        tell(&rig, &json!({"until_ms": 1}));
        gift(&rig, "g-4").problem("merchant-refused", 403).await;
        assert_eq!(rig.inputs().len(), 2, "what a shop takes no part in reaches nobody");
    }

    fn tell(rig: &Rig, fields: &Value) {
        let mut told = json!({"id": "cafe", "accepts_points": true, "earns_points": true, "gives_parking": true});
        told.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
        let sql = "INSERT OR REPLACE INTO cloud_merchant (merchant, told) VALUES ('cafe', ?1)";
        rig.sample(|sample| sample.run(sql, [told.to_string()]));
    }

    fn gift<'a>(rig: &'a Rig, id: &str) -> Sent<'a> {
        page(rig, "gifts", &json!({"id": id, "stay": "S1-2", "kind": "lunch"}))
    }

    fn page_stays(rig: &Rig) -> Sent<'_> {
        page(rig, "stays", &json!({"q": "B123"}))
    }

    fn page<'a>(rig: &'a Rig, what: &str, fields: &Value) -> Sent<'a> {
        let mut body = fields.clone();
        (body["merchant"], body["pin"]) = (json!("cafe"), json!("2468"));
        Sent { request: rig.client.post(rig.url(&format!("merchant/{what}"))).json(&body), rig }
    }
}
