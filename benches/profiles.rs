//! What devices cost the box: decoding each recorded message of every shipped product, events and vehicles through one broker
//! and one HTTP listener beside bare programs on the same links in the same run, and memory for each device.
//!
//! `cargo bench --bench profiles` starts Debian's mosquitto and the daemon of this build.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use gatepost::profile::mistake::Source;
use gatepost::profile::recording::{Recording, args};
use gatepost::profile::shipped::SHIPPED;
use gatepost::profile::{Codec, Profile};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::{Client, MqttOptions};

use crate::site::{
    Broker, Cameras, Daemon, PATIENCE, camera_ms, cameras, entry_lanes, folder, loop_level, plate, say, serial, topic,
};

mod site;

/// Each message is decoded so long.
const DECODING: Duration = Duration::from_millis(20);
/// Keep-alives and inputs through one broker.
const MESSAGES: usize = 20_000;
/// Vehicles through one broker, and as many through one listener: each with a plate and an identity of its own.
const READS: usize = 4_000;
/// Posts through one listener, on so many connections as one camera may have.
const POSTS: usize = 8_000;
const CONNECTIONS: usize = 8;
/// Devices whose memory is counted.
const DEVICES: [usize; 2] = [1, 401];
/// The same over HTTP: a listener has places for 64 connections.
const KEPT_ALIVE: [usize; 2] = [1, 61];

fn main() {
    say("Decoding: µs of each recorded message in the best round, its bytes (bits of a card), what it is");
    for shipped in SHIPPED {
        decode(shipped.file, shipped.text, shipped.recording);
    }
    let folder = folder("profiles");
    let broker = Broker::start(folder.path());
    through_the_broker(folder.path(), &broker);
    vehicles_through_the_broker(folder.path(), &broker);
    through_posts(folder.path(), &broker);
    vehicles_through_posts(folder.path(), &broker);
    memory(folder.path(), &broker);
}

fn decode(file: &str, text: &str, recording: &str) {
    let profile = Profile::parse(&Source { file: Path::new(file), text }).expect("a shipped profile");
    let recording: Recording = toml::from_str(recording).expect("a shipped recording");
    let codec = profile.bind(&recording.params).expect("the recorded device");
    say(&format!("  {}", profile.id()));
    let print = |what: &str, bytes: usize, us: f64| say(&format!("    {us:>9.2}  {bytes:>6} B  {what}"));
    let bytes_of = |hex: &str| gatepost::profile::bytes(hex).unwrap_or_default();
    match &codec {
        Codec::Mqtt(codec) => {
            for says in &recording.says {
                let body = says.body.as_bytes();
                print(says.what.get_ref(), body.len(), least(|| drop(codec.decode(&says.topic, body))));
            }
        }
        Codec::Http(codec) => {
            for post in &recording.post {
                let (kind, body) = (post.content_type.as_str(), post.body.as_bytes());
                let us = match &post.path {
                    Some(path) => least(|| drop(codec.decode(path, kind, body))),
                    None => least(|| drop(codec.decode_event(kind, body))),
                };
                print(post.what.get_ref(), body.len(), us);
            }
        }
        Codec::Serial(codec) => {
            for frame in &recording.frame {
                let bytes = bytes_of(&frame.hex);
                print(frame.what.get_ref(), bytes.len(), least(|| drop(codec.decode(&bytes))));
            }
        }
        Codec::Modbus(codec) => {
            for bus in &recording.bus {
                let asked = match &bus.command {
                    Some(command) => codec.encode(command, &args(&profile, command, &bus.args)).ok(),
                    None => codec.polls().into_iter().nth(bus.poll).map(|(request, ..)| request),
                };
                let Some(asked) = asked else { continue };
                let bytes = bytes_of(&bus.answer);
                print(bus.what.get_ref(), bytes.len(), least(|| drop(asked.answered(&bytes))));
            }
        }
        Codec::Wiegand(codec) => {
            for card in &recording.card {
                let bits = gatepost::profile::wiegand::bits(&card.bits).unwrap_or_default();
                print(card.what.get_ref(), bits.len(), least(|| drop(codec.decode(&bits))));
            }
        }
        Codec::Osdp(codec) => {
            for packet in &recording.packet {
                let bytes = bytes_of(&packet.hex);
                print(packet.what.get_ref(), bytes.len(), least(|| drop(codec.answered(packet.sequence, &bytes))));
            }
        }
    }
}

