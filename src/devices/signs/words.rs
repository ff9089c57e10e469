//! The sentences of displays and speakers: shipped in Chinese and English, and a site may replace any of them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::domain::notice::{Notice, Word};
use crate::domain::tariff::yuan;

/// The words that are inside the program.
const SHIPPED: &str = include_str!("words.toml");
/// What a usual card shows at once.
const LINES_MAX: usize = 4;
/// What a usual card shows in one line, in bytes of GBK.
const LINE_BYTES_MAX: usize = 32;

/// A language that the signs know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// Chinese.
    Zh,
    /// English.
    En,
}

/// All sentences of the site, in the order of its languages.
#[derive(Clone, Debug)]
pub struct Words {
    languages: Vec<(Language, Sentences)>,
}

/// The sentences of one language, as its file has them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentences {
    /// How a member is called whose tier has no name here.
    member: String,
    /// A time of an hour and more, with `{hours}` and `{minutes}`.
    parked: String,
    /// A shorter one, with `{minutes}`.
    parked_short: String,
    /// What a display without a place for a number shows of the free bays.
    free_bays: String,
    /// How the members of a tier are called.
    tiers: BTreeMap<String, String>,
    says: BTreeMap<Word, Sentence>,
}

/// What a site's own file replaces.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    member: Option<String>,
    parked: Option<String>,
    parked_short: Option<String>,
    free_bays: Option<String>,
    tiers: BTreeMap<String, String>,
    says: BTreeMap<Word, Sentence>,
}

/// One thing to say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sentence {
    lines: Vec<String>,
    #[serde(default)]
    voice: String,
}

/// What is known besides the notice itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Besides {
    /// The tier of the member, where it is one's vehicle.
    pub tier: Option<String>,
    /// The words of the member's tier in Chinese and English, where the rules have some.
    pub greeting: Option<(String, String)>,
    /// How many bays are free, where they are counted.
    pub free: Option<i64>,
}

impl Words {
    /// The shipped words in these languages, with a site's own in their place.
    pub fn new(languages: &[Language], own: Option<&str>) -> Result<Self, toml::de::Error> {
        let mut shipped: BTreeMap<Language, Sentences> = toml::from_str(SHIPPED)?;
        let own: BTreeMap<Language, Own> = own.map_or_else(|| Ok(BTreeMap::new()), toml::from_str)?;
        for (language, own) in own {
            if let Some(sentences) = shipped.get_mut(&language) {
                sentences.replace(own);
            }
        }
        let languages =
            languages.iter().filter_map(|language| Some((*language, shipped.get(language)?.clone()))).collect();
        Ok(Self { languages })
    }

    /// The lines of a display, each language after the other as far as there is room: amounts before all else, and nothing
    /// that stands there already. The words of a tier, where there are some, take the place of the line that would name it.
    pub fn lines(&self, notice: &Notice, besides: &Besides) -> Vec<String> {
        let of_each = LINES_MAX / self.languages.len().max(1);
        let mut all: Vec<String> = Vec::new();
        for (language, words) in &self.languages {
            let own = besides.greeting(*language);
            let values = words.values(notice, besides);
            let lines = words.says.get(&notice.word).map(|sentence| sentence.lines.as_slice()).unwrap_or_default();
            let filled = lines.iter().filter_map(|line| match own {
                Some(own) if line.contains("{tier}") => Some((line, own.to_owned())),
                Some(_) | None => Some((line, filled(line, &values)?)),
            });
            let new = filled.filter(|(_, text)| !all.contains(text)).collect();
            all.extend(with_room(new, of_each));
        }
        all
    }

    /// What a speaker says, in the site's first language; nothing where there is nothing to say.
    pub fn voice(&self, notice: &Notice, besides: &Besides) -> Option<String> {
        let (_, words) = self.languages.first()?;
        let values = words.values(notice, besides);
        let voice = &words.says.get(&notice.word)?.voice;
        // Phrases stand between commas; one with something unknown in it is left out.
        let phrases: Vec<String> = voice.split(',').filter_map(|phrase| filled(phrase, &values)).collect();
        let said = phrases.join(",");
        (!said.is_empty()).then_some(said)
    }

