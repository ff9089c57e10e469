//! What a quote promises of a sale is what its commit gives, for any basket and any rules; and a campaign's bonuses end
//! with its budget.

use gatepost::domain::benefit::{Basket, CouponState, SaleFacts, promise};
use gatepost::domain::event::{
    CloudNews, FeedChange, Fen, Input, IssuedCoupon, OpId, Share, Shared, TillAnswer, TillCommit, TillDone, TillWish,
    UtcMs,
};
use gatepost::domain::rules::Rules;
use gatepost::store::reader::Reader;

use crate::dice::Dice;
use crate::story::Story;
use crate::tills::sale;

/// Random bundles, and baskets in each: enough that each budget ends in the middle of a sale in some of them.
const BUNDLES: u64 = 24;
const BASKETS: u64 = 8;

#[tokio::test]
async fn what_a_quote_promises_a_commit_gives() {
    let (mut with_coupon, mut refused, mut cut) = (0, 0, 0);
    for seed in 0..BUNDLES {
        let mut dice = Dice(seed + 1);
        let text = random_rules(&mut dice);
        let rules = Rules::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let mut story = shopper(text);
        for n in 0..BASKETS {
            let code = format!("C-{n}");
            issue(&mut story, &code);
            let fen = i64::try_from(1 + dice.below(90_000)).unwrap();
            let names_it = dice.one_in(2);
            let promised = promised(&story, &rules, fen, names_it.then_some(code.as_str())).await;
            let plain = promised_plain(&story, &rules, fen).await;
            let key = format!("k-{n}");
            let coupon = names_it.then(|| code.clone());
            let answer = story.commit(TillCommit { coupon, ..sale(&key, fen, fen, 0) }).1;
            match promised {
                Some(points) if !names_it || points > plain => {
                    assert_eq!(earned(&answer), points, "seed {seed}, basket {n}: {fen} fen, coupon {names_it}");
                    with_coupon += u32::from(names_it);
                }
                Some(_) | None => {
                    let is_kept = matches!(&answer, TillAnswer::Refused { code, .. } if code == "coupon-state");
                    assert!(is_kept, "seed {seed}, basket {n}: a coupon that adds nothing is kept: {answer:?}");
                    let again = story.commit(sale(&format!("{key}-plain"), fen, fen, 0)).1;
                    assert_eq!(earned(&again), plain, "seed {seed}, basket {n}");
                    refused += 1;
                }
            }
            cut += u32::from(is_spent(&story));
        }
        check_budgets(&story);
    }
    assert!(with_coupon > 10 && refused > 5 && cut > 10, "{with_coupon} coupons, {refused} refused, {cut} cut");
}

#[test]
fn a_campaign_s_bonuses_end_with_its_budget_and_a_return_gives_back() {
    let mut story = shopper(campaign(1_000, "points = 60"));
    let (first, points) = sell(&mut story, "k-1");
    assert_eq!((points, spent(&story)), (70, 600), "10 plain points and 60 that cost ¥6.00");
    assert_eq!(sell(&mut story, "k-2").1, 50, "¥4.00 are left: 40 more");
    assert_eq!((sell(&mut story, "k-3").1, spent(&story)), (10, 1_000), "nothing is left");
    let back = |story: &mut Story, key: &str, fen| {
        let answer = story.ask(key, TillWish::Refund { transaction: first.clone(), fen: Fen(fen) });
        let TillAnswer::Done { done: TillDone::GivenBack(back), .. } = answer else { panic!("{answer:?}") };
        back.taken.0 + back.owed.0
    };
    assert_eq!((back(&mut story, "r-1", 400), spent(&story)), (4, 1_000), "the bonus is for any sale");
    assert_eq!((back(&mut story, "r-2", 600), spent(&story)), (66, 400), "nothing of the sale is left");
    assert_eq!((sell(&mut story, "k-4").1, spent(&story)), (70, 1_000), "and the next sale gets it");
    story.restart();
    assert_eq!(sell(&mut story, "k-5").1, 10, "also after a power cut");
}

