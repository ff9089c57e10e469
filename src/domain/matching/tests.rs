//! What the matching promises, term by term: what speaks for a vehicle raises it, what speaks against it lowers it.

use proptest::prelude::*;

use super::answer::{CERTAIN_PPM, NO_ENTRY_PPM, Ppm, RANKED_MAX, Thresholds, Verdict};
use super::errors::ErrorModel;
use super::park::{Asked, Inside, Match, Park, Seen};
use crate::domain::plate::Plate;
use crate::domain::plate::told::{Colour, VehicleKind};

/// Half a minute is too short for a visit, a day is none of that.
const NOW_S: i64 = 1_790_000_000;

#[test]
fn a_misread_that_is_usual_weighs_more_than_one_that_is_not() {
    let park = among_many(&["粤B12845"]);
    let certainty = |read| certainty(&park, Seen::of(plate(read), "out"), 300_000);
    assert!(certainty("粤B12845") > certainty("粤B12B45"), "right before a twin");
    assert!(certainty("粤B12B45") > certainty("粤B12K45"), "a twin before a stranger");
    assert!(certainty("鄂B12845") > certainty("渝B12845"), "provinces have twins too");
    assert!(certainty("粤B12B45") > certainty("粤B12BK5"), "one misread before two");
    assert!(certainty("粤B1284") > 0 && certainty("粤B128454") > 0, "a sign is lost or added");
    assert_eq!(certainty("京C44444"), 0, "many misreads are another vehicle");
}

#[test]
fn a_letter_where_digits_stand_is_known_for_a_misread() {
    // A new-energy plate has digits at the end; an ordinary one may well have that letter itself.
    let park = among_many(&["粤BD12845", "粤B12845"]);
    let nev = certainty(&park, Seen::of(plate("粤BD12B45"), "out"), 300_000);
    let plain = certainty(&park, Seen::of(plate("粤B12B45"), "out"), 300_000);
    assert!(nev > plain, "{nev} {plain}");
}