/// Microseconds of one call, in the best of many rounds.
fn least(mut call: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut best = f64::MAX;
    while begun.elapsed() < DECODING {
        let round = Instant::now();
        (0..16).for_each(|_| call());
        best = best.min(round.elapsed().as_secs_f64() * 1e6 / 16.0);
    }
    best
}

/// Messages that the box understands and need no decision, beside a subscriber that only counts.
fn through_the_broker(folder: &Path, broker: &Broker) {
    let (echo, heard) = broker.listen("counter", "bare/topic");
    // Alternating, so that each is news.
    let level = |n: usize| loop_level(&serial(0), n % 2);
    let bare = publish_all(broker, "bare/topic", MESSAGES, level, |_| all_came(&heard, MESSAGES));
    drop(echo);
    let lane = entry_lanes(0..1, "").replace("passage_loop", "arrival_loop");
    let daemon = Daemon::start(folder, "broker", broker, &lane);
    let (_listener, raises) = broker.listen("barrier", "device/+/message/down/gpio_out");
    let ours = publish_all(broker, &topic(&serial(0), "up/gpio_in"), MESSAGES, level, |client| {
        // What a camera says is taken in order: a vehicle after it all is raised for when all is done.
        Cameras { client }.plate(&serial(0), "ivs_result", 1, camera_ms(), "");
        raises.recv_timeout(PATIENCE).expect("a raise");
    });
    let inputs = counted(&daemon.metrics());
    rate(
        &format!("MQTT, QoS 1, {MESSAGES} messages of a loop, of which {inputs} entries were made"),
        ours,
        bare,
        "a subscriber that counts",
    );
}

/// Vehicles one after the other before one camera, each on record and acknowledged after its commit, beside a subscriber that
/// acknowledges and does nothing else.
fn vehicles_through_the_broker(folder: &Path, broker: &Broker) {
    let (echo, heard) = broker.listen("acknowledging", "bare/vehicles");
    let began_ms = camera_ms();
    let read = |n: usize| plate(&serial(0), "ivs_result", n, began_ms + n as u128, "");
    let bare = publish_all(broker, "bare/vehicles", READS, read, |_| all_came(&heard, READS));
    drop(echo);
    let daemon = Daemon::start(folder, "vehicles", broker, &entry_lanes(0..2, ""));
    let (_listener, raises) = broker.listen("second-barrier", &topic(&serial(1), "down/gpio_out"));
    let before = counted(&daemon.metrics());
    let ours = publish_all(broker, &topic(&serial(0), "up/ivs_result"), READS, read, |client| {
        // All are taken in order: the vehicle of another lane comes last.
        Cameras { client }.plate(&serial(1), "ivs_result", READS, camera_ms(), "");
        raises.recv_timeout(PATIENCE).expect("a raise");
    });
    let entries = counted(&daemon.metrics()) - before;
    assert!(entries > READS, "each vehicle has an entry of its own: {entries}");
    rate(&format!("MQTT, QoS 1, {READS} vehicles, each on record"), ours, bare, "a subscriber that acknowledges");
}

fn all_came(heard: &Receiver<(Instant, String)>, count: usize) {
    for _ in 0..count {
        heard.recv_timeout(PATIENCE).expect("every message comes");
    }
}

fn publish_all(
    broker: &Broker,
    topic: &str,
    count: usize,
    body: impl Fn(usize) -> String,
    wait: impl FnOnce(&Client),
) -> f64 {
    let mut options = MqttOptions::new("publisher", "127.0.0.1", broker.port);
    options.set_outgoing_inflight_upper_limit(64);
    let (client, mut connection) = Client::new(options, 256);
    std::thread::spawn(move || connection.iter().map_while(Result::ok).for_each(drop));
    let begun = Instant::now();
    for n in 0..count {
        client.publish(topic, QoS::AtLeastOnce, false, body(n)).expect("the broker is there");
    }
    wait(&client);
    let took = begun.elapsed().as_secs_f64();
    // Its connection ends with it.
    let _ = client.disconnect();
    count as f64 / took
}

