//! The program over TLS, HTTP/2 and Unix sockets: against servers of this runtime, and nginx.

mod support;

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::generate_simple_self_signed;

use crate::support::{Asked, Scratch, run, server};

/// A certificate for `localhost` and its key, as files.
fn identity(folder: &Scratch) -> (String, String) {
    std::fs::create_dir_all(folder.path()).unwrap();
    let signed = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (format!("{folder}/cert.pem"), format!("{folder}/key.pem"));
    std::fs::write(&cert, signed.cert.pem()).unwrap();
    std::fs::write(&key, signed.signing_key.serialize_pem()).unwrap();
    (cert, key)
}

/// A server of this runtime: an echo over TLS, or HTTP/2 with a body of five bytes.
mod own {
    use std::net::SocketAddr;
    use std::sync::Arc;

    use bytes::Bytes;
    use futures_io::{AsyncRead, AsyncWrite};
    use http_body_util::Full;
    use hyper::Response;
    use hyper::service::service_fn;
    use wheelhouse::net::compat::hyper::{HyperExecutor, HyperIo};
    use wheelhouse::net::{TcpListener, TcpStream};
    use wheelhouse::{LoopGroup, spawn};
    use wheelhouse_tls::{TlsAcceptor, TlsStream, certs_from_pem, key_from_pem, server_config};

    #[derive(Clone, Copy, PartialEq, Eq)]
    pub(crate) enum Speaks {
        Echo,
        Http2,
    }

    pub(crate) fn serve(
        identity: Option<&(String, String)>,
        speaks: Speaks,
    ) -> (LoopGroup, SocketAddr) {
        let acceptor = identity.map(|(cert, key)| {
            let (chain, key) = (certs_from_pem(cert).unwrap(), key_from_pem(key).unwrap());
            let mut config = server_config(chain, key).unwrap();
            if speaks == Speaks::Http2 {
                config.alpn_protocols = vec![b"h2".to_vec()];
            }
            TlsAcceptor::new(Arc::new(config))
        });
        let group = LoopGroup::new(1).unwrap();
        let address = group.handle(0).spawn(move || async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            drop(spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    drop(spawn(connection(stream, acceptor.clone(), speaks)));
                }
            }));
            address
        });
        let address = address.wait().unwrap();
        (group, address)
    }

    async fn connection(stream: TcpStream, acceptor: Option<TlsAcceptor>, speaks: Speaks) {
        match (acceptor, speaks) {
            (Some(acceptor), speaks) => {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                match speaks {
                    Speaks::Echo => echo(stream).await,
                    Speaks::Http2 => http2(stream).await,
                }
            }
            (None, _) => http2(stream).await,
        }
    }

    async fn echo(mut stream: TlsStream<TcpStream>) {
        use futures_lite::{AsyncReadExt, AsyncWriteExt};
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            if stream.write_all(&buffer[..count]).await.is_err() || stream.flush().await.is_err() {
                break;
            }
        }
    }

    async fn http2(stream: impl AsyncRead + AsyncWrite + Unpin + 'static) {
        let answer = service_fn(|_| async {
            let body = Full::new(Bytes::from_static(b"hello"));
            Ok::<_, std::convert::Infallible>(Response::new(body))
        });
        let server = hyper::server::conn::http2::Builder::new(HyperExecutor);
        let _ = server.serve_connection(HyperIo::new(stream), answer).await;
    }
}

#[test]
fn echoes_over_tls_are_compared() {
    let folder = Scratch::new("tls");
    let identity = identity(&folder);
    let (_group, address) = own::serve(Some(&identity), own::Speaks::Echo);
    let target = format!("tls://localhost:{}", address.port());
    let trusted =
        run(&format!("{target} -c 3 -d 200ms --size 5000 --ca-file {} --json -", identity.0));
    assert_eq!(trusted.code, Some(0), "{}", trusted.text);
    assert!(trusted.json()["messages"].as_u64().unwrap() > 10);
    let insecure = run(&format!("{target} -c 1 -d 100ms --insecure"));
    assert_eq!(insecure.code, Some(0), "{}", insecure.text);
}

#[test]
fn a_certificate_that_is_not_trusted_is_said() {
    let folder = Scratch::new("trust");
    let (mine, other) = (identity(&folder), Scratch::new("other"));
    let stranger = identity(&other);
    let (_group, address) = own::serve(Some(&mine), own::Speaks::Echo);
    let target = format!("tls://localhost:{}", address.port());
    let refused = run(&format!("{target} -c 1 -d 100ms --ca-file {}", stranger.0));
    assert_eq!(refused.code, Some(1));
    assert!(refused.text.contains("`--insecure` takes any certificate"), "{}", refused.text);
    assert!(!refused.text.contains("listening there"), "somebody is: {}", refused.text);
    let plain = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let no_tls = run(&format!("https://{plain}/ -c 1 -d 100ms --insecure"));
    assert_eq!(no_tls.code, Some(1));
    assert!(no_tls.text.contains("does the server speak TLS on this port?"), "{}", no_tls.text);
    let wrong_name = run(&format!("{target} -c 1 -d 100ms --ca-file {} --sni example.org", mine.0));
    assert_eq!(wrong_name.code, Some(1), "{}", wrong_name.text);
    let missing = run(&format!("{target} --ca-file /nowhere.pem"));
    assert_eq!(missing.code, Some(2));
    assert!(missing.text.contains("`--ca-file`"), "{}", missing.text);
}