#[test]
fn the_region_that_is_usual_here_is_expected() {
    let mut at_home: Vec<String> = (0..200).map(|n| format!("粤B5{n:04}")).collect();
    at_home.push("湘A12345".to_owned());
    let park = park(&at_home.iter().map(String::as_str).collect::<Vec<_>>());
    let seldom = best(&park, "湘A12346").1;
    let usual = best(&park, "粤B50106").1;
    assert_eq!(best(&park, "粤B50106").0, "粤B50106");
    assert!(usual > seldom, "the very plate {usual}, one sign apart {seldom}");
    // A seldom region that is read again is hardly a stranger's.
    let mut two_homes: Vec<String> = (0..100).flat_map(|n| [format!("粤B5{n:04}"), format!("湘A6{n:04}")]).collect();
    two_homes.push("湘A12345".to_owned());
    let many = self::park(&two_homes.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(best(&many, "湘A12346").1 < seldom, "{} {seldom}", best(&many, "湘A12346").1);
}

#[test]
fn doubt_about_the_sign_that_differs_speaks_for_the_vehicle() {
    let park = among_many(&["粤B12345"]);
    let with = |place: usize| {
        let mut confidences = vec![9_900; 7];
        confidences[place] = 2_000;
        certainty(&park, Seen { confidences, ..Seen::of(plate("粤B12346"), "out") }, 10_000)
    };
    let silent = certainty(&park, Seen::of(plate("粤B12346"), "out"), 10_000);
    assert!(with(6) > silent && with(2) < silent, "{} {silent} {}", with(6), with(2));
    // As many numbers as signs, or they say nothing; numbers out of range are taken for the nearest.
    let odd = |confidences| certainty(&park, Seen { confidences, ..Seen::of(plate("粤B12346"), "out") }, 10_000);
    assert_eq!((odd(vec![1; 40]), odd(vec![0; 6])), (silent, silent));
    assert_eq!(odd(vec![u16::MAX; 7]), odd(vec![10_000; 7]));
}

#[test]
fn what_else_the_camera_holds_possible_counts() {
    let park = park(&["粤B12845", "粤B99999"]);
    let others = vec![(plate("粤B12845"), 9_000), (plate("ABCDEFGHI1"), u16::MAX)];
    let with = certainty(&park, Seen { others, ..Seen::of(plate("粤B17K45"), "out") }, 10_000);
    assert!(with > certainty(&park, Seen::of(plate("粤B17K45"), "out"), 10_000), "{with}");
}

#[test]
fn colour_kind_time_and_way_speak_each_for_itself() {
    let base = Inside { entered_s: Some(NOW_S - 7_200), ..Inside::of(plate("粤B12345"), "in-1") };
    let read = Seen::of(plate("粤B12346"), "out-1");
    let weigh = |vehicle: &Inside, seen: &Seen, ways: &[(&str, &str, u32)]| {
        let mut park = empty();
        ways.iter().for_each(|(entry, exit, vehicles)| park.left_by(entry, exit, *vehicles));
        park.enter(0, vehicle.clone());
        (0..100).for_each(|n| park.enter(n + 1, Inside::of(plate(&format!("粤B7{n:04}")), "in-2")));
        certainty(&park, seen.clone(), 10_000)
    };
    let plain = weigh(&base, &read, &[]);
    assert!((1_000..990_000).contains(&plain), "neither sure nor out of sight: {plain}");
    let colours = |entry, exit| {
        let vehicle = Inside { colour: Some(entry), ..base.clone() };
        weigh(&vehicle, &Seen { colour: Some(exit), ..read.clone() }, &[])
    };
    assert!(colours(Colour::Yellow, Colour::Yellow) > colours(Colour::Yellow, Colour::Blue));
    assert!(colours(Colour::Blue, Colour::Blue) > colours(Colour::Blue, Colour::Green), "green stands on other plates");
    let kinds = |entry, exit| {
        let vehicle = Inside { vehicle: Some(entry), ..base.clone() };
        weigh(&vehicle, &Seen { vehicle: Some(exit), ..read.clone() }, &[])
    };
    assert!(kinds(VehicleKind::Car, VehicleKind::Car) > plain && plain > kinds(VehicleKind::Car, VehicleKind::Truck));
    let since = |seconds| weigh(&Inside { entered_s: Some(NOW_S - seconds), ..base.clone() }, &read, &[]);
    assert!(since(20) < since(60) && since(60) < plain && since(40 * 24 * 3_600) < plain, "{} {plain}", since(20));
    assert_eq!(since(-60), since(0), "a clock that was put back");
    let usual = [("in-1", "out-1", 900), ("in-2", "out-2", 900)];
    let unusual = [("in-1", "out-2", 900), ("in-2", "out-1", 900)];
    assert!(weigh(&base, &read, &usual) > plain && plain > weigh(&base, &read, &unusual));
}

#[test]
fn a_second_factor_is_colour_and_kind_both_told_and_the_same() {
    let factor = |entry: (Option<Colour>, Option<VehicleKind>), exit: (Option<Colour>, Option<VehicleKind>)| {
        let mut park = empty();
        let (colour, vehicle) = entry;
        park.enter(0, Inside { colour, vehicle, ..Inside::of(plate("粤B12345"), "in") });
        let (colour, vehicle) = exit;
        let seen = Seen { colour, vehicle, ..Seen::of(plate("粤B12345"), "out") };
        ask(&park, vec![seen], 10_000).candidates[0].second_factor
    };
    let blue_car = (Some(Colour::Blue), Some(VehicleKind::Car));
    assert!(factor(blue_car, blue_car));
    for other in [
        (None, None),
        (Some(Colour::Blue), None),
        (None, Some(VehicleKind::Car)),
        (Some(Colour::Yellow), Some(VehicleKind::Car)),
        (Some(Colour::Blue), Some(VehicleKind::Van)),
    ] {
        assert!(!factor(blue_car, other) && !factor(other, blue_car) && !factor((None, None), other), "{other:?}");
    }
}

#[test]
fn the_more_strangers_are_believed_the_less_certain_is_a_match() {
    let park = park(&["粤B12345", "粤B77777"]);
    let asked = |no_entry_ppm| ask(&park, vec![Seen::of(plate("粤B12346"), "out")], no_entry_ppm);
    let (few, many) = (asked(1_000), asked(300_000));
    assert!(few.candidates[0].posterior_ppm > many.candidates[0].posterior_ppm && few.none_ppm < many.none_ppm);
    assert_eq!((asked(0), asked(u32::MAX)), (asked(*NO_ENTRY_PPM.start()), asked(*NO_ENTRY_PPM.end())));
}

#[test]
fn who_is_automatic_who_is_left_to_a_guard_and_who_is_nobody() {
    check(&["粤B12345"], "粤B12345", Verdict::Automatic);
    check(&["粤B12345"], "粤B1Z345", Verdict::Automatic);
    check(&["粤B12345", "粤B12346"], "粤B12348", Verdict::Guard);
    check(&["粤B12345"], "京C77777", Verdict::None);
    check(&[], "粤B12345", Verdict::None);
    // A special plate is never taken for a misread of an ordinary one, nor the other way round.
    check(&["粤B1234警"], "粤B12345", Verdict::Guard);
    check(&["粤B12345"], "粤B1234警", Verdict::Guard);
    check(&["粤B1234警"], "粤B1234警", Verdict::Automatic);
    // Likely, and not likely enough.
    let mut park = park(&["粤B12345"]);
    (0..100).for_each(|n| park.enter(n + 1, Inside::of(plate(&format!("粤B7{n:04}")), "in")));
    let found = ask(&park, vec![Seen::of(plate("粤B12346"), "out")], 10_000);
    assert!((850_000..992_000).contains(&found.candidates[0].posterior_ppm), "{found:?}");
    assert_eq!(found.verdict, Verdict::Guard);
    // What cannot be weighed is compared as it is.
    check(&["ABCDEFGH12"], "ABCDEFGH12", Verdict::Automatic);
    check(&["ABCDEFGH12"], "ABCDEFGH13", Verdict::None);
}

#[test]
fn a_park_full_of_copies_is_no_reason_to_choose_one() {
    let mut park = empty();
    (0..5_000).for_each(|n| park.enter(n, Inside::of(plate("粤B12345"), "in")));
    let found = ask(&park, vec![Seen::of(plate("粤B12345"), "out")], 10_000);
    assert_eq!((found.verdict, found.candidates.len() <= RANKED_MAX), (Verdict::Guard, true));
}

/// A fleet in which every plate differs from every other in the last four digits: ten thousand near-identical ones.
#[test]
fn a_fleet_is_searched_in_bounded_work_and_read_exactly_is_not_guessed() {
    let mut park = empty();
    (0..10_000).for_each(|n| park.enter(n, Inside::of(plate(&format!("粤B1{n:04}")), "in")));
    let found = ask(&park, vec![Seen::of(plate("粤B12345"), "out")], 10_000);
    assert_eq!(found.candidates[0].plate, plate("粤B12345"));
    assert!(found.candidates.len() <= RANKED_MAX && found.verdict == Verdict::Guard, "{found:?}");
}

#[test]
fn nothing_read_is_no_match_and_many_statements_are_one() {
    let park = park(&["粤B12345"]);
    assert_eq!(park.ask(&Asked { reads: Vec::new(), no_entry_ppm: 10_000, at_s: None }), None);
    let many = vec![Seen::of(plate("粤B12345"), "out"); 1_000];
    assert_eq!(ask(&park, many, 10_000).verdict, Verdict::Automatic);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// In whatever order vehicles come in, and whatever is asked, certainties are the same and sum up to one at most.
    #[test]
    fn the_order_does_not_matter_and_certainties_are_shares(
        plates in prop::collection::btree_set("粤[AB][1-3BZ]{4}[0-9]", 1..12),
        read in "粤[AB][1-3BZ]{4}[0-9]",
        no_entry_ppm in 0..CERTAIN_PPM,
    ) {
        let forth: Vec<&str> = plates.iter().map(String::as_str).collect();
        let back: Vec<&str> = plates.iter().rev().map(String::as_str).collect();
        let asked = |plates: &[&str]| {
            let found = ask(&park(plates), vec![Seen::of(plate(&read), "out")], no_entry_ppm);
            let mut shares: Vec<(String, Ppm)> =
                found.candidates.iter().map(|candidate| (candidate.plate.to_string(), candidate.posterior_ppm)).collect();
            shares.sort();
            (shares, found.none_ppm)
        };
        let (shares, none_ppm) = asked(&forth);
        let sum: u64 = shares.iter().map(|(_, posterior)| u64::from(*posterior)).sum();
        prop_assert!(sum + u64::from(none_ppm) <= u64::from(CERTAIN_PPM));
        let (other, _) = asked(&back);
        // The last bit of a sum may depend on its order.
        prop_assert_eq!(shares.len(), other.len());
        for ((plate, one), (same, two)) in shares.iter().zip(&other) {
            prop_assert!(plate == same && one.abs_diff(*two) <= 1, "{} {} {}", plate, one, two);
        }
    }

    /// Any text is a plate that gets an answer, or is none.
    #[test]
    fn any_text_gets_an_answer(text in any::<String>(), signs in "[0-9A-Z粤警港鿿·. -]{0,30}") {
        let park = park(&["粤B12345", "WJ12345", "ABCDEFGH12"]);
        for text in [text, signs] {
            let Ok(plate) = text.parse::<Plate>() else { continue };
            let confidences = text.chars().map(|c| (c as u32 % 70_000) as u16).collect();
            let seen = Seen { confidences, ..Seen::of(plate, &text) };
            let found = ask(&park, vec![seen.clone(), seen], 10_000);
            prop_assert!(found.candidates.len() <= RANKED_MAX);
        }
    }
}

fn check(inside: &[&str], read: &str, expect: Verdict) {
    let found = ask(&park(inside), vec![Seen::of(plate(read), "out")], 10_000);
    assert_eq!(found.verdict, expect, "{inside:?} read as {read}: {found:?}");
}

fn best(park: &Park<u32>, read: &str) -> (String, Ppm) {
    let found = ask(park, vec![Seen::of(plate(read), "out")], 10_000);
    found.candidates.first().map_or((String::new(), 0), |best| (best.plate.to_string(), best.posterior_ppm))
}

fn certainty(park: &Park<u32>, seen: Seen, no_entry_ppm: Ppm) -> Ppm {
    ask(park, vec![seen], no_entry_ppm).candidates.first().map_or(0, |best| best.posterior_ppm)
}

fn ask(park: &Park<u32>, reads: Vec<Seen>, no_entry_ppm: Ppm) -> Match<u32> {
    park.ask(&Asked { reads, no_entry_ppm, at_s: Some(NOW_S) }).expect("something was read")
}

fn park(plates: &[&str]) -> Park<u32> {
    let mut park = empty();
    (0..).zip(plates).for_each(|(n, text)| park.enter(n, Inside::of(plate(text), "in")));
    park
}

/// The same with a thousand others, whose plates are two signs away at least.
fn among_many(plates: &[&str]) -> Park<u32> {
    let mut park = park(plates);
    (0..1_000).for_each(|n| park.enter(1_000 + n, Inside::of(plate(&format!("粤B70{n:03}")), "in")));
    park
}

fn empty() -> Park<u32> {
    Park::new(&ErrorModel::default(), Thresholds { shown_ppm: 1, ..Thresholds::default() }, Vec::new())
}

fn plate(text: &str) -> Plate {
    text.parse().expect("a plate")
}
