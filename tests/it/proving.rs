//! `gatepost profile test` proves only what was recorded, and `gatepost profile try` says what speaks against a message.

use std::path::Path;

use crate::boxed::{gatepost, root};

#[test]
fn what_nothing_was_recorded_of_is_not_proved() {
    let folder = tempfile::tempdir().unwrap();
    let example = |name: &str| std::fs::read_to_string(root().join("device-profiles/example").join(name)).unwrap();
    let (profile, recording) = (folder.path().join("camera.toml"), folder.path().join("camera.recording.toml"));
    std::fs::write(&profile, example("http-camera.toml")).unwrap();
    let whole = example("http-camera.recording.toml");
    let raise = whole.find("[[reply]]\nwhat = \"seen, and raise\"").unwrap();
    let calls = whole.find("[[call]]").unwrap();
    let all = "1 profile, 6 exchanges, 0 failed";
    for (text, is_right, says) in [
        (whole.clone(), true, &[all, "0 profiles not right"][..]),
        (
            "source = \"x\"\n[params]\nsn = \"A1\"\n".to_owned(),
            false,
            &["nothing is recorded", "1 profile, 0 exchanges, 0 failed (0 damaged copies); 1 profile not right"][..],
        ),
        (
            whole[..raise].to_owned() + &whole[calls..],
            false,
            &["no exchange touches the command raise; allowed: an exchange for each", "5 exchanges, 0 failed"],
        ),
        (whole.replace("/acme/plate", "/other"), false, &["no exchange touches the message \"plate\"", "2 failed"]),
        (whole.replace("\"seen\":17,\"open\":false", "\"seen\":18,\"open\":false"), false, &["6 exchanges, 1 failed"]),
    ] {
        std::fs::write(&recording, text).unwrap();
        for path in [folder.path(), &recording] {
            let (found_right, told) = run(&["test", &path.display().to_string()]);
            assert_eq!(found_right, is_right, "{told}");
            assert!(says.iter().all(|says| told.contains(says)), "{told}\nshould say {says:?}");
        }
    }
    std::fs::remove_file(&recording).unwrap();
    std::fs::write(&profile, example("http-camera.toml").replace("emits = \"plate_read\"", "emits = \"plate_reed\""))
        .unwrap();
    let (is_right, told) = run(&["test", &profile.display().to_string()]);
    let at = |says: &str| told.find(says).unwrap_or_else(|| panic!("{told}\nshould say {says:?}"));
    assert!(!is_right && at("plate_reed") < at("the profile has no recordings"), "{told}");
    std::fs::write(&recording, whole).unwrap();
    std::fs::remove_file(&profile).unwrap();
    let (is_right, told) = run(&["test", &recording.display().to_string()]);
    assert!(
        !is_right && told.contains("camera.recording.toml is a recording, and") && told.contains("is not there"),
        "{told}"
    );
}

/// Whoever saves what `new` prints begins with a profile that is proved, under an id that replaces no shipped one.
#[test]
fn what_new_prints_for_each_link_is_a_product_of_its_own_and_proves_itself() {
    let links = ["mqtt", "http", "serial", "modbus-rtu", "modbus-tcp", "wiegand", "osdp"];
    let folder = tempfile::tempdir().unwrap();
    for link in links {
        let print = |more: &[&str]| {
            let printed = gatepost().args(["profile", "new", "--link", link]).args(more).output().unwrap();
            assert!(printed.status.success(), "{link}");
            String::from_utf8(printed.stdout).unwrap()
        };
        let profile = print(&[]);
        assert!(profile.contains(&format!("link = \"{link}\"")), "{profile}");
        let comments = profile.lines().filter(|line| line.trim_start().starts_with('#')).count();
        assert!(comments >= 3 && profile.contains("id = \"example/"), "{profile}");
        write(folder.path(), &format!("{link}.toml"), &profile);
        write(folder.path(), &format!("{link}.recording.toml"), &print(&["--recording"]));
    }
    let directory = folder.path().display().to_string();
    let (is_right, told) = run(&["test", &directory]);
    assert!(is_right && told.contains(&format!("{} profiles, ", links.len())), "{told}");
    let (_, listed) = run(&["list", "--directory", &directory]);
    assert!(!listed.contains("replaces the shipped one"), "{listed}");
}

