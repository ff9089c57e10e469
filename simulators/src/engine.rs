//! HyperLPR3's REST server: it says that it runs, and which plates stand in a picture. What stands in a picture of this world
//! its cameras have noted in it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::asked::{Request, respond};
use crate::faults::{Fault, Faults};
use crate::photo;
use crate::plates::PlateKind;

/// Where a picture is posted.
const READS: &str = "/api/v1/rec";
/// What a person with a browser sees of it.
const RUNS: &str = "HyperLpr3 WebApi Server Running...";
/// How long a slow one takes for a picture in fast time.
const SLOW: Duration = Duration::from_millis(900);

/// A running engine; nobody answers there when it is dropped.
#[derive(Debug)]
pub struct Engine {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Engine {
    /// Opens it on a free port of this machine.
    pub async fn open(faults: Faults) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for pictures")?;
        let address = listener.local_addr().context("read the engine's address")?;
        Ok(Self { address, serving: tokio::spawn(serve(listener, Arc::new(faults))) })
    }

    /// Where it is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, faults: Arc<Faults>) {
    while let Ok((stream, _)) = listener.accept().await {
        let faults = Arc::clone(&faults);
        tokio::spawn(async move {
            // A box that hangs up wants no answer.
            let _ = converse(stream, &faults).await;
        });
    }
}

async fn converse(mut stream: TcpStream, faults: &Faults) -> Result<()> {
    while let Some(request) = Request::read(&mut stream).await? {
        let is_picture = request.method == "POST" && request.path == READS;
        if is_picture && faults.strikes(Fault::Lost) {
            return Ok(());
        }
        if is_picture && faults.strikes(Fault::Late) {
            tokio::time::sleep(SLOW).await;
        }
        stream.write_all(&suffered(faults, is_picture, &request)).await.context("answer the box")?;
    }
    Ok(())
}

/// The answer with what goes wrong with it.
fn suffered(faults: &Faults, is_picture: bool, request: &Request) -> Vec<u8> {
    if is_picture && faults.strikes(Fault::Reboot) {
        return said("200 OK", &refusal(5009, "服务异常"));
    }
    if is_picture && faults.strikes(Fault::WrongCharacter) {
        let misread = photo::noted(&request.body).map(|plate| misread(&plate));
        return said("200 OK", &plates(misread.as_deref()));
    }
    let answer = answer(request).unwrap_or_else(|| respond("404 Not Found", "", "").into_bytes());
    let is_cut = is_picture && faults.strikes(Fault::Corrupted);
    if is_cut { respond("200 OK", "Content-Type: application/json\r\n", "{\"result\":").into_bytes() } else { answer }
}

/// What it answers; none to what it does not know.
pub(crate) fn answer(request: &Request) -> Option<Vec<u8>> {
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/") => Some(said("200 OK", &json!(RUNS))),
        ("POST", READS) => Some(read(&request.body)),
        _ => None,
    }
}

/// Its framework refuses a form without the part, and it looks at the name before it looks at the picture.
fn read(form: &[u8]) -> Vec<u8> {
    let head = String::from_utf8_lossy(&form[..form.len().min(1024)]).into_owned();
    let Some(name) = head.split("name=\"file\"; filename=\"").nth(1).and_then(|rest| rest.split('"').next()) else {
        return said(
            "422 Unprocessable Entity",
            &json!({"detail": [{"loc": ["body", "file"], "msg": "field required"}]}),
        );
    };
    if name.is_empty() {
        return said("200 OK", &refusal(5007, "单次上传图片不能为空"));
    }
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
    if !ending.is_some_and(|ending| ["png", "jpeg", "jpg"].contains(&ending.as_str())) {
        return said("200 OK", &refusal(5007, "上传必须为图片类型png/jpg/jpge"));
    }
    said("200 OK", &plates(photo::noted(form).as_deref()))
}

fn plates(plate: Option<&str>) -> Value {
    let found = plate.map(|plate| {
        let kind = match PlateKind::of(plate) {
            PlateKind::Ordinary => "蓝牌",
            PlateKind::NewEnergy => "绿牌新能源",
        };
        json!({"code": plate, "conf": 0.9321, "plate_type": kind, "box": [238, 244, 402, 284]})
    });
    json!({"result": {"plate_list": found.into_iter().collect::<Vec<_>>()}, "code": 5000, "msg": "请求成功"})
}

fn refusal(code: u16, words: &str) -> Value {
    json!({"result": null, "code": code, "msg": words})
}

fn said(status: &str, body: &Value) -> Vec<u8> {
    respond(status, "Content-Type: application/json\r\n", &body.to_string()).into_bytes()
}

/// The last digit as one that looks like it.
fn misread(plate: &str) -> String {
    let mut letters: Vec<char> = plate.chars().collect();
    if let Some(last) = letters.last_mut() {
        *last = match *last {
            '8' => '3',
            '0' => '8',
            '5' => '6',
            _ => '8',
        };
    }
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_its_cameras_noted_and_refuses_what_the_real_one_refuses() {
        let form = |name: &str, picture: &[u8]| {
            let head = format!("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n");
            Request {
                method: "POST".to_owned(),
                path: READS.to_owned(),
                authorization: None,
                body: [head.as_bytes(), picture, b"\r\n--b--\r\n"].concat(),
            }
        };
        let said = |name: &str, picture: &[u8]| {
            String::from_utf8(answer(&form(name, picture)).expect("an answer")).expect("UTF-8")
        };
        let scene = photo::take("粤B12345").scene;
        assert!(said("a.jpeg", &scene).contains("\"code\":\"粤B12345\""));
        assert!(said("a.png", &photo::take("粤BD12345").plate).contains("绿牌新能源"));
        assert!(said("a.jpg", &photo::take("_无_").scene).contains("\"plate_list\":[]"));
        assert!(said("a.txt", &scene).contains("5007") && said("", &scene).contains("5007"));
        let bare = Request { body: Vec::new(), ..form("a.jpg", &[]) };
        assert!(String::from_utf8(answer(&bare).expect("an answer")).expect("UTF-8").starts_with("HTTP/1.1 422"));
        assert_eq!(misread("粤B12345"), "粤B12346");
    }
}