#[test]
fn a_multiple_is_cut_to_the_share_that_the_ledger_gave() {
    let mut story = shopper(campaign(1_000_000, "multiply_bps = 30000"));
    share(&mut story, 1, 150);
    assert_eq!(sell(&mut story, "k-1").1, 25, "20 more would cost ¥2.00; the share is ¥1.50");
    assert_eq!(sell(&mut story, "k-2").1, 10);
    share(&mut story, 2, 350);
    let words = "SELECT record.value ->> '$.spent_fen' || ' of ' || (record.value ->> '$.share_fen')
                 FROM journal, json_each(CAST(body AS TEXT), '$.records') AS record
                 WHERE record.value ->> '$.kind' = 'campaign_share_taken' ORDER BY entry";
    assert_eq!(story.rows(words), ["0 of 150", "150 of 350"], "the ledger hears what it cost");
    assert_eq!(sell(&mut story, "k-3").1, 30, "the larger share");
}

#[test]
fn the_member_s_price_is_kept_with_the_sale() {
    let level = "\n[benefits.tiers]\nnames = [\"silver\", \"gold\"]\n[[benefits.entitlement]]\nid = \"price\"\n\
                 zh = \"会员价\"\nen = \"price\"\nwhen = { tiers = [\"gold\"] }\ngive = { price_level = \"P2\" }\n";
    let mut story = shopper(include_str!("../../systemd/rules.toml").to_owned() + level);
    let sold = |key: &str, list: Option<i64>| TillCommit { list: list.map(Fen), ..sale(key, 1_000, 1_000, 0) };
    story.commit(sold("k-1", Some(1_200)));
    story.commit(TillCommit { member: None, ..sold("k-2", None) });
    let kept = "SELECT coalesce(line ->> '$.price_level', '-') || ' ' || coalesce(line ->> '$.list_fen', '-')
                FROM till_book ORDER BY seq";
    assert_eq!(story.rows(kept), ["P2 1200", "- -"]);
    for wrong in [
        TillCommit { list: Some(Fen(999)), ..sold("k-3", None) },
        TillCommit { member: None, ..sold("k-4", Some(1_200)) },
    ] {
        assert!(matches!(story.commit(wrong).1, TillAnswer::Refused { code, .. } if code == "bad-request"));
    }
    let sold = story.rows("SELECT op FROM till_book ORDER BY seq").remove(0);
    story.ask("r-1", TillWish::Refund { transaction: OpId(sold), fen: Fen(100) });
    assert_eq!(story.rows("SELECT line ->> '$.price_level' FROM till_book WHERE what = 'refund'"), ["P2"]);
}

/// Up to three bonuses, of which some have a campaign with a small budget, and a coupon that multiplies.
fn random_rules(dice: &mut Dice) -> String {
    let text = include_str!("../../systemd/rules.toml");
    let carry = if dice.one_in(2) { "carry = true\n" } else { "" };
    let mut text = text.replace("[earn]  ", &format!("[earn]\n{carry}#"));
    text += "\n[benefits.tiers]\nnames = [\"silver\", \"gold\"]\n";
    let budget = 100 + dice.below(30_000);
    text += &format!("[[benefits.campaign]]\nid = \"spring\"\nbudget_fen = {budget}\nlocal_share_bps = 10000\n");
    for n in 0..dice.below(4) {
        let campaign = if dice.one_in(2) { "campaign = \"spring\"\n" } else { "" };
        let what = if dice.one_in(2) {
            format!("points = {}", 1 + dice.below(300))
        } else {
            format!("multiply_bps = {}", 10_001 + dice.below(40_000))
        };
        let least = dice.below(60_000);
        text += &format!("[[benefits.bonus]]\nid = \"b{n}\"\n{what}\n{campaign}when = {{ min_spend_fen = {least} }}\n");
    }
    let (times, least) = (10_001 + dice.below(30_000), 1 + dice.below(30_000));
    let campaign = if dice.one_in(2) { "campaign = \"spring\"\n" } else { "" };
    text += &format!(
        "[[benefits.coupon]]\nid = \"times\"\nzh = \"多倍\"\nen = \"times\"\nmerchants = [\"till-1\"]\n{campaign}\
         when = {{ min_spend_fen = {least} }}\ngive = {{ multiply_bps = {times} }}\n"
    );
    text
}

