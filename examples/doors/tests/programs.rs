//! The examples as users meet them: started, and talked to by others' programs. Where one is not
//! installed, its test says so and is skipped.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longer than anything here takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program that does not outlive its test.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts one of the servers, and reads where it listens.
fn start(program: &str, args: &[&str]) -> (Guarded, String) {
    let mut command = Command::new(program);
    let mut child = command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let child = Guarded(child);
    let address = line.trim().strip_prefix("listening on ");
    (child, address.unwrap_or_else(|| panic!("no address in `{line}`")).to_owned())
}

fn start_on_any(program: &str) -> (Guarded, String) {
    start(program, &["127.0.0.1:0"])
}

/// Whether a program that is needed can be run.
fn is_missing(program: &str, probe: &[&str]) -> bool {
    let found = Command::new(program).args(probe).output();
    if found.is_ok_and(|output| output.status.success()) {
        return false;
    }
    eprintln!("SKIPPED: {program} {} does not work here", probe.join(" "));
    true
}

/// Runs a program to its end: what it wrote to stdout. It must succeed.
#[track_caller]
fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program} {args:?} ended with {}:\n{out}\n{err}",
        output.status
    );
    out
}

fn curl(args: &[&str]) -> String {
    output("curl", &[&["--silent", "--show-error", "--max-time", "30"], args].concat())
}

/// A folder with a certificate for localhost, gone when the test is over.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let name = format!("wheelhouse-doors-{}-{name}", std::process::id());
        let folder = Folder(std::env::temp_dir().join(name));
        fs::create_dir_all(&folder.0).unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let signed = rcgen::generate_simple_self_signed(names).unwrap();
        fs::write(folder.0.join("cert.pem"), signed.cert.pem()).unwrap();
        fs::write(folder.0.join("key.pem"), signed.signing_key.serialize_pem()).unwrap();
        folder
    }

    fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A port that is free at this moment, for programs that cannot choose one themselves.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn curl_asks_the_hyper_server_twice_over_one_connection() {
    if is_missing("curl", &["--version"]) {
        return;
    }
    let (_server, address) = start_on_any(env!("CARGO_BIN_EXE_hyper_server"));
    let (one, two) = (format!("http://{address}/one"), format!("http://{address}/two"));
    let text = curl(&["--http1.1", "--write-out", "%{num_connects} ", &one, &two]);
    assert_eq!(text, "GET /one: request 1\n1 GET /two: request 2\n0 ");
}

#[test]
fn our_client_asks_our_server() {
    let (_server, address) = start_on_any(env!("CARGO_BIN_EXE_hyper_server"));
    let url = format!("http://{address}/here?x=1");
    let page = output(env!("CARGO_BIN_EXE_hyper_client"), &[&url]);
    assert_eq!(page, "200 OK\nGET /here?x=1: request 1\n");
    let failed = Command::new(env!("CARGO_BIN_EXE_hyper_client")).output().unwrap();
    assert!(!failed.status.success());
    assert!(String::from_utf8_lossy(&failed.stderr).contains("usage: hyper_client URL"));
}

#[test]
fn our_client_asks_nginx() {
    if is_missing("nginx", &["-v"]) {
        return;
    }
    let folder = Folder::new("nginx");
    let (_nginx, url) = start_nginx(&folder, "");
    let page = output(env!("CARGO_BIN_EXE_hyper_client"), &[&url]);
    assert_eq!(page, "200 OK\nfrom nginx\n");
}

#[test]
fn our_tls_client_asks_nginx_by_http_1_and_http_2() {
    if is_missing("nginx", &["-v"]) {
        return;
    }
    for (tls, version) in [("ssl", "HTTP/1.1"), ("ssl http2", "HTTP/2.0")] {
        let folder = Folder::new(&version.replace(['/', '.'], "-"));
        let (_nginx, url) = start_nginx(&folder, tls);
        let page = output(env!("CARGO_BIN_EXE_tls_client"), &[&url, &folder.path("cert.pem")]);
        assert_eq!(page, format!("200 OK by {version}\nfrom nginx\n"));
    }
}

/// With the page `from nginx`; `tls` as in its `listen`.
fn start_nginx(folder: &Folder, tls: &str) -> (Guarded, String) {
    fs::write(folder.0.join("index.html"), "from nginx\n").unwrap();
    let root = folder.path("");
    let port = free_port();
    let keys = match tls {
        "" => String::new(),
        _ => format!("ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;"),
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {root}/{kind}; "))
        .concat();
    let config = format!(
        "daemon off; master_process off; pid {root}/pid; error_log {root}/error.log; events {{}}
         http {{ access_log off; {temporary} server {{
         listen 127.0.0.1:{port} {tls}; {keys} root {root}; }} }}"
    );
    fs::write(folder.0.join("nginx.conf"), config).unwrap();
    let mut command = Command::new("nginx");
    command.args(["-c", &folder.path("nginx.conf"), "-e", &folder.path("error.log")]);
    let mut nginx = Guarded(command.stdout(Stdio::null()).spawn().unwrap());
    wait_for(port, &mut nginx, &folder.0.join("error.log"));
    let scheme = if tls.is_empty() { "http" } else { "https" };
    let host = if tls.is_empty() { "127.0.0.1" } else { "localhost" };
    (nginx, format!("{scheme}://{host}:{port}/"))
}

/// Until a program of others listens, which tells nobody.
fn wait_for(port: u16, child: &mut Guarded, log: &Path) {
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.0.try_wait().unwrap().is_some() {
            panic!("it ended: {}", fs::read_to_string(log).unwrap_or_default());
        }
        std::thread::yield_now();
    }
}