    /// How many bays are free, in words.
    pub fn free_bays(&self, free: i64) -> String {
        let values = BTreeMap::from([("free", free.to_string())]);
        let text = self.languages.first().and_then(|(_, words)| filled(&words.free_bays, &values));
        text.unwrap_or_else(|| free.to_string())
    }
}

impl Besides {
    /// The tier's own words where a card can show them: one that is too long is not cut in the middle.
    fn greeting(&self, language: Language) -> Option<&str> {
        let (zh, en) = self.greeting.as_ref()?;
        let text = match language {
            Language::Zh => zh,
            Language::En => en,
        };
        let (bytes, _, has_unknown) = encoding_rs::GBK.encode(text);
        let has_room = !text.is_empty() && bytes.len() <= LINE_BYTES_MAX;
        (has_room && !has_unknown && !text.chars().any(char::is_control)).then_some(text)
    }
}

impl Sentences {
    fn replace(&mut self, own: Own) {
        let replace = |place: &mut String, own: Option<String>| {
            if let Some(own) = own {
                *place = own;
            }
        };
        replace(&mut self.member, own.member);
        replace(&mut self.parked, own.parked);
        replace(&mut self.parked_short, own.parked_short);
        replace(&mut self.free_bays, own.free_bays);
        self.tiers.extend(own.tiers);
        self.says.extend(own.says);
    }

    fn values(&self, notice: &Notice, besides: &Besides) -> BTreeMap<&'static str, String> {
        let tier = besides.tier.as_ref().map(|tier| self.tiers.get(tier).unwrap_or(&self.member).clone());
        let mut values = BTreeMap::from([("tier", tier.unwrap_or_default())]);
        let mut known = |name, value: Option<String>| {
            if let Some(value) = value {
                values.insert(name, value);
            }
        };
        known("plate", notice.plate.as_ref().map(ToString::to_string));
        known("fee", notice.fee.map(|fee| yuan(fee.0)));
        known("due", notice.due.map(|due| yuan(due.0)));
        known("parked", notice.parked_min.map(|minutes| self.parked(minutes)));
        known("free", besides.free.map(|free| free.max(0).to_string()));
        values
    }

    fn parked(&self, minutes: i64) -> String {
        let values = BTreeMap::from([("hours", (minutes / 60).to_string()), ("minutes", (minutes % 60).to_string())]);
        let text = if minutes < 60 { &self.parked_short } else { &self.parked };
        filled(text, &values).unwrap_or_default()
    }
}

/// As many lines as there is room for, in their order. What is to be paid, or was, is the last to go.
fn with_room(lines: Vec<(&String, String)>, room: usize) -> Vec<String> {
    let is_amount = |(line, _): &&(&String, String)| line.contains("{due}") || line.contains("{fee}");
    let mut others = room.saturating_sub(lines.iter().filter(is_amount).count());
    let has_room = |line: &(&String, String)| {
        is_amount(&line) || {
            let is_kept = others > 0;
            others = others.saturating_sub(1);
            is_kept
        }
    };
    let kept = lines.into_iter().filter(has_room).take(room);
    kept.map(|(_, text)| text).collect()
}

