//! Several inputs in one message, in each way in which devices write them.

use super::*;

#[test]
fn inputs_come_as_a_mask_a_list_or_a_value_for_each() {
    let on = |inputs: &[u16]| Ok(inputs.to_vec());
    for (bits, body, expect) in [
        ("{ path = \"di\" }", r#"{"di":5}"#, on(&[0, 2])),
        ("{ path = \"di\" }", r#"{"di":"5"}"#, on(&[0, 2])),
        ("{ path = \"di\" }", r#"{"di":"0x05"}"#, on(&[0, 2])),
        ("{ path = \"di\" }", r#"{"di":"0XfA"}"#, on(&[1, 3])),
        ("{ path = \"di\" }", r#"{"di":[1,0,1,0]}"#, on(&[0, 2])),
        ("{ path = \"di\" }", r#"{"di":[true,false,false,"1"]}"#, on(&[0, 3])),
        (
            "{ path = \"di\", map = { open = \"0\", shut = \"1\" } }",
            r#"{"di":["shut","open","open","shut"]}"#,
            on(&[0, 3]),
        ),
        ("{ each = [\"DI1\", \"DI2\", \"x.3\", \"x.4\"] }", r#"{"DI1":1,"DI2":0,"x":{"3":1,"4":0}}"#, on(&[0, 2])),
        ("{ path = \"di\" }", r#"{"di":-1}"#, Err("bad-field")),
        ("{ path = \"di\" }", r#"{"di":"05 of them"}"#, Err("bad-field")),
        ("{ path = \"di\" }", r#"{"di":"0x+5"}"#, Err("bad-field")),
        ("{ path = \"di\" }", r#"{"di":[1,0,1]}"#, Err("bad-field")),
        ("{ path = \"di\" }", r#"{"di":[1,0,1,2]}"#, Err("bad-field")),
        ("{ path = \"di\" }", r#"{"di":[1,0,1,[0]]}"#, Err("bad-field")),
        (
            "{ path = \"di\", map = { open = \"0\", shut = \"1\" } }",
            r#"{"di":["shut","open","ajar","open"]}"#,
            Err("bad-field"),
        ),
        ("{ path = \"di\" }", r#"{"do":1}"#, Err("missing-field")),
        ("{ each = [\"DI1\", \"DI2\", \"DI3\", \"DI4\"] }", r#"{"DI1":1,"DI2":0,"DI3":1}"#, Err("missing-field")),
    ] {
        let profile = board(bits).unwrap_or_else(|mistakes| panic!("{}", listed(&mistakes)));
        let Ok(Codec::Mqtt(codec)) = profile.bind(&BTreeMap::new()) else { panic!("a board at a broker") };
        let found = codec.decode("board/inputs", body.as_bytes()).map(|heard| heard.what);
        let found = match found {
            Ok(Meaning::Says(says)) => match &says[..] {
                [Statement::Inputs { count: 4, on }] => Ok(on.clone()),
                other => panic!("{body}: {other:?}"),
            },
            Ok(other) => panic!("{body}: {other:?}"),
            Err(rejection) => Err(rejection.name()),
        };
        assert_eq!(found, expect, "{bits} of {body}");
    }
}

#[test]
fn each_is_of_inputs_only_and_stands_alone() {
    for (bits, expect) in [
        ("{ path = \"di\", each = [\"DI1\"] }", "where bits stands is not clear"),
        ("{ path = \"di\" }\nfields.count = { each = [\"DI1\"] }\n#", "count has each; allowed: each with bits only"),
    ] {
        let text =
            if bits.contains("count") { TEXT.replace("fields.count = { always = 4 }\n", "") } else { TEXT.to_owned() };
        let text = text.replace("BITS", bits);
        let found = Profile::parse(&Source { file: Path::new("board.toml"), text: &text }).expect_err(bits);
        assert!(listed(&found).contains(expect), "{}", listed(&found));
    }
}

const TEXT: &str = r#"
layouts = ["board"]

[profile]
id = "acme/board"
vendor = "Acme"
product = "inputs"
link = "mqtt"

[[message]]
name = "inputs"
topics = ["{layout}/inputs"]
emits = "inputs"
fields.bits = BITS
fields.count = { always = 4 }
"#;

fn board(bits: &str) -> Result<Profile, Vec<Mistake>> {
    Profile::parse(&Source { file: Path::new("board.toml"), text: &TEXT.replace("BITS", bits) })
}
