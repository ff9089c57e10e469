//! `gatepost profile record`: listens on a link and writes down what a device says, as a recording to be completed.
#![allow(clippy::print_stderr, reason = "the command's own answer")]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Uri, header};
use clap::{ArgGroup, Args};
use gatepost::profile::charset;
use gatepost::profile::statement::BODY_BYTES_MAX;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::io::AsyncReadExt;
use tokio_serial::SerialPortBuilderExt;

use super::say;

/// Where to listen; one of the three, and how.
#[derive(Args)]
#[command(group(ArgGroup::new("link").required(true).args(["http", "mqtt", "serial"])))]
pub struct Options {
    /// Take posts at this address, such as 0.0.0.0:8090, and answer each with `--answer`.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<std::net::SocketAddr>,
    /// Subscribe at this broker, HOST:PORT, to `--topic`.
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: Option<String>,
    /// Read this serial port at `--baud`; a pause of `--gap-ms` ends a frame.
    #[arg(long, value_name = "PATH")]
    serial: Option<PathBuf>,
    /// A topic filter; may be repeated. Topics that begin with $ are behind no #.
    #[arg(long, default_values = ["#", "$/#"])]
    topic: Vec<String>,
    /// The user at the broker.
    #[arg(long, requires = "password_file")]
    username: Option<String>,
    /// A file with the user's password.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Bits per second.
    #[arg(long, default_value_t = 9600)]
    baud: u32,
    /// The parity of the serial port.
    #[arg(long, value_enum, default_value = "none")]
    parity: Parity,
    /// The pause that ends a frame, in milliseconds: three and a half characters at the least.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=1000))]
    gap_ms: u64,
    /// What a post is answered with: JSON where it is, else plain text.
    #[arg(long, default_value = "{}")]
    answer: String,
    /// The recording.
    #[arg(long, value_name = "FILE", default_value = "new.recording.toml")]
    out: PathBuf,
    /// Stop after so many messages.
    #[arg(long, default_value_t = 100)]
    count: usize,
}

/// A serial line's parity.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Parity {
    /// None.
    None,
    /// An even number of ones.
    Even,
    /// An odd number of ones.
    Odd,
}

/// The largest message of a broker: a document with pictures, and what MQTT puts around it.
const PACKET_BYTES_MAX: u32 = 4 * 1024 * 1024;
/// The longest frame that is written down.
const FRAME_BYTES_MAX: usize = 4096;

/// Where recorded messages go.
struct Out {
    file: std::fs::File,
    left: usize,
}

impl Out {
    fn open(options: &Options) -> anyhow::Result<Self> {
        let mut file =
            std::fs::File::create_new(&options.out).with_context(|| format!("create {}", options.out.display()))?;
        writeln!(
            file,
            "# Recorded by `gatepost profile record`. Replace plates and serial numbers by made-up ones, give [params] what"
        )?;
        writeln!(
            file,
            "# the profile asks for, and say what each is and means: `gatepost profile test` tells for each what the"
        )?;
        writeln!(
            file,
            "# profile makes of it, in the words of this file.\n\nsource = \"recorded from a device\"\n\n[params]"
        )?;
        Ok(Self { file, left: options.count })
    }

    /// One message; false when there are enough.
    fn write(&mut self, kind: &str, members: &[(&str, String)]) -> anyhow::Result<bool> {
        writeln!(self.file, "\n[[{kind}]]\nwhat = \"to be said\"").context("write the recording")?;
        for (name, value) in members {
            writeln!(self.file, "{name} = {}", toml::Value::from(value.as_str())).context("write the recording")?;
        }
        self.file.flush().context("write the recording")?;
        self.left = self.left.saturating_sub(1);
        say(format_args!("{kind}: {}", members.first().map_or("", |(_, value)| value.as_str())));
        Ok(self.left > 0)
    }
}

/// Runs the command until enough was said or it is interrupted.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let out = options.out.display();
    anyhow::ensure!(
        !options.out.exists(),
        "{out} is there, and a recording is never overwritten; --out with another name is allowed"
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(async {
        let listening = async {
            if let Some(address) = options.http {
                posts(address, options).await
            } else if let Some(broker) = &options.mqtt {
                messages(broker, options).await
            } else if let Some(path) = &options.serial {
                frames(path, options).await
            } else {
                Ok(())
            }
        };
        tokio::select! {
            ended = listening => ended,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("listen for the interrupt"),
        }
    })?;
    if options.out.exists() {
        say(format_args!("written to {out}"));
    } else {
        say(format_args!("nothing was heard, and nothing is written"));
    }
    Ok(ExitCode::SUCCESS)
}