/// What devices said that is on disk.
fn counted(metrics: &str) -> usize {
    let count = metrics.lines().find_map(|line| line.strip_prefix("gatepost_inputs_total "));
    count.and_then(|count| count.parse().ok()).expect("the daemon counts its inputs")
}

/// Posts on connections that stay open, beside a listener that answers everything at once.
fn through_posts(folder: &Path, broker: &Broker) {
    // Alternating, so that most are news.
    let input = |n: usize| {
        let trigger = format!(r#"{{"TriggerResult":{{"source":1,"value":{}}}}}"#, n % 2);
        format!(r#"{{"AlarmGioIn":{{"serialno":"{}","result":{trigger}}}}}"#, serial(0))
    };
    let of_bare = post_all(bare_listener(), POSTS, input);
    let (free, settings) = pushing("device = \"camera-0\", input = 1", "device = \"pushing\", input = 1");
    let daemon = Daemon::start(folder, "posts", broker, &settings);
    let ours = post_all(free, POSTS, input);
    rate(&format!("HTTP, {CONNECTIONS} connections, input posts"), ours, of_bare, "a listener that only answers");
    drop(daemon);
}

/// Vehicles one after the other, each answered when it is on record.
fn vehicles_through_posts(folder: &Path, broker: &Broker) {
    let began_s = camera_ms() / 1000;
    let read = |n: usize| {
        let time = format!(r#""timeStamp":{{"Timeval":{{"sec":{began_s},"usec":{n}}}}}"#);
        let plate = format!(r#""license":"粤B{:05}","plateid":{n},"triggerType":8,"confidence":94"#, n % 100_000);
        format!(
            r#"{{"AlarmInfoPlate":{{"channel":0,"serialno":"{}","result":{{"PlateResult":{{"colorType":1,"isoffline":0,{plate},{time}}}}}}}}}"#,
            serial(0)
        )
    };
    let of_bare = post_all(bare_listener(), READS, read);
    let (free, settings) = pushing("camera = \"camera-0\"", "camera = \"pushing\"");
    let daemon = Daemon::start(folder, "posted-vehicles", broker, &settings);
    let before = counted(&daemon.metrics());
    let ours = post_all(free, READS, read);
    let entries = counted(&daemon.metrics()) - before;
    assert!(entries >= READS, "each vehicle has an entry of its own: {entries}");
    let what = format!("HTTP, {CONNECTIONS} connections, {READS} vehicles, each on record");
    rate(&what, ours, of_bare, "a listener that only answers");
}

/// A lane of which a device that posts does one thing.
fn pushing(of_the_lane: &str, its_own: &str) -> (SocketAddr, String) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let settings = format!(
        "{}\n[[links]]\nid = \"posts\"\nkind = \"http-push\"\nlisten = \"{free}\"\n\
         [[devices]]\nid = \"pushing\"\nprofile = \"vzenith/r-http\"\nlink = \"posts\"\nparams = {{ sn = \"{}\" }}\n",
        entry_lanes(0..1, "").replace(of_the_lane, its_own),
        serial(0),
    );
    (free, settings)
}

fn post_all(to: SocketAddr, count: usize, body: impl Fn(usize) -> String + Sync) -> f64 {
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let body = &body;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(to).expect("the listener");
                stream.set_nodelay(true).expect("an option");
                for n in 0..count / CONNECTIONS {
                    let body = body(n + connection * (count / CONNECTIONS));
                    let head = format!("POST /vzenith HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
                    stream.write_all((head + &body).as_bytes()).expect("written");
                    let answer = answer(&mut stream);
                    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
                }
            });
        }
    });
    count as f64 / begun.elapsed().as_secs_f64()
}

/// One answer, by its length.
fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let mut piece = [0; 2048];
    loop {
        let count = stream.read(&mut piece).expect("an answer");
        assert!(count > 0, "the listener hung up after {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
        let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if rest.len() >= length.unwrap_or(0) {
            return text;
        }
    }
}

fn bare_listener() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its number");
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut stream = stream;
                stream.set_nodelay(true).expect("an option");
                let mut piece = [0; 4096];
                while stream.read(&mut piece).is_ok_and(|count| count > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}").expect("written");
                }
            });
        }
    });
    address
}

