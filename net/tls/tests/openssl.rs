//! TLS with openssl at the other end: its client with our server, its server with our client, in
//! both versions, and how each sees the other's close.

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::Arc;

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use support::{Identity, localhost, run};
use wheelhouse::net::{TcpListener, TcpStream};
use wheelhouse::spawn_blocking;
use wheelhouse_tls::rustls::ProtocolVersion;
use wheelhouse_tls::{TlsAcceptor, TlsConnector};

const VERSIONS: [(&str, ProtocolVersion); 2] =
    [("-tls1_2", ProtocolVersion::TLSv1_2), ("-tls1_3", ProtocolVersion::TLSv1_3)];

fn is_missing() -> bool {
    let found = Command::new("openssl").arg("version").output();
    if found.is_ok_and(|output| output.status.success()) {
        return false;
    }
    eprintln!("SKIPPED: openssl is not installed");
    true
}

/// The identity as files, which are gone when the test is over.
struct Files {
    folder: PathBuf,
}

impl Files {
    fn new(identity: &Identity, name: &str) -> Files {
        let name = format!("wheelhouse-openssl-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cert.pem"), identity.signed.cert.pem()).unwrap();
        fs::write(folder.join("key.pem"), identity.signed.signing_key.serialize_pem()).unwrap();
        Files { folder }
    }

    fn openssl(&self, args: &[&str]) -> Command {
        let mut command = Command::new("openssl");
        command.args(args).current_dir(&self.folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A child that does not outlive its test.
struct Guarded(Child);

impl Guarded {
    fn stdin(&mut self) -> ChildStdin {
        self.0.stdin.take().unwrap()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Our server closes; openssl's client, which was told `-ign_eof`, ends by that alone.
#[test]
fn openssl_s_client_talks_to_our_server() {
    if is_missing() {
        return;
    }
    let identity = Identity::new();
    let files = Files::new(&identity, "client");
    for (flag, version) in VERSIONS {
        let mut config = identity.server();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let output = run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let args = ["s_client", "-connect", &address, flag, "-servername", "localhost"];
            let trust = ["-CAfile", "cert.pem", "-verify_return_error", "-ign_eof"];
            let mut command = files.openssl(&[&args[..], &trust, &["-alpn", "http/1.1"]].concat());
            let mut client = Guarded(command.spawn().unwrap());
            client.stdin().write_all(b"a question\n").unwrap();

            let stream = listener.accept().await.unwrap().0;
            let acceptor = TlsAcceptor::new(Arc::new(config));
            let mut stream = acceptor.accept(stream).await.unwrap();
            assert_eq!(stream.protocol_version(), Some(version));
            assert_eq!(stream.server_name(), Some("localhost"));
            assert_eq!(stream.alpn(), Some(&b"http/1.1"[..]));
            let mut question = [0; 11];
            stream.read_exact(&mut question).await.unwrap();
            assert_eq!(&question, b"a question\n");
            stream.write_all(b"an answer from us\n").await.unwrap();
            stream.close().await.unwrap();
            let output = spawn_blocking(move || output_of(client)).await.unwrap();
            assert_eq!(stream.read(&mut question).await.unwrap(), 0, "it closed as well");
            output
        });
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("an answer from us\n"), "{text}");
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
        assert!(output.status.success(), "{text}");
    }
}

fn output_of(mut client: Guarded) -> Output {
    let mut output = Output { status: Default::default(), stdout: vec![], stderr: vec![] };
    let (mut out, mut err) = (client.0.stdout.take().unwrap(), client.0.stderr.take().unwrap());
    std::io::copy(&mut out, &mut output.stdout).unwrap();
    std::io::copy(&mut err, &mut output.stderr).unwrap();
    output.status = client.0.wait().unwrap();
    output
}

/// openssl's server closes when its input ends; we read that as the end.
#[test]
fn our_client_talks_to_openssl_s_server() {
    if is_missing() {
        return;
    }
    let identity = Identity::new();
    let files = Files::new(&identity, "server");
    for (flag, version) in VERSIONS {
        let args = ["s_server", "-accept", "127.0.0.1:0", flag, "-naccept", "1", "-rev"];
        let identity_files = ["-cert", "cert.pem", "-key", "key.pem"];
        let mut command = files.openssl(&[&args[..], &identity_files].concat());
        let mut server = Guarded(command.spawn().unwrap());
        let mut lines = BufReader::new(server.0.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("it says where it listens").unwrap();
            if let Some(address) = line.strip_prefix("ACCEPT ") {
                break address.to_owned();
            }
        };
        run(async {
            let connector = TlsConnector::new(Arc::new(identity.client()));
            let stream = TcpStream::connect(&*address).await.unwrap();
            let mut stream = connector.connect(localhost(), stream).await.unwrap();
            assert_eq!(stream.protocol_version(), Some(version));
            // It answers with each line turned round, until we close.
            stream.write_all(b"desrever\n").await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = [0; 9];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"reversed\n");
            stream.close().await.unwrap();
            assert_eq!(stream.read(&mut answer).await.unwrap(), 0, "it closed as well");
        });
    }
}
