//! One vehicle at one camera, for a person who tests a box by hand: it is read, and drives through when the arm goes up.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::camera::{
    Camera, CameraInput, CameraLink, CameraSettings, Capture, GateStatus, LOGIN, OutputCommand, Trigger, Way,
};
use crate::clock::VirtualClock;
use crate::faults::Faults;
use crate::gear::{Device, Hangs};

/// How long before the full result a camera sends the quick one.
const QUICK_LEAD: Duration = Duration::from_millis(100);
/// How long a vehicle takes from loop to loop.
const VEHICLE_MOVES: Duration = Duration::from_millis(700);
/// How often a camera looks whether anybody follows its stream.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// The camera, the vehicle, and what becomes of it.
#[derive(Args)]
pub struct Options {
    /// What the camera is, by the names that `gatepost demo --devices` takes.
    #[arg(long, value_name = "NAME", default_value = "vzenith-mqtt")]
    pub device: Device,
    /// The MQTT broker, for a camera that has one.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:1883")]
    pub broker: String,
    /// Where the box takes posts, for a camera that posts.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8090")]
    pub posts: SocketAddr,
    /// The camera's serial number, or its name in the box's settings.
    #[arg(long)]
    pub sn: String,
    /// The plate that it reads; `_无_` for a vehicle without one.
    #[arg(long)]
    pub plate: String,
    /// Also report the loops on the camera's inputs 0 and 1, and drive through when the barrier is raised.
    #[arg(long)]
    pub loops: bool,
    /// Send a quick result 100 ms before the full one.
    #[arg(long)]
    pub quick: bool,
    /// Send the plate alone, without the pictures of the car.
    #[arg(long)]
    pub no_pictures: bool,
    /// Go back instead of driving through (by the loops, or by event 66 without them).
    #[arg(long)]
    pub turn_back: bool,
    /// Let the arm hang between its ends for so many seconds before it goes up.
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub arm_hangs: u64,
    /// Confidence of the read, 0 to 100.
    #[arg(long, default_value_t = 97, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub confidence: u8,
    /// Seconds to wait for a raise, and for a box that asks for the camera's stream.
    #[arg(long, default_value_t = 10)]
    pub wait: u64,
}

/// The vehicle arrives. An error where nobody raises for it, unless its arm hangs on a board or card.
pub async fn run(options: Options, say: impl Fn(&str) + Copy) -> Result<()> {
    let hangs = options.device.hangs();
    ensure!(
        !options.loops || hangs == Hangs::Camera,
        "the loops of {} are on a board or card; --loops is for a camera with inputs",
        options.device.name()
    );
    let clock = VirtualClock::real();
    let (camera, mut commands) = Camera::connect(settings(&options)?, clock).await?;
    match (options.device.dialect().way(), camera.address()) {
        (Way::Broker, _) => say(&format!("camera {} is connected to {}", camera.sn(), options.broker)),
        (Way::Posts, _) => say(&format!("camera {} posts to {}", camera.sn(), options.posts)),
        (Way::Stream, _) => say(&format!("camera {} waits to be asked for its stream", camera.sn())),
    }
    if let Some(address) = camera.address() {
        say(&format!("asked at {address}, username {}, password {}", LOGIN.0, LOGIN.1));
    }
    if options.loops {
        camera.report_input(CameraInput::ArrivalLoop, true).await?;
        say("arrival loop: occupied");
    }
    let deadline = Instant::now() + Duration::from_secs(options.wait);
    let plate = options.plate.clone();
    let capture =
        |trigger| Capture { plate: plate.clone(), at_ms: clock.now_ms(), confidence: options.confidence, trigger };
    while !camera.report(&capture(Trigger::VirtualLoop)).await?.is_said {
        ensure!(Instant::now() < deadline, "nobody asked for the stream within {} s", options.wait);
        tokio::time::sleep(LOOKS_EVERY).await;
    }
    say(&format!("read {plate}"));
    if matches!(hangs, Hangs::Board | Hangs::Card) {
        say("its arm hangs on a board or card, which is another device: gatepost-sim relay-board, gatepost-sim device");
        // What was said is on its way when the box has had time to take it.
        tokio::time::sleep(VEHICLE_MOVES).await;
        return Ok(());
    }
    let raised = wait_for_raise(&mut commands, deadline, say).await;
    if raised {
        camera.report_gate(GateStatus::Between).await?;
        if options.arm_hangs > 0 {
            say(&format!("arm: hangs for {} s", options.arm_hangs));
            tokio::time::sleep(Duration::from_secs(options.arm_hangs)).await;
        }
        camera.report_gate(GateStatus::Up).await?;
        say("arm: up");
    }
    if options.loops {
        drive_over_loops(&camera, raised && !options.turn_back, say).await?;
    } else if options.turn_back {
        camera.report(&capture(Trigger::TurnedBack)).await?;
        say("turned back");
    }
    if raised {
        camera.report_gate(GateStatus::Down).await?;
        say("arm: down");
    }
    // The last messages are on their way when the broker has had time to acknowledge them.
    tokio::time::sleep(VEHICLE_MOVES).await;
    if raised { Ok(()) } else { bail!("the box did not raise within {} s", options.wait) }
}

fn settings(options: &Options) -> Result<CameraSettings> {
    let dialect = options.device.dialect();
    let link = match dialect.way() {
        Way::Broker => {
            let (host, port) = options.broker.rsplit_once(':').context("read the broker as HOST:PORT")?;
            CameraLink::Broker { host: host.to_owned(), port: port.parse().context("read the broker's port")? }
        }
        Way::Posts => CameraLink::Posts(options.posts),
        Way::Stream => CameraLink::Stream,
    };
    Ok(CameraSettings {
        dialect,
        link,
        sn: options.sn.clone(),
        keep_alive: Duration::from_secs(5),
        quick_lead: options.quick.then_some(QUICK_LEAD),
        sends_pictures: !options.no_pictures,
        faults: Faults::default(),
        has_wrong_clock: false,
        offline_after: None,
    })
}

/// Through under the arm, or back from the arrival loop.
async fn drive_over_loops(camera: &Camera, through: bool, say: impl Fn(&str)) -> Result<()> {
    use CameraInput::{ArrivalLoop, PassageLoop};
    let steps: &[_] = if through {
        &[(PassageLoop, true), (ArrivalLoop, false), (PassageLoop, false)]
    } else {
        &[(ArrivalLoop, false)]
    };
    for (input, occupied) in steps {
        tokio::time::sleep(VEHICLE_MOVES).await;
        camera.report_input(*input, *occupied).await?;
        say(&format!("{input:?}: {}", if *occupied { "occupied" } else { "free" }));
    }
    Ok(())
}

async fn wait_for_raise(commands: &mut mpsc::Receiver<OutputCommand>, deadline: Instant, say: impl Fn(&str)) -> bool {
    while let Ok(Some(command)) = tokio::time::timeout_at(deadline, commands.recv()).await {
        let OutputCommand { id, io, value, delay_ms, .. } = &command;
        say(&format!("command {id}: output {io}, value {value}, {delay_ms} ms (answered with code 200)"));
        if command.raises() {
            return true;
        }
    }
    false
}
