//! Debian's mosquitto with a line to it that can be cut, and a camera made of a plain client.

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, Command};

use super::broker::settings;
use super::*;

pub(super) const SN: &str = "265e1040-85e01fb7";

pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

pub(super) struct Mosquitto {
    /// Killed when it is dropped.
    _child: Child,
    lines: Lines<BufReader<ChildStderr>>,
    pub(super) port: u16,
    _directory: tempfile::TempDir,
}

impl Mosquitto {
    pub(super) async fn start() -> Self {
        Self::start_with("allow_anonymous true").await
    }

    pub(super) async fn start_with(more: &str) -> Self {
        let port = free_port();
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("mosquitto.conf");
        let text = format!("listener {port} 127.0.0.1\n{more}\nlog_dest stderr\nlog_type all\nset_tcp_nodelay true\n");
        std::fs::write(&file, text).expect("written");
        let mut child = Command::new("/usr/sbin/mosquitto")
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("mosquitto is installed (./test installs it)");
        let lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut broker = Self { _child: child, lines, port, _directory: directory };
        broker.log("running").await;
        broker
    }

    /// One whose access list refuses a subscription, which mosquitto does with this plugin of its package only.
    pub(super) async fn that_refuses(subscription: &str) -> Self {
        let folders = std::fs::read_dir("/usr/lib").expect("a folder").flatten();
        let plugin = folders.map(|folder| folder.path().join("mosquitto_dynamic_security.so"));
        let plugin = plugin.into_iter().find(|file| file.exists()).expect("mosquitto's package brings it");
        let deny = json!({"acltype": "subscribeLiteral", "topic": subscription, "allow": false});
        let list = json!({
            "defaultACLAccess": {
                "publishClientSend": true, "publishClientReceive": true, "subscribe": true, "unsubscribe": true},
            "roles": [{"rolename": "box", "acls": [deny]}],
            "groups": [{"groupname": "all", "roles": [{"rolename": "box"}]}],
            "anonymousGroup": "all",
        });
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        std::io::Write::write_all(&mut file, list.to_string().as_bytes()).expect("written");
        // The broker reads it as a user of its own.
        std::fs::set_permissions(file.path(), std::os::unix::fs::PermissionsExt::from_mode(0o644)).expect("permitted");
        let (plugin, list) = (plugin.display(), file.path().display());
        Self::start_with(&format!("allow_anonymous true\nplugin {plugin}\nplugin_opt_config_file {list}")).await
    }

    /// A box that is connected and subscribed.
    pub(super) async fn site(&mut self, profile_timeout: Option<&str>) -> Site {
        self.site_of(settings(self.port, profile_timeout)).await
    }

    pub(super) async fn site_of(&mut self, plan: Plan) -> Site {
        let site = Site::start(plan);
        self.is_subscribed().await;
        site.until(|metrics| metrics.is_link_up("broker")).await;
        site
    }

    pub(super) async fn is_subscribed(&mut self) {
        self.log("Sending SUBACK to gatepost-mall-1").await;
    }

    /// Waits until the broker says so.
    pub(super) async fn log(&mut self, words: &str) {
        let found = async {
            while let Some(line) = self.lines.next_line().await.expect("readable") {
                if line.contains(words) {
                    return;
                }
            }
            panic!("mosquitto ended before it said {words:?}");
        };
        timeout(PATIENCE, found).await.unwrap_or_else(|_| panic!("mosquitto did not say {words:?}"));
    }
}

/// The line between the box and its broker.
pub(super) struct Cable {
    pub(super) port: u16,
    pub(super) loses: Arc<AtomicBool>,
    pub(super) cut: Arc<tokio::sync::Notify>,
    pub(super) _carrying: JoinSet<()>,
}

impl Cable {
    pub(super) async fn between(broker: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (loses, cut) = (Arc::new(AtomicBool::new(false)), Arc::new(tokio::sync::Notify::new()));
        let mut carrying = JoinSet::new();
        carrying.spawn(carry(listener, broker, Arc::clone(&loses), Arc::clone(&cut)));
        Self { port, loses, cut, _carrying: carrying }
    }