/// The text with its names filled in; `None` where one of them is not known.
fn filled(text: &str, values: &BTreeMap<&'static str, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(values.get(name)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::Fen;

    #[test]
    fn every_word_is_there_in_both_languages_and_fits_a_card() {
        let longest = Notice {
            plate: Some("粤BD12345".parse().expect("a plate")),
            fee: Some(Fen(123_456)),
            due: Some(Fen(123_456)),
            parked_min: Some(30 * 1440 + 59),
            ..notice(Word::Standby)
        };
        let besides = Besides { tier: Some("platinum".to_owned()), greeting: None, free: Some(12_345) };
        for language in [Language::Zh, Language::En] {
            let words = Words::new(&[language], None).expect("right");
            for word in Word::ALL {
                let lines = words.lines(&Notice { word, ..longest.clone() }, &besides);
                assert!(!lines.is_empty() && lines.len() <= LINES_MAX, "{word:?} {lines:?}");
                for line in lines {
                    assert!(gbk_bytes(&line) <= 32, "{line} has room");
                    assert!(!line.contains(['{', '}']), "{line} is whole");
                }
                let voice = words.voice(&Notice { word, ..longest.clone() }, &besides).unwrap_or_default();
                assert!(voice.chars().count() <= 60, "{voice}");
            }
        }
    }

    #[test]
    fn a_display_in_two_languages_shows_every_amount_in_each_of_them() {
        let due = Notice {
            plate: Some("粤BD12345".parse().expect("a plate")),
            fee: Some(Fen(1_500)),
            due: Some(Fen(1_500)),
            parked_min: Some(125),
            ..notice(Word::PleasePay)
        };
        let both = [Language::Zh, Language::En];
        let words = Words::new(&both, None).expect("right");
        let shown = words.lines(&due, &Besides::default());
        assert_eq!(shown, ["粤BD12345", "请交费15.00元", "Parked 2 h 5 min", "Please pay 15.00 yuan"]);
        for word in Word::ALL {
            let notice = Notice { word, ..due.clone() };
            let shown = words.lines(&notice, &Besides::default());
            for language in both {
                let alone = Words::new(&[language], None).expect("right").lines(&notice, &Besides::default());
                let amounts = alone.iter().filter(|line| line.contains("15.00"));
                for amount in amounts {
                    assert!(shown.contains(amount) && shown.len() <= LINES_MAX, "{word:?} lacks {amount}: {shown:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_known_is_not_shown_and_a_member_is_greeted_by_tier() {
        let words = Words::new(&[Language::Zh], None).expect("right");
        let stranger = Besides::default();
        assert_eq!(words.lines(&notice(Word::Welcome), &stranger), ["欢迎光临", "请入场停车"]);
        assert_eq!(words.voice(&notice(Word::Welcome), &stranger).as_deref(), Some("欢迎光临"));
        let plate = Notice { plate: Some("粤B12345".parse().expect("a plate")), ..notice(Word::Welcome) };
        let gold = Besides { tier: Some("gold".to_owned()), ..Besides::default() };
        assert_eq!(words.lines(&plate, &gold), ["粤B12345", "金卡会员欢迎光临", "请入场停车"]);
        let own = |zh: &str| Besides { greeting: Some((zh.to_owned(), "Hello".to_owned())), ..gold.clone() };
        assert_eq!(words.lines(&plate, &own("尊贵的金卡会员,您好")), ["粤B12345", "尊贵的金卡会员,您好", "请入场停车"]);
        let long = own("尊贵的金卡会员,热烈欢迎您再次光临本商场");
        assert_eq!(words.lines(&plate, &long), words.lines(&plate, &gold), "a line holds 32 bytes");
        let other = Besides { tier: Some("staff".to_owned()), ..Besides::default() };
        assert_eq!(words.voice(&plate, &other).as_deref(), Some("粤B12345,会员欢迎光临"));
        let due = Notice { due: Some(Fen(1_500)), parked_min: Some(125), ..notice(Word::PleasePay) };
        assert_eq!(words.voice(&due, &stranger).as_deref(), Some("停车2小时5分钟,请交费15.00元"));
        assert_eq!(words.free_bays(42), "剩余车位: 42");
    }

    #[test]
    fn a_site_s_own_words_take_the_place_of_the_shipped_ones() {
        let own = "[zh]\ntiers = { gold = \"尊贵会员\" }\n[zh.says.welcome]\nlines = [\"您好 {tier}\"]";
        let words = Words::new(&[Language::Zh, Language::En], Some(own)).expect("right");
        let gold = Besides { tier: Some("gold".to_owned()), ..Besides::default() };
        assert_eq!(
            words.lines(&notice(Word::Welcome), &gold),
            ["您好 尊贵会员", "Gold member Welcome", "Please drive in"]
        );
        let wrong = Words::new(&[Language::Zh], Some("[zh.says.welcom]\nlines = []")).expect_err("unknown");
        assert!(wrong.to_string().contains("welcom"), "{wrong}");
    }

    fn notice(word: Word) -> Notice {
        Notice { word, plate: None, stay: None, fee: None, due: None, parked_min: None }
    }

    fn gbk_bytes(text: &str) -> usize {
        let (bytes, _, has_unknown) = encoding_rs::GBK.encode(text);
        assert!(!has_unknown, "{text} is in GBK");
        bytes.len()
    }
}