async fn posts(address: std::net::SocketAddr, options: &Options) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    let out = Out::open(options)?;
    say(format_args!("listening on {}", listener.local_addr().context("read the address")?));
    let answer = options.answer.clone();
    let is_json = serde_json::from_str::<serde_json::Value>(&answer).is_ok();
    let answer_type = if is_json { "application/json" } else { "text/plain; charset=utf-8" };
    let out = Arc::new(Mutex::new(out));
    let enough = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&enough);
    let take = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let members = [("path", uri.path().to_owned()), ("content_type", content_type.to_owned()), text_or_hex(&body)];
        let written = out.lock().unwrap_or_else(PoisonError::into_inner).write("post", &members);
        if !written.unwrap_or(false) {
            told.notify_one();
        }
        ([(header::CONTENT_TYPE, answer_type)], answer.clone())
    };
    let app = Router::new().fallback(take).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { enough.notified().await })
        .await
        .context("take posts")
}

async fn messages(broker: &str, options: &Options) -> anyhow::Result<()> {
    let address = broker.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let (host, port) = address.with_context(|| {
        format!("the broker is {broker:?}; HOST:PORT is allowed, such as 127.0.0.1:1883 or broker.lan:1883")
    })?;
    let mut settings = MqttOptions::new("gatepost-record", host, port);
    let mut properties = ConnectProperties::new();
    properties.max_packet_size = Some(PACKET_BYTES_MAX);
    settings.set_outgoing_inflight_upper_limit(16).set_connect_properties(properties);
    if let (Some(username), Some(file)) = (&options.username, &options.password_file) {
        let password = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        settings.set_credentials(username, password.trim_end_matches(['\r', '\n']));
    }
    let (client, mut connection) = AsyncClient::new(settings, options.topic.len().max(16));
    for topic in &options.topic {
        client.subscribe(topic, QoS::AtMostOnce).await.with_context(|| format!("subscribe to {topic}"))?;
    }
    let mut awaited = options.topic.iter();
    let mut out = None;
    loop {
        match connection.poll().await.with_context(|| format!("listen to the broker {broker}"))? {
            Event::Incoming(Packet::SubAck(answer)) => {
                let (topic, codes) = (awaited.next().map_or("", String::as_str), &answer.return_codes);
                let is_taken = codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_)));
                say(format_args!(
                    "{} {topic} at {broker}",
                    if is_taken { "listening to" } else { "the broker refuses" }
                ));
            }
            Event::Incoming(Packet::Publish(publish)) => {
                let topic = String::from_utf8_lossy(&publish.topic).into_owned();
                let out = match &mut out {
                    Some(out) => out,
                    None => out.insert(Out::open(options)?),
                };
                if !out.write("says", &[("topic", topic), text_or_hex(&publish.payload)])? {
                    return Ok(());
                }
            }
            Event::Incoming(_) | Event::Outgoing(_) => {}
        }
    }
}

/// A message as a recording holds it: as text where it is one in UTF-8, else in hex, so that nothing of it is lost and no letter
/// stands there for another.
fn text_or_hex(bytes: &[u8]) -> (&'static str, String) {
    match charset::guessed(bytes) {
        Some(text) if text.as_bytes() == bytes => ("body", text.into_owned()),
        Some(_) | None => ("body_hex", spaced(bytes)),
    }
}

fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ")
}

async fn frames(path: &std::path::Path, options: &Options) -> anyhow::Result<()> {
    let parity = match options.parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Even => tokio_serial::Parity::Even,
        Parity::Odd => tokio_serial::Parity::Odd,
    };
    let port = tokio_serial::new(path.to_string_lossy(), options.baud).parity(parity).open_native_async();
    let mut port = port.with_context(|| format!("open {}", path.display()))?;
    let mut out = Out::open(options)?;
    say(format_args!("listening on {}", path.display()));
    let gap = Duration::from_millis(options.gap_ms);
    let mut frame = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let read = tokio::time::timeout(gap, port.read(&mut buffer)).await;
        match read {
            Ok(count) => {
                let count = count.context("read the serial port")?;
                anyhow::ensure!(count > 0, "the serial port is gone");
                frame.extend_from_slice(&buffer[..count]);
            }
            Err(_) if frame.is_empty() => {}
            Err(_) => {
                let hex = spaced(&std::mem::take(&mut frame));
                if !out.write("frame", &[("hex", hex)])? {
                    return Ok(());
                }
            }
        }
        frame.truncate(FRAME_BYTES_MAX);
    }
}
