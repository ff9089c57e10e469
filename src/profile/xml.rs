//! A document in XML as a tree of values, and what makes one too costly to be read.

use encoding_rs::Encoding;
use serde_json::{Map, Value};

use super::charset;
use super::json::shortened;
use super::statement::Rejection;

/// What stands before the end of a first line; it has three words.
const PROLOG_BYTES_MAX: usize = 200;
/// Elements within elements; documents in the field have eight.
const DEPTH_MAX: usize = 64;
/// Elements of one document; the largest known has a few hundred.
const NODES_MAX: u32 = 100_000;
/// Attributes of one tag: the reader compares each with all before it. Products have a dozen.
const TAG_ATTRIBUTES_MAX: usize = 128;
/// Attributes of one document.
const ATTRIBUTES_MAX: usize = 10_000;
/// Namespaces that one document declares: the reader hands them on from element to element. ONVIF declares some thirty.
const NAMESPACES_MAX: usize = 128;
/// Name and address of one namespace: the reader compares them with every name.
const NAMESPACE_BYTES_MAX: usize = 512;
/// An element with more attributes is not told from others of its name by one of them.
const TELLING_MAX: usize = 8;
/// Nor by a longer value.
const TELLING_BYTES_MAX: usize = 64;

/// Elements by their local names, whatever their namespace. Where a name repeats, the first counts; below `*` every text
/// and attribute stands once more by its element's name alone, again the first. An attribute is `element@attribute`
/// beside its element. Of elements that repeat, `element[attribute=value]` is the text and
/// `element[attribute=value]@another` another attribute of the first that has this value.
pub(super) fn read(text: &str) -> Result<Value, Rejection> {
    bounded(text)?;
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: NODES_MAX, ..Default::default() };
    let document =
        roxmltree::Document::parse_with_options(text, options).map_err(|error| malformed(&error.to_string()))?;
    let (mut top, mut anywhere) = (Map::new(), Map::new());
    put(document.root_element(), &mut top, &mut anywhere, DEPTH_MAX)?;
    top.insert("*".to_owned(), Value::Object(anywhere));
    Ok(Value::Object(top))
}

/// The character set that the first line of a document names, where it is one that is read here.
pub(super) fn charset(document: &[u8]) -> Option<&'static Encoding> {
    let begin = document.trim_ascii_start().strip_prefix(b"<?xml")?;
    let end = memchr::memmem::find(begin, b"?>").filter(|end| *end <= PROLOG_BYTES_MAX)?;
    let (_, label) = std::str::from_utf8(&begin[..end]).ok()?.split_once("encoding")?;
    let label = label.trim_start().strip_prefix('=')?.trim();
    charset::named(label.trim_matches(['"', '\'']).split(['"', '\'']).next()?)
}

/// Puts an element among its siblings. It calls itself for what is inside, so that `depth_left` guards the stack.
fn put(
    node: roxmltree::Node,
    siblings: &mut Map<String, Value>,
    anywhere: &mut Map<String, Value>,
    depth_left: usize,
) -> Result<(), Rejection> {
    let depth_left = depth_left.checked_sub(1).ok_or_else(|| malformed("too many elements within each other"))?;
    let name = node.tag_name().name();
    let mut inside = Map::new();
    for child in node.children().filter(roxmltree::Node::is_element) {
        put(child, &mut inside, anywhere, depth_left)?;
    }
    let text: Option<String> = inside.is_empty().then(|| {
        let texts = node.children().filter(roxmltree::Node::is_text).filter_map(|child| child.text());
        texts.collect::<String>().trim().to_owned()
    });
    for values in [&mut *siblings, &mut *anywhere] {
        told_apart(node, text.as_deref(), values);
    }
    if let Some(text) = &text {
        anywhere.entry(name).or_insert_with(|| Value::String(text.clone()));
    }
    siblings.entry(name).or_insert_with(|| text.map_or(Value::Object(inside), Value::String));
    Ok(())
}

/// What an element's attributes say, and which of several elements of its name it is by them.
fn told_apart(node: roxmltree::Node, text: Option<&str>, values: &mut Map<String, Value>) {
    let name = node.tag_name().name();
    let mut first = |key: String, value: &str| {
        values.entry(key).or_insert_with(|| Value::String(value.to_owned()));
    };
    for attribute in node.attributes() {
        first(format!("{name}@{}", attribute.name()), attribute.value());
    }
    let telling = node.attributes().filter(|attribute| attribute.value().len() <= TELLING_BYTES_MAX);
    for by in telling.take(if node.attributes().len() > TELLING_MAX { 0 } else { TELLING_MAX }) {
        let this = format!("{name}[{}={}]", by.name(), by.value());
        for another in node.attributes() {
            first(format!("{this}@{}", another.name()), another.value());
        }
        if let Some(text) = text {
            first(this, text);
        }
    }
}

/// Refuses what costs the reader more time than its length says: its work on attributes and namespaces is quadratic.
/// Whatever the reader takes for an attribute is counted here; it may refuse more than is counted.
fn bounded(text: &str) -> Result<(), Rejection> {
    let (mut attributes, mut namespaces) = (0, 0);
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some((opening, end)) = [("!--", "-->"), ("![CDATA[", "]]>"), ("?", "?>")]
            .into_iter()
            .find(|(opening, _)| rest.starts_with(opening))
        {
            // Without its end it is all the rest, and the reader says so.
            let Some(at) = rest[opening.len()..].find(end) else { return Ok(()) };
            rest = &rest[opening.len() + at + end.len()..];
            continue;
        }
        let mut of_tag = 0;
        while let Some(attribute) = next_attribute(&mut rest)? {
            of_tag += 1;
            namespaces += usize::from(attribute.is_namespace());
            if attribute.is_namespace() && attribute.bytes() > NAMESPACE_BYTES_MAX {
                return Err(malformed("the name of a namespace is too long"));
            }
            if of_tag > TAG_ATTRIBUTES_MAX {
                return Err(malformed("too many attributes in one tag"));
            }
        }
        attributes += of_tag;
        if attributes > ATTRIBUTES_MAX || namespaces > NAMESPACES_MAX {
            return Err(malformed("too many attributes or namespaces"));
        }
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
struct Attribute<'t> {
    name: &'t str,
    value: &'t str,
}

