//! Names in profiles of frames: what nobody gives, and what no part says, is told when the profile is read and not by a
//! barrier that stays down.

use super::*;

#[test]
fn a_name_that_nobody_gives_or_no_part_has_is_refused() {
    let all =
        "nobody gives outputt to the command raise; allowed: address, command, output, pulse_ms; or a number in set";
    for (right, wrong, expect) in [
        ("{ number = \"output\", base = 1 }", "{ number = \"outputt\", base = 1 }", all),
        ("{ number = \"output\", base = 1 }", "{ text = \"outputt\" }", "nobody gives outputt to the command raise"),
        (
            "{ number = \"output\", base = 1 }",
            "{ bytes_of = \"outputt\" }",
            "nobody gives outputt to the command raise",
        ),
        (
            "{ number = \"output\", base = 1 }",
            "{ bytes_of = \"output\" }",
            "output is written as another type than it has",
        ),
        ("{ number = \"output\", base = 1 }", "{ name = \"outputt\" }", "nobody gives outputt to the command raise"),
        ("{ number = \"row\" }", "{ number = \"rwo\" }", "nobody gives rwo to the command show"),
        ("set = { command = 0x10 }", "", "nobody gives command to the command raise"),
        (
            "set = { command = 0x10 }",
            "set = { comand = 0x10 }",
            "no part comand that is a number to be set; allowed: address, command",
        ),
        (
            "set = { command = 0x10 }",
            "set = { command = 0x10, length = 2 }",
            "no part length that is a number to be set",
        ),
        ("is = [0x90] }], data", "is = [] }], data", ":64:28: command is compared with nothing; allowed: one value"),
        (
            "is = [0x90] }], data",
            "is = [\"C2\"] }], data",
            ":64:28: command is a number and never \"C2\"; allowed: numbers, such",
        ),
        (
            "path = \"data.code\"",
            "path = \"data.cod\"",
            "no part data.cod says anything here; allowed: address, command, length, data.code",
        ),
        ("path = \"data.code\"", "path = \"code\"", "no part code says anything here; allowed: address, command"),
        ("path = \"data.code\"", "path = \"check\"", "no part check says anything here"),
        (
            "path = \"data.bits\"",
            "path = \"data.bit\"",
            "no part data.bit says anything here; allowed: address, command, length, data.bits, data.note",
        ),
        (
            "[{ path = \"command\", is = [0x81] }]\n# How",
            "[{ path = \"comand\", is = [0x81] }]\n# How",
            ":39:18: no part comand says anything",
        ),
    ] {
        let found = refused(right, wrong);
        assert!(found.contains(expect), "{wrong}: {found:?}\nshould say\n{expect}");
    }
}

#[test]
fn what_the_house_gives_and_what_an_installer_writes_in_rows_is_no_mistake() {
    for (right, also_right) in [
        ("is = [0x90] }], data", "is = [\"144\"] }], data"),
        (
            "{ number = \"output\", base = 1 }",
            "{ number = \"output\", base = 1 }, { number = \"elsewhere\", default = 1 }",
        ),
        ("path = \"data.bits\"", "path = \"$.data.bits\""),
        (
            "[{ path = \"command\", is = [0x81] }]\n# How",
            "[{ path = \"$.command\", is = [0x81] }, { path = \"note\", is_not = [\"x\"] }]\nroot = \"data\"\n# How",
        ),
    ] {
        let own_start = also_right.contains("root = ");
        let from = |text: &str| if own_start { text.replace("\"data.bits\"", "\"bits\"") } else { text.to_owned() };
        assert_eq!(refused_of(&from(serial().text), right, also_right), "", "{also_right}");
    }
}

fn serial() -> &'static shipped::Shipped {
    shipped::EXAMPLES.iter().find(|one| one.file.contains("serial")).expect("an example")
}

fn refused(right: &str, wrong: &str) -> String {
    refused_of(serial().text, right, wrong)
}

fn refused_of(text: &str, right: &str, wrong: &str) -> String {
    assert!(text.contains(right), "{right} is in the example");
    let text = text.replacen(right, wrong, 1);
    let parsed = Profile::parse(&Source { file: Path::new(serial().file), text: &text });
    parsed.err().map_or_else(String::new, |found| listed(&found))
}
