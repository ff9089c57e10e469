//! The served OpenAPI document: what a person wrote of each address, with the refusals that every address may give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::problem;

/// Addresses, fields and what is answered when all is well.
const WRITTEN: &str = include_str!("openapi.json");

/// The document as it is served.
pub(super) fn document() -> Value {
    let mut document: Value = serde_json::from_str(WRITTEN).expect("a test reads this very text");
    document["components"]["schemas"]["Problem"]["properties"]["code"] = json!({"enum": problem::names()});
    let refusals = refusals();
    let paths = document["paths"].as_object_mut().into_iter().flat_map(|paths| paths.values_mut());
    for operation in paths.filter_map(Value::as_object_mut).flat_map(|methods| methods.values_mut()) {
        for (status, refusal) in &refusals {
            operation["responses"][status] = refusal.clone();
        }
    }
    document
}

/// The refusals, by their status.
fn refusals() -> BTreeMap<String, Value> {
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for (name, status) in problem::table() {
        by_status.entry(status).or_default().push(name);
    }
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    let refusal = |names: Vec<&str>| json!({"description": names.join(", "), "content": {"application/problem+json": {"schema": schema}}});
    by_status.into_iter().map(|(status, names)| (status.to_string(), refusal(names))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tills::http::{ADDRESSES, MORE_ADDRESSES};
    use crate::tills::verbs::Verb;

    /// Where the rooms' other addresses are wired.
    const WIRED: [&str; 2] = [include_str!("mod.rs"), include_str!("http.rs")];

    #[test]
    fn the_document_names_every_address_that_is_served_and_no_other() {
        let mut served: BTreeSet<(String, String)> = ADDRESSES
            .iter()
            .chain(&MORE_ADDRESSES)
            .map(|(_, method, path)| (method.to_lowercase(), (*path).to_owned()))
            .collect();
        // What is no verb is wired by name; `.route("/x", post(f))` is how that is written.
        for wired in WIRED {
            for route in wired.split(".route(\"").skip(1) {
                let (path, rest) = route.split_once("\", ").expect("a path and what serves it");
                let method = rest.split_once('(').expect("a method").0;
                served.insert((method.to_owned(), path.to_owned()));
            }
        }
        assert!(served.len() > 50, "{served:?}");
        let described: BTreeSet<(String, String)> =
            operations(&document()).map(|(method, path, _)| (method.to_owned(), path.to_owned())).collect();
        let differ: Vec<_> = described.symmetric_difference(&served).collect();
        assert!(differ.is_empty(), "served and not described, or the other way round: {differ:?}");
    }

    #[test]
    fn every_verb_is_described_with_its_own_fields() {
        let document = document();
        let mut found = BTreeSet::new();
        for (method, path, operation) in operations(&document) {
            let Some(name) = operation["x-verb"].as_str() else { continue };
            let verb = Verb::named(name).expect("a known verb");
            let fields: BTreeSet<String> = verb.fields().iter().map(|field| (*field).to_owned()).collect();
            assert_eq!(fields_of(operation), fields, "{path}");
            found.insert((verb, method.to_uppercase(), path.to_owned()));
        }
        let served = ADDRESSES.iter().chain(&MORE_ADDRESSES);
        let served = served.map(|(verb, method, path)| (*verb, (*method).to_owned(), (*path).to_owned()));
        assert_eq!(found, served.collect());
    }

    #[test]
    fn every_code_is_in_it() {
        let document = document();
        let responses = &document["paths"]["/transactions"]["post"]["responses"];
        for (name, status) in problem::table() {
            let told = responses[status.to_string()]["description"].as_str().unwrap_or_default();
            assert!(told.split(", ").any(|told| told == name), "{name} is not told at {status}");
        }
    }

    fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = document["paths"].as_object().expect("paths").iter();
        paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").iter();
            methods.map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
        })
    }

    fn fields_of(operation: &Value) -> BTreeSet<String> {
        let parameters = operation["parameters"].as_array().expect("parameters").iter();
        let named = parameters.filter_map(|parameter| parameter["name"].as_str());
        let body = operation["requestBody"]["content"]["application/json"]["schema"]["properties"].as_object();
        named.chain(body.into_iter().flat_map(|fields| fields.keys().map(String::as_str))).map(str::to_owned).collect()
    }
}
