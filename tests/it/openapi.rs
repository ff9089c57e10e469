//! Schemathesis, which nobody here wrote, reads the served OpenAPI document and holds the box to it.

use std::process::Command;

use serde_json::{Value, json};

use crate::boxed::{Site, request, root};
use crate::coupons::stocked;
use crate::till_lines::LANE;

/// Requests of each kind for each address: some thousands in all.
const EXAMPLES: &str = "12";
/// The same requests in every run.
const SEED: &str = "20260301";
/// What is held against each answer: no fault of the box, and the status, the kind and the form that the document says.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,ignored_auth";

#[test]
fn the_box_is_what_its_document_says() {
    let site = stocked(LANE);
    let token = paired(&site);
    let base = format!("http://{}/api/v1", site.address);
    let mut command = Command::new(root().join("target/python/bin/python"));
    command.args(["-m", "schemathesis.cli", "run", &format!("{base}/openapi.json"), "--url", &base]);
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--header", "Gatepost-Terminal: till-1"]);
    command.args(["--header", "Gatepost-Operator: guard", "--header", "Gatepost-Pin: 4711"]);
    command.args(["--max-examples", EXAMPLES, "--seed", SEED, "--phases", "examples,coverage,fuzzing"]);
    command.args(["--checks", CHECKS, "--generation-database", "none", "--no-color", "--request-timeout", "20"]);
    // A stream that never ends cannot be read to its end.
    command.args(["--exclude-path", "/events"]);
    command.current_dir(site.folder.path());
    let run = command.output().expect("./test installs what the tests need");
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("passed"), "{said}");
}

/// The token of a till that was let in at the box.
fn paired(site: &Site) -> String {
    let ask = |method: &str, path: &str, headers: &[(&str, &str)], body: &Value| -> Value {
        let answer = request(site.address, method, &format!("/api/v1{path}"), headers, &body.to_string()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        serde_json::from_str(&answer.body).unwrap()
    };
    let asked = ask("POST", "/pairings", &[], &json!({}));
    let staff = json!({"operator": "guard", "pin": "4711", "code": asked["code"], "terminal": "till-1"});
    ask("POST", "/staff/pairings", &[], &staff);
    let secret = format!("Bearer {}", asked["secret"].as_str().unwrap());
    let path = format!("/pairings/{}", asked["pairing"].as_str().unwrap());
    ask("GET", &path, &[("Authorization", &secret)], &json!({}))["token"].as_str().unwrap().to_owned()
}
