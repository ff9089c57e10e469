//! The document for programs says what the server does: each of its addresses answers, and no other one.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::host::{ENGINE, Host, On, call};

#[tokio::test]
async fn the_document_and_the_routes_are_the_same() {
    let host = ENGINE.scope(On::Sqlite, Host::start()).await;
    let document = host.get("", "/openapi.json").await.body;
    assert_eq!(document["openapi"], "3.1.0");
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (path.clone(), method.clone())))
        .collect();
    assert_eq!(described, routes(), "described, and served");
    for (path, method) in &described {
        let address =
            path.replace("{box}", "demo-1").replace("{id}", "M1").replace("{op}", "o").replace("{grant}", "G");
        let answer = call(host.address, &method.to_uppercase(), &address, "", "").await;
        let code = answer.body["code"].as_str().unwrap_or_default();
        assert!(!["not-found", "method-not-allowed"].contains(&code), "{method} {path}: {}", answer.body);
        let operation = &document["paths"][path][method];
        assert!(operation["summary"].as_str().is_some_and(|text| text.len() > 5), "{method} {path}");
        assert!(operation["responses"]["200"].is_object(), "{method} {path}");
        let named: BTreeSet<&str> =
            path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let in_path = parameters.filter(|one| one["in"] == "path").filter_map(|one| one["name"].as_str());
        assert_eq!(in_path.collect::<BTreeSet<_>>(), named, "{method} {path}");
    }
    for reference in references(&document) {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

/// The routes as the server's own source has them.
fn routes() -> BTreeSet<(String, String)> {
    let source = include_str!("../../src/http/mod.rs");
    let mut routes = BTreeSet::new();
    for line in source.lines().filter(|line| line.contains(".route(\"") || line.contains("let journal = post(")) {
        let path = line.split('"').nth(1).unwrap_or("/v1/boxes/{box}/journal");
        for method in ["get", "post", "put", "delete"] {
            if line.contains(&format!(" {method}(")) || line.contains(&format!(").{method}(")) {
                routes.insert((path.to_owned(), method.to_owned()));
            }
        }
    }
    routes
}

fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}
