//! Tills and pages over TLS, asked by curl, with a certificate that openssl made.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::boxed::{Site, run};
use crate::till_lines::LANE;

#[test]
fn a_till_is_heard_over_tls_by_who_trusts_the_box_and_by_nobody_else() {
    let settings = "tls_listen = \"127.0.0.1:0\"\ncertificate = \"box.pem\"\nkey = \"box.key\"\n";
    let mut site = Site::start_by(LANE, |file, folder| {
        certify(folder, "box");
        certify(folder, "other");
        let text = std::fs::read_to_string(file).unwrap().replace("[http]\n", &format!("[http]\n{settings}"));
        std::fs::write(file, text).unwrap();
        run(file)
    });
    let said = site.daemon.hear("tills are heard over TLS address=");
    let address = said.split("address=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    let ask = |trusted: &str, base: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--cacert"]);
        curl.arg(site.folder.path().join(trusted)).args(["-H", "Gatepost-Terminal: till-1"]);
        curl.args(["-H", "Authorization: Bearer secret"]).arg(format!("{base}/api/v1/status")).output().unwrap()
    };
    let heard = ask("box.pem", &format!("https://{address}"));
    let status: Value = serde_json::from_slice(&heard.stdout).unwrap_or_else(|_| panic!("{heard:?}"));
    assert_eq!((&status["box"], &status["shift"]), (&"box-1".into(), &1.into()));
    let failed = |heard: Output, expect| assert_eq!((heard.status.code(), heard.stdout.len()), (Some(expect), 0));
    // 60: who the box is cannot be proved; 52 or 56: nothing was answered.
    failed(ask("other.pem", &format!("https://{address}")), 60);
    let plain = ask("box.pem", &format!("http://{address}"));
    assert!(!plain.status.success() && plain.stdout.is_empty(), "nothing is said in the clear there: {plain:?}");
    assert!(ask("box.pem", &format!("http://{}", site.address)).status.success(), "the door without it is still there");
}

/// A certificate for this machine that signs itself, as a small mall has one, and its key.
fn certify(folder: &Path, name: &str) {
    let file = |end: &str| folder.join(format!("{name}.{end}"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    openssl.args(["-subj", "/CN=box-1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout"]).arg(file("key"));
    let made = openssl.arg("-out").arg(file("pem")).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}
