//! Tills and pages over TLS, asked by curl, with a certificate that openssl made.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::boxed::{Site, run};
use crate::till_lines::LANE;

#[test]
fn a_till_is_heard_over_tls_by_who_trusts_the_box_and_by_nobody_else() {
    let (site, address) = secured();
    let heard = ask(&site, "box.pem", &format!("https://{address}"));
    let status: Value = serde_json::from_slice(&heard.stdout).unwrap_or_else(|_| panic!("{heard:?}"));
    assert_eq!((&status["box"], &status["shift"]), (&"box-1".into(), &1.into()));
    is_a_stranger_to(&site, "other.pem", &address);
    // 52 or 56: nothing was answered.
    let plain = ask(&site, "box.pem", &format!("http://{address}"));
    assert!(!plain.status.success() && plain.stdout.is_empty(), "nothing is said in the clear there: {plain:?}");
    let unsecured = ask(&site, "box.pem", &format!("http://{}", site.address));
    assert!(unsecured.status.success(), "the door without it is still there");
}

/// Each of them may take its five seconds to shake hands, one after the other far longer than a till waits.
#[test]
fn connections_that_never_shake_hands_hold_nobody_up() {
    let (site, address) = secured();
    let silent: Vec<TcpStream> = (0..8).map(|_| TcpStream::connect(&address).unwrap()).collect();
    is_trusted(&site, "box.pem", &address);
    drop(silent);
}

/// Whoever renews the certificate puts two files in place, and nobody starts the box again.
#[test]
fn a_renewed_certificate_is_shown_at_once_and_a_broken_one_never() {
    let (mut site, address) = secured();
    let folder = site.folder.path().to_owned();
    let put = |from: &str, to: &str| {
        std::fs::copy(folder.join(from), folder.join("arriving")).unwrap();
        std::fs::rename(folder.join("arriving"), folder.join(to)).unwrap();
    };
    put("box.pem", "first.pem");
    put("box.key", "first.key");
    is_trusted(&site, "first.pem", &address);
    put("other.pem", "box.pem");
    // A till that comes between the two files, and one after them.
    is_trusted(&site, "first.pem", &address);
    let said = site.daemon.hear("the certificate from before stays in use");
    assert!(said.contains("box.key") && said.contains("the private key of the certificate"), "{said}");
    put("other.key", "box.key");
    is_trusted(&site, "other.pem", &address);
    site.daemon.hear("the certificate was read again");
    is_a_stranger_to(&site, "first.pem", &address);
    // Written in place, and to half.
    let half = std::fs::read_to_string(folder.join("first.pem")).unwrap();
    std::fs::write(folder.join("box.pem"), &half[..half.len() / 2]).unwrap();
    is_trusted(&site, "other.pem", &address);
    let said = site.daemon.hear("the certificate from before stays in use");
    assert!(said.contains("box.pem") && said.contains("in PEM"), "{said}");
    std::fs::remove_file(folder.join("box.pem")).unwrap();
    is_trusted(&site, "other.pem", &address);
    put("first.pem", "box.pem");
    put("first.key", "box.key");
    is_trusted(&site, "first.pem", &address);
}

/// A site whose tills are heard over TLS, and where. Its folder also has a certificate that it does not show.
fn secured() -> (Site, String) {
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
    (site, address)
}

fn is_trusted(site: &Site, by: &str, address: &str) {
    let heard = ask(site, by, &format!("https://{address}"));
    assert!(heard.status.success() && !heard.stdout.is_empty(), "{by}: {heard:?}");
}

/// 60: who the box is cannot be proved.
fn is_a_stranger_to(site: &Site, by: &str, address: &str) {
    let heard = ask(site, by, &format!("https://{address}"));
    assert_eq!((heard.status.code(), heard.stdout.len()), (Some(60), 0), "{by}");
}

fn ask(site: &Site, trusted: &str, base: &str) -> Output {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "20", "--cacert"]);
    curl.arg(site.folder.path().join(trusted)).args(["-H", "Gatepost-Terminal: till-1"]);
    curl.args(["-H", "Authorization: Bearer secret"]).arg(format!("{base}/api/v1/status")).output().unwrap()
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