fn rate(what: &str, ours: f64, bare: f64, beside: &str) {
    say(&format!("{what}: {ours:.0} events/s; {beside}: {bare:.0}/s; ratio {:.3}", ours / bare));
}

/// What a device more costs, by the daemon's resident memory with few and with many of them that have spoken.
fn memory(folder: &Path, broker: &Broker) {
    let [few, many] = DEVICES.map(|devices| {
        let settings = entry_lanes(0..1, "") + &cameras(1..devices);
        let daemon = Daemon::start(folder, &format!("memory-{devices}"), broker, &settings);
        let speaking = say_that_they_are_there(broker, devices);
        until_heard(&daemon, devices);
        let resident = daemon.resident_kib();
        drop(speaking);
        resident
    });
    each("MQTT, each camera heard through the broker", few, many, DEVICES[1] - DEVICES[0]);
    let [few, many] = KEPT_ALIVE.map(|devices| {
        let (listen, settings) = posting(devices);
        let daemon = Daemon::start(folder, &format!("memory-posts-{devices}"), broker, &settings);
        let streams: Vec<TcpStream> = (0..devices).map(|device| posts_and_stays(listen, device)).collect();
        until_heard(&daemon, devices);
        let resident = daemon.resident_kib();
        drop(streams);
        resident
    });
    each("HTTP, each camera with a post on a connection that stays open", few, many, KEPT_ALIVE[1] - KEPT_ALIVE[0]);
}

fn each(what: &str, few: u64, many: u64, more: usize) {
    let bytes = many.saturating_sub(few) as f64 * 1024.0 / more as f64;
    say(&format!("memory, {what}: {few} KiB with few, {many} KiB with {more} more: {bytes:.0} B for each"));
}

/// Each camera speaks once. The box has one connection, to the broker: what stands behind it there costs it nothing, so one
/// client speaks for all of them.
fn say_that_they_are_there(broker: &Broker, devices: usize) -> Client {
    let options = MqttOptions::new("speaking", "127.0.0.1", broker.port);
    let (client, mut connection) = Client::new(options, 256);
    std::thread::spawn(move || connection.iter().map_while(Result::ok).for_each(drop));
    for device in 0..devices {
        let topic = format!("device/{}/message/up/keep_alive", serial(device));
        client.publish(topic, QoS::AtLeastOnce, false, "{}").expect("the broker is there");
    }
    client
}

/// Cameras that post, none of which has a lane of its own; the lane's camera is at the broker.
fn posting(devices: usize) -> (SocketAddr, String) {
    let listen = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number");
    let link = format!("[[links]]\nid = \"posts\"\nkind = \"http-push\"\nlisten = \"{listen}\"\n");
    let camera = |device| {
        format!(
            "[[devices]]\nid = \"posting-{device}\"\nprofile = \"vzenith/r-http\"\nlink = \"posts\"\n\
             params = {{ sn = \"{}\" }}\n",
            serial(device)
        )
    };
    let cameras: String = (0..devices).map(camera).collect();
    (listen, entry_lanes(0..1, "") + &link + &cameras)
}

/// A post by a camera whose connection stays open. One address has so few connections that each camera has an own one.
fn posts_and_stays(to: SocketAddr, device: usize) -> TcpStream {
    let last = u8::try_from(device + 1).expect("few devices");
    let from = SocketAddr::from(([127, 0, 1, last], 0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
    let connecting = async {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(from).expect("an address of this machine");
        socket.connect(to).await.and_then(tokio::net::TcpStream::into_std)
    };
    let mut stream = runtime.block_on(connecting).expect("the listener");
    stream.set_nonblocking(false).expect("an option");
    let body = format!("serialno={}", serial(device));
    let path = "/devicemanagement/php/receivedeviceinfo.php";
    let request = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).expect("written");
    assert!(answer(&mut stream).starts_with("HTTP/1.1 200"));
    stream
}

/// So many devices have spoken.
fn until_heard(daemon: &Daemon, devices: usize) {
    let is_up = |line: &&str| line.starts_with("gatepost_device_up{") && line.ends_with(" 1");
    daemon.until(|metrics| metrics.lines().filter(is_up).count() >= devices);
}
