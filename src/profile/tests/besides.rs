//! One message that says several things, such as a board's status with its inputs and its arm.

use super::*;

#[test]
fn a_status_frame_says_how_the_inputs_and_the_arm_are() {
    let profile = controller("129 = \"up\", 0 = \"down\"").unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    assert!(profile.emits(language::Emits::Inputs) && profile.emits(language::Emits::Arm));
    let Ok(Codec::Serial(codec)) = profile.bind(&BTreeMap::new()) else { panic!("a controller on a line") };
    let says = codec.decode(&bytes(STATUS).expect("hex")).expect("it is known");
    let expect = serde_json::json!([{"inputs": {"count": 8, "on": [0, 7]}}, {"arm": {"position": "up"}}]);
    assert_eq!(serde_json::to_value(says).expect("JSON"), expect);
    // What the profile does not list is no arm that is anywhere, and no input either.
    let profile = controller("0 = \"down\"").unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
    let Ok(Codec::Serial(codec)) = profile.bind(&BTreeMap::new()) else { panic!("a controller on a line") };
    assert_eq!(codec.decode(&bytes(STATUS).expect("hex")).map_err(|rejection| rejection.name()), Err("bad-field"));
}

#[test]
fn what_is_said_besides_is_a_state_beside_a_state_with_its_fields() {
    let arm = "emits = \"arm\"\nfields.position = { path = \"data.bits\", map = { 0 = \"up\" } }";
    let many = format!("{arm}\n[[message.also]]\n").repeat(8) + arm;
    for (emits, also, expect) in [
        ("inputs", "emits = \"keep_alive\"", "says this besides; allowed: input, inputs, arm, vehicle_sign"),
        (
            "inputs",
            "emits = \"arm\"",
            "the message \"inputs\" lacks the field position; allowed: it must have position",
        ),
        ("inputs", "emits = \"arm\"\nfields.sign = { path = \"x\" }", "a message of this kind has no field sign"),
        ("inputs", &arm.replace("data.bits", "data.arm"), "no part data.arm says anything here; allowed: address"),
        ("inputs", &arm.replace("\"up\"", "\"high\""), "position cannot be \"high\"; allowed: up, down, between"),
        ("inputs", &many, "the message \"inputs\" says more than 8 things besides; allowed: at most 8"),
        ("nothing", arm, "the message \"inputs\" says something besides; allowed: also beside emits = \"input\""),
        ("card", arm, "the message \"inputs\" says something besides; allowed: also beside emits = \"input\""),
    ] {
        let found = controller_with(emits, also).map(drop).expect_err(expect);
        assert!(listed(&found).contains(expect), "{}\nshould say\n{expect}", listed(&found));
    }
}

/// The example's, of its own recording.
const STATUS: &str = "7E 01 81 05 00 81 55 6F 6B 00 C3 B2 7E";

fn controller(map: &str) -> Result<Profile, Vec<Mistake>> {
    let also = format!("emits = \"arm\"\nfields.position = {{ path = \"data.bits\", map = {{ {map} }} }}");
    controller_with("inputs", &also)
}

fn controller_with(emits: &str, also: &str) -> Result<Profile, Vec<Mistake>> {
    let example =
        shipped::EXAMPLES.iter().find(|example| example.file.contains("serial-controller")).expect("it is there");
    let fields = "fields.count = { always = 8 }\n";
    assert!(example.text.contains(fields) && example.text.contains("emits = \"inputs\""));
    let text = example.text.replace(fields, &format!("{fields}[[message.also]]\n{also}\n"));
    let text = text.replace("emits = \"inputs\"", &format!("emits = \"{emits}\""));
    Profile::parse(&Source { file: Path::new("controller.toml"), text: &text })
}
