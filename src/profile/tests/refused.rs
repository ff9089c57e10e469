//! Profiles that are refused when they are read, each with its line and with what is allowed.

use super::*;

/// Memory without a bound, an address that does not fit, a check that nobody can make, an order that empties a list.
#[test]
fn what_no_device_can_be_or_must_be_told_is_refused() {
    let table = [
        ("id-12", "bytes_max = 12", "bytes_max = 4000000000", ":15:13: bytes_max is 4000000000; allowed: 1 to 65536"),
        (
            "dc199",
            "reserved = true, bytes = 3",
            "reserved = true, bytes = 9000000000000",
            "has 9000000000000 bytes; allowed: 1 to 8; 1",
        ),
        (
            "id-12",
            "digits = \"hex\", check",
            "digits = \"decimal\", check",
            "as decimal digits; allowed: hex, hex-small",
        ),
        ("id-12", ", check = \"xor\", over = [\"version\", \"card\"]", "", "has over_hex and no check"),
        (
            "id-12",
            "name = \"card\", bytes = 8",
            "text = \"card\"",
            "has digits and is no number; allowed: digits with number",
        ),
        ("r413d08", "max = 255", "max = 256", "[params.address] is no address on the bus; allowed: type = \"integer\""),
        ("reader", "max = 126", "max = 127", "min and max, from 0 to 126"),
        ("lpv", "event = { ", "event = { always = \"x\", ", "event stands is not clear; allowed: path, with or_join"),
        (
            "r-mqtt",
            "guard = { needs = [\"plate\"], because = \"without a plate the camera empties its whole list\" }",
            "",
            "a delete without a plate may empty the whole list; allowed: guard = { needs = [\"plate\"]",
        ),
        (
            "r413d08",
            "moves = true, ",
            "",
            "switch switches outputs, and an arm may hang on one; allowed: guard = { moves = true, because",
        ),
        (
            "r413d08",
            "function = 3",
            "function = 6",
            "this function reads no inputs; allowed: 2 (inputs), 1 (coils), 3 (holding",
        ),
        ("r413d08", "count = 8", "count = 8\nbits = 17", "bits is 17; allowed: 2 to 16"),
        ("r413d08", "function = 3", "function = 1\nbits = 8", "bits and order are of registers; allowed: function = 3"),
        ("r413d08", "first = 0", "first = 65535", "the numbers of the inputs end beyond 65535; allowed: first + count"),
        (
            "itsapi",
            "AccurateTime\" }\n# Ob",
            "AccurateTime\", format = \"%H:%M\" }\n# Ob",
            "captured_local has the format \"%H:%M\"",
        ),
        (
            "itsapi",
            "Direction\", default",
            "Direction\", format = \"%Y\", default",
            "direction has the format \"%Y\"; allowed",
        ),
        ("itsapi", "\"leaving\"", "\"away\"", "direction cannot be \"away\"; allowed: approaching, leaving, unknown"),
        (
            "r-mqtt",
            "only_if = { raise_by = \"gpio_out\" }\n",
            "",
            ":184:8: what chooses the command raise is not clear; allowed: only_if = {",
        ),
        (
            "r-mqtt",
            "only_if = { raise_by = \"gate_direct_open\" }",
            "only_if = { raise_by = \"gpio_out\" }",
            "raise_by does not choose exactly one command raise; allowed: one for each of gpio_out, gate_direct_open",
        ),
        ("r-mqtt", "default = \"gpio_out\"", "", "raise_by does not choose exactly one command raise"),
        (
            "r-mqtt",
            "only_if = { raise_by = \"gate_direct_open\" }\nack = \"device\"",
            "only_if = { raise_by = \"gate_direct_open\" }\nack = \"none\"",
            "the commands raise differ in what the house knows of them; allowed: the same service, ack",
        ),
        // What is asked for and goes nowhere; one output alone need not be told.
        (
            "gatepost/mqtt",
            "\"pulse_ms\":\"{pulse_ms}\"}'\n\n[command.args]\noutput = { min = 0, max = 63 }",
            "\"pulse_ms\":500}'\n\n[command.args]\noutput = { min = 0, max = 63 }",
            "the argument pulse_ms of raise goes nowhere; allowed: {pulse_ms} or a part pulse_ms in what is sent",
        ),
        (
            "isapi",
            "output = { min = 0, max = 0 }",
            "output = { min = 0, max = 1 }",
            "the argument output of raise goes nowhere",
        ),
        ("r413d08", ", arg = \"output\"", "", "the argument output of"),
        (
            "dc199.toml",
            "number = \"pulse_ms\"",
            "default = 5, number = \"seconds\"",
            "the argument pulse_ms of raise goes",
        ),
        (
            "webhook",
            "[identity]\nparam = \"camera\"",
            "[identity]\nparam = \"name\"",
            ":17:1: the parameter camera is used nowhere; allowed: {camera} in a topic, a path or a command, a test, the",
        ),
        // Devices of one topic or path, and what stands there.
        ("lpr.toml", "param = \"camera\"", "param = \"cam\"", "there is no parameter \"cam\"; allowed: camera, prefix"),
        ("lpr.toml", "paths = [\"camera\"]", "paths = []", "the identity stands nowhere; allowed: paths = ["),
        ("lpr.toml", "cameras.{camera}.", "cameras.{camrea}.", "{camrea} is not known here; allowed: camera, prefix"),
        (
            "lpr.toml",
            ", above = 0",
            "",
            "nothing is tested about cameras.{camera}.camera_fps; allowed: is = […], is_not",
        ),
        (
            "isapi",
            "plateRect.height\", of = 1000",
            "plateRect.height\", bottom = \"x\", of = 1000",
            "this is no place of a plate in a picture; allowed: plate_box of a scene, with right or width, bottom or",
        ),
        (
            "isapi",
            "is = [\"detectionPicture\"] }]",
            "}]",
            "nothing is tested about ANPR.pictureInfoList.pictureInfo.type",
        ),
        // Parameters are put into the tests of messages only.
        (
            "r-mqtt",
            "success = { path = \"code\", is = [200] }",
            "success = { path = \"code\", is_param = \"sn\" }",
            ": the parameter sn tests nothing here; allowed: is, is_not, above and is_there with values",
        ),
        (
            "isapi",
            "success = { path = \"",
            "success = { path = \"{name}.",
            ": {name} stands for nothing here; allowed: is, is_not, above",
        ),
        (
            "isapi",
            "is = [\"detectionPicture\"] }]",
            "is_param = \"name\" }]",
            ": the parameter name tests nothing here; allowed: is, is_not",
        ),
        (
            "escpos",
            "success = { path = \"data.state\", is = [0x12, 0x1E] }",
            "success = { path = \"data.state\", is_param = \"x\" }",
            ": the parameter x tests nothing here; allowed: is, is_not",
        ),
        // What may be said and does not fit its frame would be refused only when it is to be sent.
        (
            "kf/dc199.",
            "pulse_ms = { min = 1000, max = 254000",
            "pulse_ms = { min = 1000, max = 256000",
            "pulse_ms may be 256000, which does not fit the 1 bytes of its part; allowed: min and max between which",
        ),
        (
            "kf/dc199.",
            "seconds = { min = 0, max = 254 }",
            "seconds = { min = 0, max = 256 }",
            "seconds may be 256, which does not fit the 1 bytes",
        ),
        // A word that does nothing misleads whoever wrote it.
        (
            "lpv",
            "plate = { ",
            "plate = { split = \",\", ",
            "plate does not use split; allowed: path, always, or_join, decode",
        ),
        ("lpv", "plate = { ", "plate = { times = 2, ", "plate does not use times; allowed: path"),
        (
            "gateway",
            "plate = \"code\", ",
            "default = \"x\", plate = \"code\", ",
            "candidates does not use default; allowed: path, plate",
        ),
        (
            "isapi",
            "split = \",\"",
            "split = \",\", nulls = [\"\"]",
            ": char_confidence does not use nulls; allowed: path, split",
        ),
        // What is asked again and again moves nothing and needs nothing.
        ("isapi", "every_ms = 1000", "every_ms = 499", "every_ms is 499; allowed: 500 to 3600000"),
        (
            "isapi",
            "command = \"device_status\"",
            "command = \"raise\"",
            "\"raise\" cannot be asked again and again; allowed: a",
        ),
        (
            "isapi",
            "command = \"device_status\"",
            "command = \"state\"",
            "\"state\" cannot be asked again and again; allowed: a",
        ),
        (
            "isapi",
            "command = \"device_status\"",
            "command = \"whitelist_delete\"",
            "cannot be asked again and again; allowed: a GET request without arguments: barrier_status, device_status",
        ),
    ];
    let mut untold = Vec::new();
    for (product, right, wrong, expect) in table {
        let shipped = shipped::SHIPPED.iter().find(|one| one.file.contains(product) && one.text.contains(right));
        let shipped = shipped.unwrap_or_else(|| panic!("{right} is in {product}"));
        let text = shipped.text.replacen(right, wrong, 1);
        let parsed = Profile::parse(&Source { file: Path::new(shipped.file), text: &text });
        let found = parsed.err().map_or_else(String::new, |mistakes| listed(&mistakes));
        if !found.contains(expect) {
            untold.push(format!("{product}: {found:?} should say {expect:?}"));
        }
    }
    assert!(untold.is_empty(), "{}", untold.join("\n"));
}

