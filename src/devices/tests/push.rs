//! The link to which devices post, on real sockets with curl as a foreign client: answered after the commit, raised in the
//! answer, bounded against slow and endless posts.

use std::net::SocketAddr;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::Command;

use super::*;
use crate::profile::statement::{BODY_BYTES_MAX, PICTURE_BYTES_MAX};
use crate::profile::template::Value;

pub(super) const PLATE: &str = r#"{"AlarmInfoPlate":{"channel":0,"serialno":"0f823866-d2dc45ab","result":{"PlateResult":{"colorType":1,"confidence":94,"isoffline":0,"license":"粤B12345","timeStamp":{"Timeval":{"sec":1772294399,"usec":638740}},"triggerType":8,"plateid":90813}}}}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_post_is_answered_after_its_commit_and_the_answer_raises() {
    let (mut site, address) = site().await;
    let posting = curl(address, "/vzenith", PLATE);
    let envelope = site.next().await;
    assert!(
        matches!(&envelope.input, Input::PlateRead(read) if read.plate.as_ref().is_some_and(|p| p.as_str() == "粤B12345"))
    );
    // The loop hands raises over before it answers.
    site.raise("entry-1", "c1").await;
    let _ = envelope.reply.send(Reply::Done);
    let answer = posting.await.expect("curl ran");
    assert_eq!(answer, r#"{"Response_AlarmInfoPlate":{"info":"ok","channelNum":0,"is_pay":"true"}} 200"#);
    assert!(site.metrics.text().contains("gatepost_inputs_total 1\n"), "it is counted as one that is on disk");
    let told = site.answer("c1").await;
    assert!(matches!(told, CommandAnswer::Unconfirmed(_)), "nothing confirms a raise in an answer: {told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_commit_in_time_the_device_is_told_to_post_again() {
    let (mut site, address) = site().await;
    let posting = curl(address, "/vzenith", PLATE);
    let envelope = site.next().await;
    let answer = posting.await.expect("curl ran");
    assert!(answer.ends_with(" 503"), "{answer}");
    drop(envelope);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raise_without_a_vehicle_travels_in_the_answer_to_the_next_poll() {
    let (mut site, address) = site().await;
    site.raise("entry-1", "c2").await;
    let heartbeat = "/devicemanagement/php/receivedeviceinfo.php";
    let expect = r#"{"Response_AlarmInfoPlate":{"ivs_ioctrl":{"io":0,"value":2,"delay":500}}} 200"#;
    // The raise and the poll come by two ways; one of the first polls meets it.
    let polling = async {
        loop {
            let answer = curl(address, heartbeat, "serialno=0f823866-d2dc45ab").await.expect("curl ran");
            if answer == expect {
                return;
            }
            assert_eq!(answer, "{} 200");
        }
    };
    timeout(PATIENCE, polling).await.expect("in time");
    assert!(matches!(site.answer("c2").await, CommandAnswer::Unconfirmed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_heard_is_asked_for_in_the_answer_to_a_poll() {
    let (mut site, address) = site().await;
    for number in ["90813", "90817"] {
        let posting = curl(address, "/vzenith", &PLATE.replace("90813", number).replace("638740", number));
        let _ = site.next().await.reply.send(Reply::Done);
        assert!(posting.await.expect("curl ran").ends_with(" 200"));
    }
    let expect = r#"{"Response_AlarmInfoPlate":{"ContinuePushOffline":{"plateid":90813,"continue":1}}} 200"#;
    let polling = async {
        loop {
            let heartbeat = "/devicemanagement/php/receivedeviceinfo.php";
            let answer = curl(address, heartbeat, "serialno=0f823866-d2dc45ab").await.expect("curl ran");
            if answer == expect {
                return;
            }
            assert_eq!(answer, "{} 200");
        }
    };
    timeout(PATIENCE, polling).await.expect("in time");
    for _ in 0..60 {
        let answer = curl(address, "/devicemanagement/php/receivedeviceinfo.php", "serialno=0f823866-d2dc45ab").await;
        assert_eq!(answer.expect("curl ran"), "{} 200", "once is enough");
    }
    // What comes of it is stored, and the gap is asked for once.
    let stored =
        PLATE.replace("90813", "90814").replace("638740", "90814").replace("\"isoffline\":0", "\"isoffline\":1");
    let posting = curl(address, "/vzenith", &stored);
    let envelope = site.next().await;
    assert!(matches!(&envelope.input, Input::PlateRead(read) if read.stored_offline));
    let _ = envelope.reply.send(Reply::Done);
    let next = r#"{"Response_AlarmInfoPlate":{"ContinuePushOffline":{"plateid":90814,"continue":1}}} 200"#;
    assert_eq!(posting.await.expect("curl ran"), next, "and the one behind it, please");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_slow_and_strange_posts_are_bounded() {
    let (_site, address) = site().await;
    let other = PLATE.replace("0f823866", "ffffffff");
    assert!(curl(address, "/vzenith", &other).await.expect("curl ran").ends_with("another-device 400"));
    assert!(curl(address, "/no/such", PLATE).await.expect("curl ran").ends_with(" 404"));
    assert!(curl(address, "/vzenith", "{").await.expect("curl ran").ends_with("malformed 400"));
    let deep = "<a b=\"/>\">".repeat(8000) + &"</a>".repeat(8000);
    assert!(curl(address, "/vzenith", &deep).await.expect("curl ran").ends_with("malformed 400"), "and no more");
    let mut huge = TcpStream::connect(address).await.expect("connected");
    huge.write_all(b"POST /vzenith HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n\r\n").await.expect("written");
    assert!(first_line(&mut huge).await.contains("413"));
    let mut slow = TcpStream::connect(address).await.expect("connected");
    slow.write_all(b"POST /vzenith HTTP/1.1\r\nHost: ").await.expect("written");
    let mut rest = Vec::new();
    timeout(PATIENCE, slow.read_to_end(&mut rest)).await.expect("the box hangs up").expect("read");
}

/// The fifth order for the list pushes out the first: so four of them wait for the next poll. On one thread the link learns of
/// the commit before it learns of the raise.
#[tokio::test]
async fn orders_for_a_list_keep_no_raise_out_of_the_answer_to_a_plate() {
    let (mut site, address) = site().await;
    let mut listing = JoinSet::new();
    for n in 0..5 {
        let (teller, plate) = (site.devices.teller(), Value::Text(format!("粤B1234{n}")));
        let args = [("plate".to_owned(), plate)].into();
        listing.spawn(async move { teller.tell("cam", "whitelist_delete", args).await });
    }
    let pushed_out = listing.join_next().await.expect("one of five").expect("it ran");
    assert_eq!(pushed_out, Ok(Outcome::not_sent("newer commands came before the device asked")));
    let posting = curl(address, "/vzenith", PLATE);
    let _ = site.next().await.reply.send(Reply::Done);
    site.raise("entry-1", "c1").await;
    let answer = posting.await.expect("curl ran");
    assert_eq!(answer, r#"{"Response_AlarmInfoPlate":{"info":"ok","channelNum":0,"is_pay":"true"}} 200"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_posts_from_two_addresses_keep_no_other_camera_waiting() {
    let (mut site, address) = site().await;
    let mut slow = Vec::new();
    for from in ["127.0.0.2", "127.0.0.3"] {
        for n in 0..8 {
            let mut stream = connect_from(from, address).await;
            stream.write_all(BEGUN.as_bytes()).await.expect("written");
            if n == 0 {
                assert!(first_line(&mut stream).await.contains("100 Continue"), "its body is read");
            }
            slow.push(stream);
        }
    }
    let posting = curl(address, "/vzenith", PLATE);
    let _ = site.next().await.reply.send(Reply::Done);
    assert!(posting.await.expect("curl ran").ends_with(" 200"));
    assert_eq!(site.metrics.rejections("devices", "body-too-slow"), 0, "the slow ones are still at it");
    // Who hangs up in the middle has not said too much.
    drop(slow);
    site.until(|metrics| metrics.rejections("devices", "body-broken") > 0).await;
    assert_eq!(site.metrics.rejections("devices", "too-large"), 0);
}

/// Eighty from ten addresses, which come again whenever they are sent away.
#[tokio::test(flavor = "multi_thread")]
async fn slow_posts_from_ten_addresses_give_way_to_cameras_and_end_no_known_one_s() {
    let (mut site, address) = site().await;
    let heartbeat = "/devicemanagement/php/receivedeviceinfo.php";
    let known = ["--interface", "127.0.0.20", "--data-binary", "serialno=0f823866-d2dc45ab"];
    assert!(curl_with(address, heartbeat, &known).await.expect("curl ran").ends_with(" 200"));
    // A known one on a bad line, in the middle of its post.
    let mut halting = connect_from("127.0.0.20", address).await;
    let head = BEGUN.replace("1000", &PLATE.len().to_string());
    halting.write_all(head.as_bytes()).await.expect("written");
    assert!(first_line(&mut halting).await.contains("100 Continue"), "its body is read");
    let mut slow = JoinSet::new();
    for n in 0..80 {
        slow.spawn(async move {
            loop {
                let mut stream = connect_from(&format!("127.0.0.{}", 2 + n / 8), address).await;
                // One that is sent away may be closed at once.
                let _ = stream.write_all(BEGUN.as_bytes()).await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
    }
    site.until(|metrics| metrics.rejections("devices", "gave-way") > 100).await;
    // Of a camera that was never heard: without an answer within its deadline it would be 503.
    let posting = curl_with(address, "/vzenith", &["--interface", "127.0.0.21", "--data-binary", PLATE]);
    assert!(matches!(site.committed().await, Input::PlateRead(_)));
    assert!(posting.await.expect("curl ran").ends_with(" 200"));
    halting.write_all(&PLATE.as_bytes()[1..]).await.expect("it was given its time");
    assert!(matches!(site.committed().await, Input::PlateRead(_)), "and was read to its end");
    assert!(first_line(&mut halting).await.contains("200 OK"), "it was given its time");
    for reason in ["body-too-slow", "too-many-bodies"] {
        assert_eq!(site.metrics.rejections("devices", reason), 0, "no patience was used up: {reason}");
    }
}

/// Known addresses may need more places than there are: then who asks for nothing goes, and not who waits for the box.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_that_is_being_decided_loses_its_place_to_nobody() {
    let (mut site, address) = site().await;
    let known = |n: u8| format!("127.0.0.{}", 20 + n);
    let heartbeat = async |from: &str| {
        let path = "/devicemanagement/php/receivedeviceinfo.php";
        let args = ["--interface", from, "--data-binary", "serialno=0f823866-d2dc45ab"];
        curl_with(address, path, &args).await.expect("curl ran")
    };
    for n in 0..9 {
        assert_eq!(heartbeat(&known(n)).await, "{} 200");
    }
    let mut deciding = connect_from(&known(0), address).await;
    let post = BEGUN.replace("1000", &PLATE.len().to_string()).replace("Expect: 100-continue\r\n", "") + &PLATE[1..];
    deciding.write_all(post.as_bytes()).await.expect("written");
    let envelope = site.next().await;
    let mut idle = Vec::new();
    for n in 1..64 {
        idle.push(connect_from(&known(n / 8), address).await);
    }
    assert_eq!(heartbeat(&known(8)).await, "{} 200");
    site.until(|metrics| metrics.rejections("devices", "gave-way") == 1).await;
    let _ = envelope.reply.send(Reply::Done);
    assert!(first_line(&mut deciding).await.contains("HTTP/1.1"), "it is answered");
}

/// The first byte of a post.
const BEGUN: &str = "POST /vzenith HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n{";

async fn connect_from(from: &str, to: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(from.parse().expect("an address"), 0)).expect("bound");
    socket.connect(to).await.expect("connected")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_value_beside_the_plate_is_counted_and_costs_no_vehicle() {
    let (mut site, address) = site().await;
    let strange =
        PLATE.replace("\"confidence\":94", "\"confidence\":\"high\"").replace("\"isoffline\":0", "\"isoffline\":2");
    let posting = curl(address, "/vzenith", &strange);
    let envelope = site.next().await;
    assert!(matches!(&envelope.input, Input::PlateRead(read) if read.stored_offline && read.plate.is_some()));
    let _ = envelope.reply.send(Reply::Done);
    assert!(posting.await.expect("curl ran").ends_with(" 200"));
    assert_eq!(site.metrics.rejections("devices", "strange-value"), 2);
}

/// Small devices say all they have in the address, with GET or with a post of nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_may_say_everything_in_the_address() {
    let own = tempfile::tempdir().expect("a directory");
    let profile = include_str!("../../profile/tests/asks.toml");
    std::fs::create_dir(own.path().join("acme")).expect("a directory");
    std::fs::write(own.path().join("acme/asks.toml"), profile).expect("written");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let settings = format!(
        r#"
        links = [{{ id = "posts", kind = "http-push", listen = "{free}" }}]
        devices = [
          {{ id = "cam", profile = "acme/asks", link = "posts", params = {{ sn = "A1" }} }},
          {{ id = "arm", profile = "vzenith/r-http", link = "posts", params = {{ sn = "0f823866-d2dc45ab" }} }},
        ]
        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "arm", output = 0, pulse_ms = 500 }}
        arrival_loop = {{ device = "arm", input = 0 }}
        "#
    );
    let plan = planned(&settings, &Catalogue::load(Some(own.path())).expect("right")).expect("right settings");
    let mut site = Site::watched(plan);
    site.until(|metrics| metrics.text().contains("gatepost_link_up{link=\"posts\"} 1")).await;
    let get = |target: &str| curl_with(free, target, &["-X", "GET"]);
    let asking = get("/asks?sn=A1&what=plate&id=7&plate=%E7%B2%A4B12345");
    let envelope = site.next().await;
    assert!(
        matches!(&envelope.input, Input::PlateRead(read) if read.plate.as_ref().is_some_and(|p| p.as_str() == "粤B12345"))
    );
    let _ = envelope.reply.send(Reply::Done);
    assert_eq!(asking.await.expect("curl ran"), " 200");
    assert_eq!(get("/asks?sn=B2&what=plate&id=7&plate=%E7%B2%A4B12345").await.expect("curl ran"), "another-device 400");
    assert_eq!(get("/alive?sn=A1").await.expect("curl ran"), "POST or PUT 405", "no message of the path takes it");
    let empty = curl_with(free, "/alive?sn=A1", &["-X", "POST"]);
    assert_eq!(empty.await.expect("curl ran"), " 200");
}

async fn first_line(stream: &mut TcpStream) -> String {
    let mut bytes = vec![0; 200];
    let count = timeout(PATIENCE, stream.read(&mut bytes)).await.expect("in time").expect("read");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_in_a_post_is_on_disk_before_its_vehicle_is_decided() {
    let (mut site, address) = site().await;
    let scene = sample::jpeg(64, 48);
    let image = format!("\"imageFile\":\"{}\",\"license\"", STANDARD.encode(&scene));
    let posting = curl(address, "/vzenith", &PLATE.replace("\"license\"", &image));
    let envelope = site.next().await;
    assert!(matches!(&envelope.input, Input::PlateRead(read) if read.photos.is_some()));
    assert!(sample::is_on_disk(site.directory.path(), &scene));
    let _ = envelope.reply.send(Reply::Done);
    assert!(posting.await.expect("curl ran").ends_with(" 200"));
}

/// Some cameras send the scene as it is, whatever its size.
#[tokio::test(flavor = "multi_thread")]
async fn a_post_with_two_pictures_that_are_too_large_costs_the_pictures_only() {
    let (mut site, address) = site().await;
    let image = STANDARD.encode(vec![0xD8; PICTURE_BYTES_MAX * 2]);
    let images = format!("\"imageFile\":\"{image}\",\"imageFragmentFile\":\"{image}\",\"license\"");
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("post.json");
    std::fs::write(&file, PLATE.replace("\"license\"", &images)).expect("written");
    let posting = curl(address, "/vzenith", &format!("@{}", file.display()));
    let envelope = site.next().await;
    assert!(matches!(&envelope.input, Input::PlateRead(read) if read.plate.is_some() && read.photos.is_none()));
    let _ = envelope.reply.send(Reply::Done);
    assert!(posting.await.expect("curl ran").ends_with(" 200"));
    site.until(|metrics| metrics.rejections("photos", "photo-too-large") == 2).await;
}

/// Most devices send all that they have before they look at the answer.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_too_much_hears_that_it_is_too_much() {
    let (site, address) = site().await;
    let bytes = BODY_BYTES_MAX + 4 * 1024 * 1024;
    for head in [format!("Content-Length: {bytes}\r\n\r\n"), format!("Transfer-Encoding: chunked\r\n\r\n{bytes:x}\r\n")]
    {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        let head = format!("POST /vzenith HTTP/1.1\r\nHost: x\r\n{head}");
        let sent = async {
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&vec![b'x'; bytes]).await
        };
        timeout(PATIENCE, sent).await.expect("in time").expect("nobody hangs up");
        let line = first_line(&mut stream).await;
        assert!(line.starts_with("HTTP/1.1 413 "), "{line}");
    }
    assert_eq!(site.metrics.rejections("devices", "too-large"), 2);
}

/// The answer's body and status, as a foreign client sees them.
pub(super) fn curl(address: SocketAddr, path: &str, body: &str) -> tokio::task::JoinHandle<String> {
    curl_with(address, path, &["--data-binary", body])
}

fn curl_with(address: SocketAddr, path: &str, args: &[&str]) -> tokio::task::JoinHandle<String> {
    let (url, args) = (format!("http://{address}{path}"), args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>());
    tokio::spawn(async move {
        let mut command = Command::new("curl");
        command.args(["-s", "--noproxy", "*", "-w", " %{http_code}"]).args(args).arg(url);
        let out = command.stdin(Stdio::null()).output().await.expect("curl is installed by ./test");
        String::from_utf8(out.stdout).expect("UTF-8")
    })
}

async fn site() -> (Site, SocketAddr) {
    site_with("").await
}

/// A site with one camera that posts, with more in its settings.
pub(super) async fn site_with(more: &str) -> (Site, SocketAddr) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its address");
    let settings = format!(
        r#"
        [[links]]
        id = "posts"
        kind = "http-push"
        listen = "{free}"

        [[devices]]
        id = "cam"
        profile = "vzenith/r-http"
        link = "posts"
        params = {{ sn = "0f823866-d2dc45ab" }}
        {more}

        [[lanes]]
        id = "entry-1"
        direction = "entry"
        camera = "cam"
        barrier = {{ device = "cam", output = 0, pulse_ms = 500 }}
        arrival_loop = {{ device = "cam", input = 0 }}
        "#
    );
    let site = Site::watched(plan(&settings).expect("right settings"));
    site.until(|metrics| metrics.text().contains("gatepost_link_up{link=\"posts\"} 1")).await;
    (site, free)
}
