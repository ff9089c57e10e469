//! A recorded device behind a broker: it publishes what it is asked to say and answers every command that it knows.

use std::time::Duration;

use anyhow::{Context, Result};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use serde_json::Value;
use tokio::sync::mpsc;

use super::recording::Recording;
use super::{Typed, read_typed};

/// What is said waits while so much is not confirmed: the connection and the speaker are one task.
const UNCONFIRMED_MAX: usize = 32;
/// The broker must have the last message before the device ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

pub(super) async fn run(
    recording: &Recording,
    broker: &str,
    plays: bool,
    mut typed: mpsc::Receiver<String>,
    say: impl Fn(&str) + Copy,
) -> Result<()> {
    let (host, port) = broker.rsplit_once(':').context("the broker is not HOST:PORT")?;
    let name = format!("gatepost-sim-{}", std::process::id());
    let mut options = MqttOptions::new(name, host, port.parse().context("read the broker's port")?);
    options.set_keep_alive(Duration::from_secs(20));
    let (client, mut connection) = AsyncClient::new(options, 64);
    for told in &recording.told {
        client.subscribe(&told.topic, QoS::AtLeastOnce).await.context("ask for commands")?;
    }
    say(&format!("at {broker}; {} things to say, {} commands known", recording.says.len(), recording.told.len()));
    let mut to_play = if plays { 0..recording.says.len() } else { 0..0 };
    let mut unconfirmed = 0;
    let mut typing = !plays;
    loop {
        if unconfirmed < UNCONFIRMED_MAX
            && let Some(number) = to_play.next()
        {
            publish(&client, recording, number, &[]).await?;
            unconfirmed += 1;
            say(&format!("said {number}: {}", recording.says[number].what));
        }
        tokio::select! {
            event = connection.poll() => match event.context("talk to the broker")? {
                Event::Incoming(Packet::Publish(command)) => answer(&client, recording, &command, say)?,
                Event::Incoming(Packet::PubAck(_)) => unconfirmed -= usize::from(unconfirmed > 0),
                Event::Incoming(_) | Event::Outgoing(_) => {}
            },
            line = typed.recv(), if typing && unconfirmed < UNCONFIRMED_MAX => match line.as_deref().map(read_typed) {
                Some(Ok(Typed::Say(number, changes))) if number < recording.says.len() => {
                    publish(&client, recording, number, &changes).await?;
                    unconfirmed += 1;
                    say(&format!("said {number}: {}", recording.says[number].what));
                }
                Some(Ok(Typed::List)) => {
                    recording.says.iter().enumerate().for_each(|(number, says)| say(&format!("{number}: {}", says.what)));
                }
                Some(Ok(Typed::Say(..) | Typed::Input(..) | Typed::Card(..))) => say("there is no such thing to say; `list`"),
                Some(Err(allowed)) => say(allowed),
                None => typing = false,
            },
            () = tokio::time::sleep(LAST_WORDS), if plays && to_play.is_empty() => anyhow::bail!("the broker confirms nothing"),
        }
        if plays && to_play.is_empty() && unconfirmed == 0 {
            return Ok(());
        }
    }
}

async fn publish(
    client: &AsyncClient,
    recording: &Recording,
    number: usize,
    changes: &[(String, String)],
) -> Result<()> {
    let says = &recording.says[number];
    let body = says.body.with(changes)?;
    client.publish(&says.topic, QoS::AtLeastOnce, false, body).await.context("say it")
}

/// The recorded answer, with the id of the command that came.
fn answer(client: &AsyncClient, recording: &Recording, command: &Publish, say: impl Fn(&str)) -> Result<()> {
    let topic = String::from_utf8_lossy(&command.topic).into_owned();
    let body = String::from_utf8_lossy(&command.payload).into_owned();
    say(&format!("told on {topic}: {body}"));
    let known = recording.told.iter().find(|told| told.topic == topic && told.refused.is_none());
    let Some((topic, reply)) = known.and_then(|told| Some((told.reply_topic.as_ref()?, &told.reply))) else {
        return Ok(());
    };
    let (Ok(asked), Ok(mut reply)) = (serde_json::from_str::<Value>(&body), serde_json::from_str::<Value>(reply))
    else {
        return Ok(());
    };
    reply["id"] = asked["id"].clone();
    client.try_publish(topic, QoS::AtLeastOnce, false, reply.to_string()).context("answer")?;
    say(&format!("  answered {reply}"));
    Ok(())
}
