//! What Hikvision's entrance cameras say of plates: events as XML, posted in forms with pictures, or bare in a stream. They
//! know neither loops nor an arm.

use super::NO_PLATE;
use super::dialect::{Message, Said};
use crate::clock::rfc3339;
use crate::plates::PlateKind;

const BOUNDARY: &str = "MIME_boundary";
const STREAM_XML: &str = "application/xml; charset=\"UTF-8\"";

/// A plate in a form, its pictures beside it.
pub(super) fn message(said: &Said<'_>, name: &str) -> Option<Message> {
    let xml = plate(said)?;
    let Said::Plate { pictures, .. } = said else { return None };
    let mut body = part("anpr.xml", "application/xml", xml.as_bytes());
    if let Some(pictures) = pictures {
        body.extend(part("licensePlatePicture.jpg", "image/jpeg", &pictures.plate));
        body.extend(part("detectionPicture.jpg", "image/jpeg", &pictures.scene));
    }
    body.extend(format!("--{BOUNDARY}--\r\n").into_bytes());
    let content_type = format!("multipart/form-data; boundary={BOUNDARY}");
    Some(Message { to: path(name), content_type, body })
}

/// A plate in the stream, which brings no pictures.
pub(super) fn in_stream(said: &Said<'_>) -> Option<Message> {
    Some(Message { to: String::new(), content_type: STREAM_XML.to_owned(), body: plate(said)?.into_bytes() })
}

fn plate(said: &Said<'_>) -> Option<String> {
    let Said::Plate { capture, record, .. } = said else { return None };
    let plate = if capture.plate == NO_PLATE { "unknown" } else { capture.plate.as_str() };
    let colour = match PlateKind::of(plate) {
        PlateKind::Ordinary => "blue",
        PlateKind::NewEnergy => "newEnergyGreen",
    };
    let believe = vec![capture.confidence.to_string(); plate.chars().count()].join(",");
    let anpr = format!(
        "<ANPR><country>1</country><licensePlate>{plate}</licensePlate><line>1</line><direction>forward</direction>\
         <confidenceLevel>{}</confidenceLevel><plateColor>{colour}</plateColor>\
         <plateCharBelieve>{believe}</plateCharBelieve><detectType>2</detectType><alarmDataType>0</alarmDataType>\
         <originalLicensePlate>{plate}</originalLicensePlate></ANPR>\
         <UUID>a0fe72d4-3652-464a-aebd-{record:012}</UUID><picNum>2</picNum>",
        capture.confidence
    );
    Some(event("ANPR", "active", &rfc3339(capture.at_ms), &anpr))
}

/// The event that says nothing but that the camera is there.
pub(super) fn alive(name: &str) -> Message {
    let body = event("videoloss", "inactive", &rfc3339(0), "").into_bytes();
    Message { to: path(name), content_type: "application/xml".to_owned(), body }
}

fn path(name: &str) -> String {
    format!("/hikvision/{name}")
}

fn event(kind: &str, state: &str, at: &str, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<EventNotificationAlert version=\"2.0\" \
         xmlns=\"http://www.isapi.org/ver20/XMLSchema\"><macAddress>44:a6:42:00:00:01</macAddress>\
         <channelID>1</channelID><dateTime>{at}</dateTime><activePostCount>1</activePostCount>\
         <eventType>{kind}</eventType><eventState>{state}</eventState>{more}</EventNotificationAlert>\n"
    )
}

fn part(name: &str, content_type: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
         Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
        bytes.len()
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{Capture, Trigger};

    #[test]
    fn a_plate_is_a_form_with_the_documented_fields() {
        let capture = Capture {
            plate: "粤B12345".to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 92,
            trigger: Trigger::VirtualLoop,
        };
        let said = Said::Plate { capture: &capture, record: 1, is_quick: false, pictures: None };
        let posted = message(&said, "exit-1").expect("a post");
        assert_eq!(
            (posted.to.as_str(), posted.content_type.as_str()),
            ("/hikvision/exit-1", "multipart/form-data; boundary=MIME_boundary")
        );
        let text = String::from_utf8(posted.body).unwrap();
        for must in [
            "name=\"anpr.xml\"",
            "<eventType>ANPR</eventType><eventState>active</eventState>",
            "<dateTime>2026-02-28T23:59:59.638+08:00</dateTime>",
            "<licensePlate>粤B12345</licensePlate>",
            "<plateCharBelieve>92,92,92,92,92,92,92</plateCharBelieve>",
            "<UUID>a0fe72d4-3652-464a-aebd-000000000001</UUID>",
        ] {
            assert!(text.contains(must), "{must} in {text}");
        }
        assert!(text.ends_with("--MIME_boundary--\r\n"));
    }

    #[test]
    fn the_stream_says_the_same_without_pictures() {
        let capture = Capture {
            plate: NO_PLATE.to_owned(),
            at_ms: 1_772_294_399_638,
            confidence: 92,
            trigger: Trigger::VirtualLoop,
        };
        let said = Said::Plate { capture: &capture, record: 2, is_quick: false, pictures: None };
        let text = String::from_utf8(in_stream(&said).expect("an event").body).unwrap();
        assert!(text.starts_with("<?xml") && text.contains("<licensePlate>unknown</licensePlate>"), "{text}");
        assert_eq!(in_stream(&Said::Gate(crate::camera::GateStatus::Up)), None);
    }
}
