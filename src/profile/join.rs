//! JSON documents joined into one, with the order of their members kept: some cameras read their answers by position.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Joins `more` into `base`: objects are merged member by member, lists appended, anything else replaced. Both were
/// checked with the profile; what is not JSON after all is left out.
pub fn joined(base: &str, more: &[String]) -> Option<String> {
    let mut whole: Node = serde_json::from_str(base).ok()?;
    for piece in more {
        whole.join(serde_json::from_str(piece).ok()?);
    }
    serde_json::to_string(&whole).ok()
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(serde_json::Value),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    fn join(&mut self, more: Self) {
        match (self, more) {
            (Self::Object(members), Self::Object(more)) => {
                for (name, node) in more {
                    match members.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, own)) => own.join(node),
                        None => members.push((name, node)),
                    }
                }
            }
            (Self::List(items), Self::List(more)) => items.extend(more),
            (own, more) => *own = more,
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Leaf(value) => value.serialize(serializer),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(item)?;
                }
                list.end()
            }
            Self::Object(members) => {
                let mut object = serializer.serialize_map(Some(members.len()))?;
                for (name, node) in members {
                    object.serialize_entry(name, node)?;
                }
                object.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OfAny)
    }
}

struct OfAny;

impl<'de> Visitor<'de> for OfAny {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(serde_json::Value::Null))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = object.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_lists_grow() {
        let base = r#"{"z":{"info":"no","n":null,"list":[1]},"a":1}"#;
        let more = [r#"{"z":{"info":"ok","new":true}}"#.to_owned(), r#"{"z":{"list":[{"b":2,"a":1.5}]}}"#.to_owned()];
        let expect = r#"{"z":{"info":"ok","n":null,"list":[1,{"b":2,"a":1.5}],"new":true},"a":1}"#;
        assert_eq!(joined(base, &more).as_deref(), Some(expect));
    }
}
