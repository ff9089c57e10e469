//! A camera that posts forms, and a gateway that says bare words: a part of either is another one, and no fault of the profile.

use super::*;

#[test]
fn a_profile_of_forms_is_proved_with_all_that_can_be_asked_of_a_form() {
    let proved = proved(CAMERA, POST).unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    assert!(proved.damaged > 150, "{proved:?}");
    // A form tells its end by nothing, JSON does: there a part that says something is a fault of whoever reads it.
    let json = POST.replace("'event=7&plate=B-AB1234'", r#"'{"event":"7","plate":"B-AB1234"}'"#);
    let proved = self::proved(CAMERA, &json).unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    assert!(proved.damaged > 150, "{proved:?}");
}

#[test]
fn a_bare_word_of_a_gateway_is_proved_too() {
    let proved = proved(GATEWAY, WORD).unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    assert!(proved.damaged > 10, "{proved:?}");
}

const CAMERA: &str = r#"
[profile]
id = "acme/forms"
vendor = "Acme"
product = "posts forms"
link = "http"
[[message]]
name = "plate"
paths = ["/forms"]
emits = "plate_read"
fields.event = { path = "event" }
fields.plate = { path = "plate" }
"#;

const POST: &str = r#"
source = "Invented."
[[post]]
what = "a plate, at the end of the form"
path = "/forms"
content_type = "application/x-www-form-urlencoded"
body = 'event=7&plate=B-AB1234'
means = [{ plate_read = { event = "7", plate = "B-AB1234" } }]
"#;

const GATEWAY: &str = r#"
layouts = ["gateway"]
[profile]
id = "acme/words"
vendor = "Acme"
product = "says bare words"
link = "mqtt"
[[message]]
name = "inputs"
topics = ["{layout}/inputs"]
emits = "inputs"
fields.bits = { path = "" }
fields.count = { always = 8 }
"#;

const WORD: &str = r#"
source = "Invented."
[[says]]
what = "two inputs are on"
topic = "gateway/inputs"
body = "0x21"
means = [{ inputs = { count = 8, on = [0, 5] } }]
"#;

fn proved(profile: &str, recording: &str) -> Result<recording::Proved, Vec<Mistake>> {
    let profile = Profile::parse(&Source { file: Path::new("own.toml"), text: profile })?;
    recording::check(&profile, &Source { file: Path::new("own.recording.toml"), text: recording })
}
