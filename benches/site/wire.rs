//! Connections of their own, as cameras have them: what goes out was made before, and nobody waits for what comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::{Connect, Publish, Subscribe};

use super::Broker;

/// A connection to the broker that costs its thread nothing but its writes.
pub struct Wire {
    stream: TcpStream,
    last: u16,
}

impl Wire {
    pub fn connect(broker: &Broker, name: &str) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", broker.port)).expect("the broker");
        stream.set_nodelay(true).expect("a socket");
        let mut connect = Connect::new(name);
        // Nobody here sends pings.
        connect.keep_alive = 0;
        let mut bytes = Default::default();
        connect.write(&mut bytes).expect("a packet");
        stream.write_all(&bytes).expect("the connection lives");
        let mut taken = [0; 4];
        stream.read_exact(&mut taken).expect("the broker answers");
        assert_eq!(taken, [0x20, 2, 0, 0], "the broker takes the connection");
        Self { stream, last: 0 }
    }

    /// A message with QoS 1, ready for the wire.
    pub fn made(&mut self, topic: &str, body: String) -> Vec<u8> {
        self.last = self.last.checked_add(1).unwrap_or(1);
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, body);
        publish.pkid = self.last;
        let mut bytes = Default::default();
        publish.write(&mut bytes).expect("a packet");
        bytes.into()
    }

    /// Returns the moment in which the last byte had left this program. The broker's answers are never read: their few
    /// bytes wait in the system.
    pub fn send(&mut self, made: &[u8]) -> Instant {
        self.stream.write_all(made).expect("the connection lives");
        Instant::now()
    }

    /// Hears a topic filter, and answers each message whose topic begins with `asks` by a small one at `answers`, with
    /// the rest of the topic as `sn`: the least that anybody could do who hears a camera and commands its barrier.
    pub fn answer(mut self, filter: &str, asks: &str, answers: &str) {
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = 1;
        let mut bytes = Default::default();
        subscribe.write(&mut bytes).expect("a packet");
        self.stream.write_all(&bytes).expect("the connection lives");
        let mut body = Vec::new();
        while let Some(kind) = self.packet(&mut body) {
            if kind >> 4 != 3 {
                continue;
            }
            let end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            let mut out = vec![0x40, 2, body[end], body[end + 1]];
            let topic = String::from_utf8_lossy(&body[2..end]).into_owned();
            if let Some(sn) = topic.strip_prefix(asks) {
                out.extend(self.made(answers, format!(r#"{{"sn":"{sn}"}}"#)));
            }
            self.send(&out);
        }
    }

    /// The first byte of the next packet, and what stands behind its length.
    fn packet(&mut self, body: &mut Vec<u8>) -> Option<u8> {
        let mut head = [0; 1];
        self.stream.read_exact(&mut head).ok()?;
        let kind = head[0];
        let mut length = 0;
        for place in 0..4 {
            self.stream.read_exact(&mut head).ok()?;
            length |= usize::from(head[0] & 0x7F) << (7 * place);
            if head[0] < 0x80 {
                break;
            }
        }
        body.resize(length, 0);
        self.stream.read_exact(body).ok()?;
        Some(kind)
    }
}