#[test]
fn curl_asks_the_h2_server() {
    if is_missing("curl", &["--version"]) {
        return;
    }
    let (_server, address) = start_on_any(env!("CARGO_BIN_EXE_h2_server"));
    let url = format!("http://{address}/page");
    let text = curl(&["--http2-prior-knowledge", "--write-out", "%{http_version}", &url]);
    assert_eq!(text, "GET http://127.0.0.1/page: request 1\n2".replace("127.0.0.1", &address));
}

/// A thousand slow streams at once: they wait side by side, or it would take 100 seconds.
#[test]
fn h2load_has_many_streams_in_the_h2_server() {
    if is_missing("h2load", &["--version"]) {
        return;
    }
    let (_server, address) = start_on_any(env!("CARGO_BIN_EXE_h2_server"));
    let url = format!("http://{address}/slow");
    let text = output("h2load", &["-n", "1000", "-c", "5", "-m", "200", &url]);
    let all = "requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored";
    assert!(text.contains(all), "{text}");
}

#[test]
fn curl_asks_the_axum_router() {
    if is_missing("curl", &["--version"]) {
        return;
    }
    let (_server, address) = start_on_any(env!("CARGO_BIN_EXE_axum_router"));
    let text = curl(&[&format!("http://{address}/wait/3")]);
    let waited = text.strip_prefix("waited ").and_then(|rest| rest.strip_suffix(" ms\n"));
    assert!(waited.is_some_and(|ms| ms.parse::<u64>().unwrap() >= 3), "{text}");
    let json = ["--header", "content-type: application/json", "--data", "[1, 20, 300]"];
    let url = format!("http://{address}/sum");
    assert_eq!(curl(&[&json[..], &[&url]].concat()), "321\n");
    let bad = ["--header", "content-type: application/json", "--data", "[1, oops]"];
    let code =
        curl(&[&bad[..], &["--output", "/dev/null", "--write-out", "%{http_code}", &url]].concat());
    assert_eq!(code, "400");
}

/// What was asked before Ctrl-C is answered to its end, though nobody is let in any more.
#[test]
fn the_axum_router_ends_when_it_has_answered() {
    let (mut server, address) = start_on_any(env!("CARGO_BIN_EXE_axum_router"));
    let mut client = TcpStream::connect(&address).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = "POST /sum HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\n\
                content-length: 12\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut begun = [0; 25];
    client.read_exact(&mut begun).unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100 Continue\r\n\r\n");
    output("kill", &["-INT", &server.0.id().to_string()]);
    while TcpStream::connect(&address).is_ok() {
        std::thread::yield_now();
    }
    client.write_all(b"[1, 20, 300]").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("\r\nconnection: close\r\n") && answer.ends_with("\r\n321\n"),
        "{answer}"
    );
    assert!(server.0.wait().unwrap().success());
}

#[test]
fn curl_asks_the_tls_server_by_http_1_and_http_2() {
    if is_missing("curl", &["--version"]) {
        return;
    }
    let folder = Folder::new("curl");
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let server = env!("CARGO_BIN_EXE_tls_server");
    let (_server, address) = start(server, &[&cert, &key, "127.0.0.1:0"]);
    let url = format!("https://{address}/secret");
    for (flag, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")] {
        let text = curl(&["--cacert", &cert, flag, &url]);
        assert_eq!(text, format!("{version} /secret\n"));
    }
}

#[test]
fn our_tls_client_asks_our_tls_server() {
    let folder = Folder::new("own");
    let (cert, key) = (folder.path("cert.pem"), folder.path("key.pem"));
    let server = env!("CARGO_BIN_EXE_tls_server");
    let (_server, address) = start(server, &[&cert, &key, "127.0.0.1:0"]);
    let url = format!("https://{}/x", address.replace("127.0.0.1", "localhost"));
    let page = output(env!("CARGO_BIN_EXE_tls_client"), &[&url, &cert]);
    assert_eq!(page, "200 OK by HTTP/2.0\nHTTP/2.0 /x\n");
    // Who is not trusted is told of, with the reason.
    let stranger = Folder::new("stranger");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tls_client"));
    let failed = command.args([&url, &stranger.path("cert.pem")]).output().unwrap();
    assert!(!failed.status.success());
    let err = String::from_utf8_lossy(&failed.stderr);
    assert!(err.contains("InvalidCertificate"), "{err}");
}

#[test]
fn quic_comes_back() {
    let folder = Folder::new("quic");
    let files = [&*folder.path("cert.pem"), &folder.path("key.pem")];
    assert_eq!(output(env!("CARGO_BIN_EXE_quic_echo"), &files), "got over QUIC\n");
}

/// Debian's python3-websockets, for Debian's Python.
#[test]
fn pythons_client_talks_to_the_websocket_server() {
    const PYTHON: &str = "/usr/bin/python3";
    if is_missing(PYTHON, &["-c", "import websockets"]) {
        return;
    }
    let (_server, address) = start_on_any(env!("CARGO_BIN_EXE_websocket_echo"));
    let script = "
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1]) as socket:
        for sent in ['text', 'ü' * 70000, b'\\x00\\xff', b'x' * 300000]:
            await socket.send(sent)
            assert await socket.recv() == sent
        await (await socket.ping())
    print(socket.close_code)
asyncio.run(asyncio.wait_for(main(), 30))";
    assert_eq!(output(PYTHON, &["-c", script, &format!("ws://{address}/")]), "1000\n");
}

#[test]
fn tokios_lines_are_shouted_back() {
    let (_server, address) = start_on_any(env!("CARGO_BIN_EXE_tokio_traits"));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"a line\nand half a").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text, "A LINE\nAND HALF A\n");
}