fn campaign(budget: i64, what: &str) -> String {
    format!(
        "{}\n[benefits.tiers]\nnames = [\"silver\", \"gold\"]\n[[benefits.campaign]]\nid = \"spring\"\n\
         budget_fen = {budget}\nlocal_share_bps = 10000\n[[benefits.bonus]]\nid = \"b\"\n{what}\ncampaign = \"spring\"\n",
        include_str!("../../systemd/rules.toml")
    )
}

/// A gold member with a vehicle inside, so that points stay here.
fn shopper(rules: String) -> Story {
    let mut story = Story::with(rules);
    story.member("M1", &["粤B12345"]);
    story.enter("in", "粤B12345");
    story
}

fn issue(story: &mut Story, id: &str) {
    let (id, kind, state) = (id.to_owned(), "times".to_owned(), CouponState::ClaimedHere);
    let coupon = IssuedCoupon { id, kind, member: None, merchant: None, from_ms: None, until_ms: None, state };
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![FeedChange::Coupon { coupon }], next: 1 }));
}

fn share(story: &mut Story, turn: u64, fen: i64) {
    let shares = vec![Share { box_id: "box-1".to_owned(), epoch: 1, fen: Fen(fen) }];
    let change = FeedChange::Campaign {
        id: "spring".to_owned(),
        stopped: false,
        spent_elsewhere_fen: Fen(0),
        as_of_ms: UtcMs(story.now().0),
        shared: Some(Shared { turn, shares }),
    };
    story.feed(Input::Cloud(CloudNews::Fed { changes: vec![change], next: turn }));
}

async fn promised_plain(story: &Story, rules: &Rules, fen: i64) -> i64 {
    promised(story, rules, fen, None).await.expect("no coupon stands against it")
}

/// What a till would be told at this moment, as `QUOTE` looks it up; none where the coupon would not be used.
async fn promised(story: &Story, rules: &Rules, fen: i64, coupon: Option<&str>) -> Option<i64> {
    let reader = Reader::open(&story.path()).unwrap();
    let (rules, code, now) = (rules.clone(), coupon.map(str::to_owned), story.now());
    let look = reader.look(move |view| {
        let member = "M1".into();
        let sale = SaleFacts { at: now, trusted: true, ..view.sale_facts(&member, &rules)? };
        let found = code.map(|code| view.coupon_of(&code, &rules)).transpose()?.flatten();
        let coupon = found.as_ref().map(|(held, known, _)| (held, known, "till-1"));
        let basket = Basket { member: &member, fen: Fen(fen), sale: &sale, coupon };
        Ok(promise(&rules, &basket).ok().map(|earns| earns.points().0))
    });
    look.await.unwrap()
}

fn earned(answer: &TillAnswer) -> i64 {
    let TillAnswer::Applied { earned, .. } = answer else { panic!("{answer:?}") };
    earned.0
}

fn sell(story: &mut Story, key: &str) -> (OpId, i64) {
    let answer = story.commit(sale(key, 1_000, 1_000, 0)).1;
    let TillAnswer::Applied { transaction, .. } = &answer else { panic!("{answer:?}") };
    (transaction.clone(), earned(&answer))
}

/// What the campaign has cost here.
fn spent(story: &Story) -> i64 {
    story.rows("SELECT CAST(coalesce(sum(fen), 0) AS TEXT) FROM benefit_count WHERE dimension = 'campaign'")[0]
        .parse()
        .unwrap()
}

fn budget(story: &Story) -> i64 {
    let text = story.rows("SELECT text FROM rules").remove(0);
    text.split("budget_fen = ").nth(1).unwrap().lines().next().unwrap().parse().unwrap()
}

/// Whether less is left than one more point costs.
fn is_spent(story: &Story) -> bool {
    budget(story) - spent(story) < 10
}

fn check_budgets(story: &Story) {
    assert!(spent(story) <= budget(story), "{} of {}", spent(story), budget(story));
}