    pub(super) fn loses_what_is_sent(&mut self) {
        self.loses.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_cut_and_mended(&mut self) {
        self.cut.notify_one();
    }
}

/// One connection at a time, byte by byte as it comes, until it is cut.
async fn carry(listener: TcpListener, broker: u16, loses: Arc<AtomicBool>, cut: Arc<tokio::sync::Notify>) {
    loop {
        let (mut near, _) = listener.accept().await.expect("accepted");
        loses.store(false, Ordering::SeqCst);
        let mut far = TcpStream::connect(("127.0.0.1", broker)).await.expect("connected");
        let (mut from_box, mut from_broker) = ([0; 4096], [0; 4096]);
        loop {
            tokio::select! {
                () = cut.notified() => break,
                count = near.read(&mut from_box) => match count {
                    Ok(count) if count > 0 => {
                        if !loses.load(Ordering::SeqCst) {
                            far.write_all(&from_box[..count]).await.expect("written");
                        }
                    }
                    Ok(_) | Err(_) => break,
                },
                count = from_broker_read(&mut far, &mut from_broker) => match count {
                    Some(count) => near.write_all(&from_broker[..count]).await.expect("written"),
                    None => break,
                },
            }
        }
    }
}

async fn from_broker_read(far: &mut TcpStream, buffer: &mut [u8]) -> Option<usize> {
    far.read(buffer).await.ok().filter(|count| *count > 0)
}

/// A camera that publishes and is told, with QoS 1.
pub(super) struct Camera {
    client: AsyncClient,
    connection: EventLoop,
    told: std::collections::VecDeque<(String, Value)>,
}

impl Camera {
    pub(super) async fn connect(port: u16) -> Self {
        let mut options = MqttOptions::new("camera", "127.0.0.1", port);
        let mut properties = ConnectProperties::new();
        properties.max_packet_size = Some(8 * 1024 * 1024);
        options.set_connect_properties(properties);
        let (client, connection) = AsyncClient::new(options, 16);
        let mut camera = Self { client, connection, told: std::collections::VecDeque::new() };
        for layout in ["device/+/message/down/+", "+/device/message/down/+"] {
            camera.client.subscribe(layout, QoS::AtLeastOnce).await.expect("asked");
            camera.until(|packet| matches!(packet, Packet::SubAck(_))).await;
        }
        camera
    }

    pub(super) async fn says(&mut self, name: &str, body: &str) {
        self.publishes(&format!("device/{SN}/message/up/{name}"), body, false).await;
    }

    pub(super) async fn publishes(&mut self, topic: &str, body: &str, retain: bool) {
        self.client.publish(topic, QoS::AtLeastOnce, retain, body.to_owned()).await.expect("handed");
        self.until(|packet| matches!(packet, Packet::PubAck(_))).await;
    }

    pub(super) async fn told(&mut self) -> Value {
        self.told_on().await.1
    }

    pub(super) async fn told_on(&mut self) -> (String, Value) {
        if self.told.is_empty() {
            self.until(|packet| matches!(packet, Packet::Publish(_))).await;
        }
        self.told.pop_front().expect("a command came")
    }

    pub(super) async fn answers(&mut self, command: &Value, code: u16) {
        self.answers_on("gpio_out", command, code).await;
    }

    pub(super) async fn answers_on(&mut self, name: &str, command: &Value, code: u16) {
        let reply = json!({"code": code, "id": command["id"], "name": name, "sn": SN, "payload": null});
        self.publishes(&format!("device/{SN}/message/down/{name}/reply"), &reply.to_string(), false).await;
    }

    pub(super) async fn until(&mut self, is_it: impl Fn(&Packet) -> bool) {
        in_time(async {
            loop {
                let Event::Incoming(packet) = self.connection.poll().await.expect("connected") else { continue };
                if let Packet::Publish(publish) = &packet {
                    let topic = String::from_utf8(publish.topic.to_vec()).expect("UTF-8");
                    self.told.push_back((topic, serde_json::from_slice(&publish.payload).expect("JSON")));
                }
                if is_it(&packet) {
                    return;
                }
            }
        })
        .await;
    }
}