#[test]
fn a_try_says_what_speaks_against_each_message() {
    let own = |name: &str| root().join("device-profiles").join(name).display().to_string();
    let (camera, posts) = (own("example/mqtt-camera.toml"), own("example/http-camera.toml"));
    let door = r#"{"kind":"door"}"#;
    let strange = r#"{"kind":"full","sn":"A1","result":{"id":"e-1","text":"?"}}"#;
    let post = r#"{"device":{"sn":"A1"},"number":17,"plate":"粤B12345"}"#;
    let taken = r#"{"id":"c1","ok":true}"#;
    for (profile, more, body, is_right, says) in [
        (
            &camera,
            &["--topic", "acme/A1/plate"][..],
            door,
            false,
            &[
                "message \"plate\": no: $.kind is \"door\"; asked is one of [full, quick]",
                "it comes on {layout}/diagnosis",
            ][..],
        ),
        (
            &camera,
            &["--topic", "acme/A1/plate"],
            strange,
            false,
            &["message \"plate\": it is this one, but the field text"],
        ),
        (
            &camera,
            &["--topic", "acme/B2/plate"],
            door,
            false,
            &["this device's topics: acme/A1/diagnosis, acme/A1/open/answer"],
        ),
        (
            &camera,
            &["--topic", "acme/A1/open/answer"],
            taken,
            true,
            &["as the answer to raise with the id \"c1\": taken"],
        ),
        (
            &posts,
            &["--path", "/acme/plate"],
            post,
            true,
            &["it is this one", "echo: number = 17", "answered: {\"seen\":17,\"open\":false}"],
        ),
        (&posts, &["--path", "/other"], post, false, &["this device's paths: /acme/plate"]),
        (
            &camera,
            &["--topic", "acme/A1/plate"],
            "",
            false,
            &["it is rejected: the body is not in its format: the body is empty, as what a broker sends"],
        ),
    ] {
        let hex: String = body.bytes().map(|byte| format!("{byte:02X}")).collect();
        let arguments = [&["try", profile, "--param", "sn=A1", "--frame", &hex][..], more].concat();
        let (found_right, told) = run(&arguments);
        assert_eq!(found_right, is_right, "{told}");
        assert!(says.iter().all(|says| told.contains(says)), "{told}\nshould say {says:?}");
    }
    for (profile, frame, says) in [
        ("waveshare/modbus-relay-8", "01 05 02 00 00 0F 8C 76", "it can be the command raise, or its echo"),
        (
            "waveshare/modbus-relay-8",
            "01 85 03 02 91",
            "as the answer to raise: refused, 3 (a value that is not allowed)",
        ),
        ("waveshare/modbus-relay-8", "01 02 00 00 00 08 79 CC", "it is the poll from input 0"),
        ("waveshare/modbus-relay-8", "01 05 02 00 00 0F 8C 77", "it is rejected"),
        ("osdp/reader", "53 80 08 00 04 40 59 AC", "a packet of address 0; this reader is 5"),
        ("osdp/reader", "53 80 08 00 04 40 59 AC", "address 0, a reply with the code 40, sequence 0, ends with a CRC"),
        ("kf/dc199", "00 64 FF FF 77 00 56 07", "it means nothing: no message of the profile fits the body"),
    ] {
        let address = if profile.starts_with("osdp") { &["--param", "address=5"][..] } else { &[] };
        let (_, told) = run(&[&["try", profile, "--frame", frame][..], address].concat());
        assert!(told.contains(says), "{profile} {frame}: {told}");
    }
    // The address of a timed pulse is beyond those of the command that switches.
    let (_, told) = run(&["try", "waveshare/modbus-relay-8", "--frame", "01 05 02 00 00 05 0C 71"]);
    assert!(told.contains("the command raise") && !told.contains("switch"), "{told}");
}