#[test]
fn http2_has_streams_and_keeps_its_plan() {
    let folder = Scratch::new("h2");
    let identity = identity(&folder);
    let (_first, plain) = own::serve(None, own::Speaks::Http2);
    let (_second, secure) = own::serve(Some(&identity), own::Speaks::Http2);
    let plain = format!("http://{plain}/ --expect-length 5");
    let secure = format!("https://localhost:{}/ --ca-file {}", secure.port(), identity.0);
    for target in [plain, secure] {
        let closed = run(&format!("{target} --http2 -c 2 --depth 5 -d 200ms --json -"));
        assert_eq!(closed.code, Some(0), "{}", closed.text);
        let json = closed.json();
        assert!(json["messages"].as_u64().unwrap() > 20, "{}", closed.text);
        assert_eq!((json["protocol"].as_str(), &json["error_count"]), (Some("http/2"), &0.into()));
        assert!(json["bytes_received_per_second"].as_f64().unwrap() > 0.0);
        let open = run(&format!("{target} --http2 -c 2 --rate 200 -d 500ms --warm-up 0s --json -"));
        assert!(matches!(open.code, Some(0 | 98)), "{}", open.text);
        let (json, unsent) = (open.json(), open.json()["plan"]["unsent"].as_u64().unwrap());
        let answered = json["response_time"]["count"].as_u64().unwrap();
        assert_eq!(answered + unsent, 100, "{}", open.text);
    }
}

#[test]
fn a_server_that_does_not_speak_http2_is_said() {
    let folder = Scratch::new("alpn");
    let identity = identity(&folder);
    let (_group, address) = own::serve(Some(&identity), own::Speaks::Echo);
    let target = format!("https://localhost:{}/", address.port());
    let ended = run(&format!("{target} --http2 -c 1 -d 100ms --insecure"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.text.contains("did not agree on HTTP/2"), "{}", ended.text);
}

#[test]
fn unix_sockets_echo_and_speak_http() {
    let socket = Scratch::new("unix.sock");
    let listener = UnixListener::bind(socket.path()).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                let mut reader = BufReader::new(stream);
                while Asked::read(&mut reader).is_some()
                    && writer.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").is_ok()
                {
                }
            });
        }
    });
    let ended = run(&format!("http+unix:{socket}:/x?y -c 2 -d 200ms --json -"));
    assert_eq!(ended.code, Some(0), "{}", ended.text);
    assert!(ended.json()["messages"].as_u64().unwrap() > 20);

    let socket = Scratch::new("echo.sock");
    let listener = UnixListener::bind(socket.path()).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    let ended = run(&format!("unix:{socket} -c 2 -d 200ms"));
    assert_eq!(ended.code, Some(0), "{}", ended.text);
}

/// nginx as Debian has it, on Unix sockets: they need no port.
#[test]
fn nginx_is_served_with_http1_and_http2() {
    if Command::new("nginx").arg("-v").stderr(Stdio::null()).status().is_err() {
        eprintln!("SKIPPED: nginx is not installed");
        return;
    }
    let folder = Scratch::new("nginx");
    std::fs::create_dir_all(format!("{folder}/html")).unwrap();
    std::fs::write(format!("{folder}/html/index.html"), "x".repeat(612)).unwrap();
    let config = format!(
        "daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n\
         events {{}}\nhttp {{ access_log off; root {folder}/html; keepalive_requests 50;\n\
         client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path \
         {folder}/c; uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;\n\
         server {{ listen unix:{folder}/one; }}\nserver {{ listen unix:{folder}/two http2; }} }}\n"
    );
    std::fs::write(format!("{folder}/nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx")
        .args(["-p", &folder.to_string(), "-c", "nginx.conf"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !folder.path().join("two").exists() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    // Every connection ends after 50 requests, and nothing may be lost by that.
    let one = run(&format!("http+unix:{folder}/one:/ -c 4 -d 300ms --expect-length 612 --json -"));
    let piped = run(&format!("http+unix:{folder}/one:/ -c 2 --depth 8 -d 300ms --json -"));
    let two = run(&format!("http+unix:{folder}/two:/ --http2 -c 2 --depth 4 -d 300ms --json -"));
    let pid = rustix::process::Pid::from_child(&nginx);
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    let _ = nginx.wait();
    for ended in [one, piped, two] {
        assert_eq!(ended.code, Some(0), "{}", ended.text);
        assert!(ended.json()["messages"].as_u64().unwrap() > 100, "{}", ended.text);
    }
}
