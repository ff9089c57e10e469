//! The settings, and what a mistake in them is told as.

use super::*;

const SETTINGS: &str = include_str!("../../examples/gatepost.toml");

#[test]
fn every_mistake_has_a_place_and_says_what_is_allowed() {
    check("id = \"example-1\"", "id = \"\"", ":5:6: \"\" cannot name a box; allowed: 1 to 40 letters");
    check(
        "name = \"Harbour Mall\"",
        "nmae = \"x\"",
        ":8:1: unknown field `nmae` (did you mean `name`?); allowed: `name`, `timezone`, `plate_formats`, `day_begins`",
    );
    check("name = \"Harbour Mall\"", "day_begins = \"4 am\"", ":8:14: \"4 am\" is no time of the night");
    check("name = \"Harbour Mall\"", "day_closes = \"4 am\"", ":8:14: \"4 am\" is no time of the night");
    let tls = "[http]\ntls_listen = \"127.0.0.1:8443\"\n";
    check(
        "[site]\n",
        &format!("{tls}[site]\n"),
        "TLS needs an address, a certificate and its key; allowed: tls_listen, ",
    );
    let files = format!("{tls}certificate = \"no.pem\"\nkey = \"gatepost.toml\"\n[site]\n");
    check("[site]\n", &files, "no.pem: ");
    check("[site]\n", &files, "; allowed: a certificate in PEM, the box's own first");
    let empty = files.replace("no.pem", "gatepost.toml");
    check("[site]\n", &empty, "gatepost.toml: no certificate is in it; allowed: a certificate in PEM");
    let early = ":8:14: a day cannot be closed before it is over; allowed: 04:00 to 11:59";
    check("name = \"Harbour Mall\"", "day_closes = \"03:59\"", early);
    check("name = \"Harbour Mall\"", "timezone = \"Mars/Base\"", ":8:12: ");
    check("name = \"Harbour Mall\"", "plate_formats = [\"AA-99\"]", ":8:18: the format \"AA-99\"; allowed are 5 to 9");
    check("file = \"../systemd/rules.toml\"", "file = \"no.toml\"", "no.toml cannot be read");
    check(
        "direction = \"entry\"",
        "direction = \"sideways\"",
        "unknown variant `sideways`; allowed: `entry` or `exit`",
    );
    check("camera = \"camera-in\"", "camera = \"camera-9\"", "allowed: camera-in, camera-out");
    check("id = \"guard-1\"", "id = \"no guard\"", "\"no guard\" is no operator's name");
    check(
        "[[operators]]",
        "[[terminals]]\nid = \"till-1\"\ntoken = \"b\"\n[[operators]]",
        "two terminals have the name",
    );
    check(
        "[[operators]]",
        "[emergency]\ndevice = \"camera-in\"\ninput = 0\n[[operators]]",
        "input 0 of camera-in already belongs to lane entry-1",
    );
    check(
        "passage_loop = { device = \"camera-in\", input = 1 }",
        "passed_by = \"passage_loop\"",
        "this lane has no passage_loop",
    );
    check("[rules]", "[photos]\nkeep_days = 900\n[rules]", ":14:13: keep_days is 900; allowed: 0 (none");
    check("[rules]", "[photos]\nmax_mb = 1\n[rules]", ":14:10: max_mb is 1; allowed: 16 to");
    check("[rules]", "[photos]\nkeep = 9\n[rules]", ":14:1: unknown field `keep`; allowed: `directory`");
    check(
        "direction = \"entry\"",
        "direction = \"entry\"\nphotos.blur = [600, 0, 500, 100]",
        "the area does not lie in the picture; allowed: left, top, width, height in thousandths",
    );
}

#[test]
fn a_camera_s_own_blur_stands_before_that_of_its_lane() {
    let blur = |x| format!("photos = {{ blur = [{x}, 2, 3, 4] }}\n");
    let device = "[[devices]]\nid = \"camera-out\"\n";
    let with_rear = SETTINGS
        .replacen(
            "camera = \"camera-in\"\n",
            &format!("camera = \"camera-in\"\nrear_camera = \"camera-rear\"\n{}", blur(1)),
            1,
        )
        .replacen(
            device,
            &format!(
                "[[devices]]\nid = \"camera-rear\"\nprofile = \"vzenith/r-mqtt\"\nlink = \"broker\"\n\
                 params = {{ sn = \"1a2b3c4d-00000009\" }}\n{}{device}",
                blur(9)
            ),
            1,
        );
    let settings =
        written(&with_rear, |path| load(path).map_err(|mistakes| format!("{mistakes:?}"))).expect("settings");
    let of = |lane: &str, end| settings.photos.blur.get(&(LaneId::from(lane), end)).map(|area| area.x);
    let front = crate::domain::plate::told::End::Front;
    let rear = crate::domain::plate::told::End::Rear;
    assert_eq!([of("entry-1", front), of("entry-1", rear)], [Some(1), Some(9)]);
    assert_eq!([of("exit-1", front), of("exit-1", rear)], [None; 2]);

    let wrong =
        "camera-rear is the camera of no lane, and its pictures are no lane's; allowed: photos of a lane's camera";
    let lonely = with_rear.replacen("rear_camera = \"camera-rear\"\n", "", 1);
    let mistakes = written(&lonely, load).expect_err("no lane's");
    assert!(mistakes.iter().any(|mistake| mistake.to_string().contains(wrong)), "{mistakes:?}");
}

/// What becomes of settings in a file.
fn written<T>(settings: &str, load: impl Fn(&Path) -> T) -> T {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("site")).expect("a folder");
    std::fs::create_dir(folder.path().join("systemd")).expect("a folder");
    std::fs::write(folder.path().join("systemd/rules.toml"), include_str!("../../systemd/rules.toml")).expect("rules");
    let path = folder.path().join("site/gatepost.toml");
    std::fs::write(&path, settings).expect("settings");
    load(&path)
}

fn check(from: &str, to: &str, expect: &str) {
    assert!(SETTINGS.contains(from), "{from} is in the settings");
    assert!(written(SETTINGS, |path| load(path).is_ok()), "right as they stand");
    let mistakes = written(&SETTINGS.replacen(from, to, 1), |path| load(path).expect_err(to));
    let found: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let all = found.join("\n");
    assert!(all.contains(expect), "{all}\nshould say\n{expect}");
    let has_place = |mistake: &String| {
        let after = mistake.split_once("gatepost.toml:").map(|(_, after)| after);
        after.is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()))
    };
    assert!(found.iter().all(has_place), "a mistake without its line:\n{all}");
}
