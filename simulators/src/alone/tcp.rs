//! A board with a network plug: it answers each Modbus TCP request as it was recorded, with the request's own number.

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::recording::Recording;
use super::{hex, unhex};

/// The number of the exchange, the protocol, and how many bytes follow.
const HEAD: usize = 6;
/// What a request has behind its head at most.
const BYTES_MAX: usize = 260;

pub(super) async fn listen(recording: &Recording, address: &str, say: impl Fn(&str)) -> Result<()> {
    let answers: Result<Vec<(Vec<u8>, Vec<u8>)>> =
        recording.bus.iter().map(|bus| Ok((unhex(&bus.writes)?, unhex(&bus.answer)?))).collect();
    let answers = answers?;
    let listener = TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))?;
    say(&format!("listening on {}", listener.local_addr().context("read the address")?));
    loop {
        let (mut stream, _) = listener.accept().await.context("wait for the box")?;
        while let Ok(request) = request(&mut stream).await {
            let known = answers.iter().find(|(asked, _)| asked.get(HEAD..) == request.get(HEAD..));
            let answer = known.and_then(|(_, answer)| Some([&request[..2], answer.get(2..)?].concat()));
            let told = answer.as_ref().map_or_else(|| "silence".to_owned(), |answer| hex(answer));
            say(&format!("{} -> {told}", hex(&request)));
            if stream.write_all(&answer.unwrap_or_default()).await.is_err() {
                break;
            }
        }
    }
}

async fn request(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut request = vec![0; HEAD];
    stream.read_exact(&mut request).await.context("read a request's head")?;
    let length = usize::from(u16::from_be_bytes([request[4], request[5]]));
    anyhow::ensure!(length <= BYTES_MAX, "the request is too long");
    request.resize(HEAD + length, 0);
    stream.read_exact(&mut request[HEAD..]).await.context("read a request")?;
    Ok(request)
}