#[test]
fn an_escape_hides_in_one_way_that_can_be_told_back() {
    let escape = "escape = { byte = 0x7D, xor = 0x20, hides = \"7E\" }";
    let serial = shipped::EXAMPLES.iter().find(|one| one.file.contains("serial")).expect("an example");
    assert!(serial.text.contains(escape), "the example has an escape");
    for (own, expect) in [
        ("swaps = { 7D = \"5D\", 7E = \"5E\" }", ""),
        ("xor = 0x20, swaps = { 7D = \"5D\" }", "how the escape hides a byte is not clear"),
        (
            "hides = \"7E\", swaps = { 7D = \"5D\" }",
            "how the escape hides a byte is not clear; allowed: xor with hides",
        ),
        ("hides = \"7E\"", "how the escape hides a byte is not clear"),
        ("swaps = { 7D7E = \"5D\" }", "swaps are not of single bytes; allowed: two hex digits"),
        ("swaps = { 7E = \"5E\" }", "what the escape hides cannot be told back; allowed: the escape byte among"),
        ("swaps = { 7D = \"5E\", 7E = \"5E\" }", "what the escape hides cannot be told back"),
        ("swaps = { 7D = \"5D\", 7E = \"7D\" }", "what the escape hides cannot be told back"),
    ] {
        let text = serial.text.replace(escape, &format!("escape = {{ byte = 0x7D, {own} }}"));
        let parsed = Profile::parse(&Source { file: Path::new(serial.file), text: &text });
        let found = parsed.err().map_or_else(String::new, |mistakes| listed(&mistakes));
        assert_eq!(found.is_empty(), expect.is_empty(), "{own}: {found}");
        assert!(found.contains(expect), "{own}: {found}");
    }
}