#[test]
fn a_try_says_of_an_answer_about_a_picture_why_each_message_is_it_or_not() {
    let plates = r#"{"code":5000,"result":{"plate_list":[{"conf":0.97,"plate_type":"蓝牌"}]}}"#;
    let nobody = r#"{"code":5010,"result":null}"#;
    for (answer, is_right, says) in [
        (
            plates,
            false,
            &[
                "message \"no plate in the picture\": no: result.plate_list.0 is a list or an object; asked is nothing",
                "message \"plates in the picture\": it is this one, but the field code is missing",
            ][..],
        ),
        (
            nobody,
            false,
            &[
                "message \"plates in the picture\": no: $.code is \"5010\"; asked is one of [5000]",
                "message \"the engine failed\": no: code is \"5010\"; asked is one of [5009]",
                "it is rejected",
            ],
        ),
        (r#"{"code":5000,"result":{"plate_list":[]}}"#, true, &["message \"no plate in the picture\": it is this one"]),
    ] {
        let hex: String = answer.bytes().map(|byte| format!("{byte:02X}")).collect();
        let (found_right, told) = run(&["try", "hyperlpr/rest", "--frame", &hex]);
        assert_eq!(found_right, is_right, "{told}");
        assert!(says.iter().all(|says| told.contains(says)), "{told}\nshould say {says:?}");
    }
}

#[test]
fn a_site_s_own_profiles_have_ids_of_their_own_and_say_what_they_replace() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().display().to_string();
    let camera = std::fs::read_to_string(root().join("device-profiles/example/mqtt-camera.toml")).unwrap();
    write(folder.path(), "one.toml", &camera);
    write(folder.path(), "two.toml", &camera.replace("example/mqtt-camera\"", "gatepost/mqtt\""));
    let (is_right, told) = run(&["list", "--directory", &directory]);
    let line = |id: &str| told.lines().find(|line| line.starts_with(id)).unwrap_or_default().to_owned();
    assert!(is_right && line("example/mqtt-camera").ends_with("(the site's own)"), "{told}");
    assert!(line("gatepost/mqtt").ends_with("(the site's own; it replaces the shipped one)"), "{told}");
    let (is_right, told) = run(&["show", "example/mqtt-camera", "--directory", &directory]);
    assert!(is_right && told.contains("invented camera over MQTT"), "{told}");
    write(folder.path(), "three.toml", &camera);
    let (is_right, told) = run(&["list", "--directory", &directory]);
    assert!(!is_right && told.contains("three.toml:") && told.contains("example/mqtt-camera is the id of"), "{told}");
    std::fs::remove_file(folder.path().join("three.toml")).unwrap();
    write(folder.path(), "gatepost.toml", "[box]\nname = \"mall-1\"\n");
    let (is_right, told) = run(&["list", "--directory", &directory]);
    let says = "this is no profile: there is no [profile]; allowed: profiles and their NAME.recording.toml only";
    assert!(!is_right && told.contains(says), "{told}");
}

/// What an installer stumbled over is told with what to write instead.
#[test]
fn a_mistake_says_what_to_write_instead() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    let example = |name: &str| std::fs::read_to_string(root().join("device-profiles/example").join(name)).unwrap();
    let (serial, http) = (example("serial-controller.toml"), example("http-camera.toml"));
    let second =
        "\n[[message]]\nname = \"second\"\npaths = [\"/acme/second\"]\nemits = \"nothing\"\nreply = \"plate\"\n";
    for (text, says) in [
        (
            serial.replace("counts = [\"data\"]", "counts = \"data\""),
            "allowed: a list: [\"data\"], or the first and the last of several: [\"first\", \"last\"]",
        ),
        (serial.replace("is = [0x90]", "is = \"x\""), "allowed: a list: [\"x\"]\n"),
        (serial.replace("always = \"01\"", "always = \"0G\""), "allowed: bytes in hex such as \"00 64 FF FF\""),
        (
            serial.replace(", timeout_ms = 500 }", " }"),
            "allowed: the form that the manual describes; for profiles, `gatepost",
        ),
        (
            http + second,
            "the message \"second\" gives nothing for {number} in its reply plate; allowed: echo = { number = \"PATH\" }",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let (is_right, told) = run(&["show", &file.display().to_string()]);
        assert!(!is_right && told.contains(says), "{told}\nshould say {says}");
        assert!(!told.contains("the payload is not JSON") && !told.contains("is not known here"), "{told}");
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).unwrap();
}

fn run(arguments: &[&str]) -> (bool, String) {
    let answer = gatepost().arg("profile").args(arguments).output().unwrap();
    let told = [&answer.stdout[..], &answer.stderr].concat();
    (answer.status.success(), String::from_utf8_lossy(&told).into_owned())
}
