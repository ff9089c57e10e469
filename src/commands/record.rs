//! `gatepost profile record`: listens on a link and writes down what a device says, as a recording to be completed.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the command's own answer")]

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
use clap::Args;
use gatepost::profile::statement::BODY_BYTES_MAX;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tokio::io::AsyncReadExt;
use tokio_serial::SerialPortBuilderExt;

/// Where to listen; one of the three.
#[derive(Args)]
#[group(required = true, multiple = false, args = ["http", "mqtt", "serial"])]
pub struct Options {
    /// Take posts at this address, such as 0.0.0.0:8090, and answer each with `--answer`.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<std::net::SocketAddr>,
    /// Subscribe at this broker, HOST:PORT, to `--topic`.
    #[arg(long, value_name = "HOST:PORT")]
    mqtt: Option<String>,
    /// Read this serial port at `--baud`; a pause of 50 ms ends a frame.
    #[arg(long, value_name = "PATH")]
    serial: Option<PathBuf>,
    /// The topic filter.
    #[arg(long, default_value = "#")]
    topic: String,
    /// Bits per second.
    #[arg(long, default_value_t = 9600)]
    baud: u32,
    /// What a post is answered with.
    #[arg(long, default_value = "{}")]
    answer: String,
    /// The recording.
    #[arg(long, value_name = "FILE", default_value = "new.recording.toml")]
    out: PathBuf,
    /// Stop after so many messages.
    #[arg(long, default_value_t = 100)]
    count: usize,
}

/// A frame ends with a pause of so long.
const GAP: Duration = Duration::from_millis(50);
/// The longest frame that is written down.
const FRAME_BYTES_MAX: usize = 4096;

/// Where recorded messages go.
struct Out {
    file: std::fs::File,
    left: usize,
}

impl Out {
    fn open(options: &Options) -> anyhow::Result<Self> {
        let mut file = std::fs::File::create_new(&options.out)
            .with_context(|| format!("create {} (a recording is never overwritten)", options.out.display()))?;
        writeln!(
            file,
            "# Recorded by `gatepost profile record`. Replace plates and serial numbers by made-up ones, and say what"
        )?;
        writeln!(file, "# each message means.\n\nsource = \"recorded from a device\"\n\n[params]")?;
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
        println!("{kind}: {}", members.first().map_or("", |(_, value)| value.as_str()));
        Ok(self.left > 0)
    }
}

/// Runs the command until enough was said or it is interrupted.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start the runtime")?;
    let mut out = Out::open(options)?;
    runtime.block_on(async {
        let listening = async {
            if let Some(address) = options.http {
                posts(address, options.answer.clone(), out).await
            } else if let Some(broker) = &options.mqtt {
                messages(broker, &options.topic, &mut out).await
            } else if let Some(path) = &options.serial {
                frames(path, options.baud, &mut out).await
            } else {
                Ok(())
            }
        };
        tokio::select! {
            ended = listening => ended,
            interrupted = tokio::signal::ctrl_c() => interrupted.context("listen for the interrupt"),
        }
    })?;
    println!("written to {}", options.out.display());
    Ok(ExitCode::SUCCESS)
}

async fn posts(address: std::net::SocketAddr, answer: String, out: Out) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    println!("listening on {}", listener.local_addr().context("read the address")?);
    let out = Arc::new(Mutex::new(out));
    let enough = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&enough);
    let take = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let members = [
            ("path", uri.path().to_owned()),
            ("content_type", content_type.to_owned()),
            ("body", String::from_utf8_lossy(&body).into_owned()),
        ];
        let written = out.lock().unwrap_or_else(PoisonError::into_inner).write("post", &members);
        if !written.unwrap_or(false) {
            told.notify_one();
        }
        answer.clone()
    };
    let app = Router::new().fallback(take).layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    axum::serve(listener, app)
        .with_graceful_shutdown(async move { enough.notified().await })
        .await
        .context("take posts")
}

async fn messages(broker: &str, topic: &str, out: &mut Out) -> anyhow::Result<()> {
    let (host, port) = broker.rsplit_once(':').context("the broker is not HOST:PORT")?;
    let mut options =
        MqttOptions::new("gatepost-record", host, port.parse().context("the broker's port is no number")?);
    options.set_outgoing_inflight_upper_limit(16);
    let (client, mut connection) = AsyncClient::new(options, 16);
    client.subscribe(topic, QoS::AtMostOnce).await.context("subscribe")?;
    loop {
        let Event::Incoming(Packet::Publish(publish)) = connection.poll().await.context("listen to the broker")? else {
            continue;
        };
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let body = String::from_utf8_lossy(&publish.payload).into_owned();
        if !out.write("says", &[("topic", topic), ("body", body)])? {
            return Ok(());
        }
    }
}

async fn frames(path: &std::path::Path, baud: u32, out: &mut Out) -> anyhow::Result<()> {
    let port = tokio_serial::new(path.to_string_lossy(), baud).open_native_async();
    let mut port = port.with_context(|| format!("open {}", path.display()))?;
    let mut frame = Vec::new();
    let mut buffer = [0; 256];
    loop {
        let read = tokio::time::timeout(GAP, port.read(&mut buffer)).await;
        match read {
            Ok(count) => {
                let count = count.context("read the serial port")?;
                anyhow::ensure!(count > 0, "the serial port is gone");
                frame.extend_from_slice(&buffer[..count]);
            }
            Err(_) if frame.is_empty() => {}
            Err(_) => {
                let hex = frame.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(" ");
                frame.clear();
                if !out.write("frame", &[("hex", hex)])? {
                    return Ok(());
                }
            }
        }
        frame.truncate(FRAME_BYTES_MAX);
    }
}