impl Attribute<'_> {
    fn is_namespace(self) -> bool {
        self.name.starts_with("xmlns")
    }

    fn bytes(self) -> usize {
        self.name.len() + self.value.len()
    }
}

/// The next attribute of the tag in which `rest` begins, and `rest` behind it; `None` and `rest` behind the tag where it
/// has no more.
fn next_attribute<'t>(rest: &mut &'t str) -> Result<Option<Attribute<'t>>, Rejection> {
    let unended = || malformed("a tag without its end");
    let at = rest.find(['"', '\'', '<', '>']).ok_or_else(unended)?;
    let (before, from) = rest.split_at(at);
    let behind = &from[1..];
    let quote = match from.as_bytes()[0] {
        b'>' => {
            *rest = behind;
            return Ok(None);
        }
        b'<' => return Err(unended()),
        quote => char::from(quote),
    };
    let (value, behind) = behind.split_once(quote).ok_or_else(unended)?;
    if value.contains('<') {
        return Err(unended());
    }
    *rest = behind;
    let name = before.trim_end().trim_end_matches('=').split_ascii_whitespace().next_back().unwrap_or_default();
    Ok(Some(Attribute { name, value }))
}

fn malformed(why: &str) -> Rejection {
    Rejection::Malformed(shortened(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONVIF: &str = r#"<e:Envelope xmlns:e="env" xmlns:tt="tt"><e:Body><tt:Message UtcTime="2026-02-28T15:59:59Z">
        <tt:Data><tt:SimpleItem Name="country" Value="CN"/><!-- c --><tt:SimpleItem Name='text' Value='RZ3160'/>
        <tt:Item Name="a">one</tt:Item><tt:Item Name="b">two</tt:Item><tt:Plate nil="true"/></tt:Data></tt:Message></e:Body></e:Envelope>"#;

    #[test]
    fn attributes_stand_beside_their_element_and_tell_it_from_others() {
        let tree = read(ONVIF).expect("XML");
        let message = &tree["Envelope"]["Body"];
        assert_eq!(message["Message@UtcTime"], "2026-02-28T15:59:59Z");
        let data = &message["Message"]["Data"];
        assert_eq!(data["SimpleItem"], "", "as without attributes");
        assert_eq!(data["SimpleItem@Value"], "CN", "the first");
        assert_eq!(data["SimpleItem[Name=text]@Value"], "RZ3160");
        assert_eq!((&data["Item"], &data["Item[Name=b]"]), (&"one".into(), &"two".into()));
        assert_eq!((&data["Plate"], &data["Plate@nil"]), (&"".into(), &"true".into()));
        assert_eq!(tree["*"]["SimpleItem[Name=text]@Value"], "RZ3160");
        assert_eq!(tree["*"]["Message@UtcTime"], "2026-02-28T15:59:59Z");
        assert!(data.get("Plate[nil=true]@xmlns").is_none(), "a namespace is no attribute");
    }

    #[test]
    fn a_text_is_whole_whatever_stands_within_it() {
        assert_eq!(read("<a> x<!-- c -->y<![CDATA[&z]]>&amp;</a>").expect("XML")["a"], "xy&z&");
    }

    /// The reader's work on them grows with the square of their number.
    #[test]
    fn attributes_and_namespaces_have_a_limit() {
        let tag = |most: usize| (0..most).map(|n| format!(" a{n}='>'")).collect::<String>();
        check(&format!("<a{}/>", tag(TAG_ATTRIBUTES_MAX)), None);
        check(&format!("<a{}/>", tag(TAG_ATTRIBUTES_MAX + 1)), Some("attributes in one tag"));
        check(&format!("<a><!-- <b{} --></a>", tag(200)), None);
        check(&format!("<a><![CDATA[<b{}>]]></a>", tag(200)), None);
        check(&format!("<?xml version='1.0'?><a><?b{}?></a>", tag(200)), None);
        let many = |tags: usize| format!("<r>{}</r>", format!("<a{}/>", tag(100)).repeat(tags));
        check(&many(100), None);
        check(&many(101), Some("too many attributes"));
        let spaces = |most: usize| (0..most).map(|n| format!("<c xmlns:n{n} = 'u'/>")).collect::<String>();
        check(&format!("<r>{}</r>", spaces(NAMESPACES_MAX)), None);
        check(&format!("<r>{}</r>", spaces(NAMESPACES_MAX + 1)), Some("namespaces"));
        check(&format!("<r xmlns='{}'/>", "u".repeat(NAMESPACE_BYTES_MAX)), Some("namespace is too long"));
        check("<a b='<'/>", Some("without its end"));
        check("<a b='", Some("without its end"));
    }

    #[test]
    fn elements_within_elements_have_a_limit() {
        let deep = |depth: usize| "<a b='/>'>".repeat(depth) + &"</a>".repeat(depth);
        check(&deep(DEPTH_MAX), None);
        check(&deep(DEPTH_MAX + 1), Some("within each other"));
    }

    fn check(text: &str, refused: Option<&str>) {
        let why = read(text).err().map(|rejection| rejection.to_string());
        let is_right = match (&why, refused) {
            (Some(why), Some(refused)) => why.contains(refused),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        assert!(is_right, "{text:.60}: {why:?}, and not {refused:?}");
    }
}
