//! A request, made into its exact bytes once, before the run.

/// What to ask for; the parts are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    /// As the user gave them, beside those that every request has.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// The bytes of a request, and what its answer depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    pub(crate) bytes: Vec<u8>,
    /// Answers to HEAD have no body, whatever they announce.
    pub(crate) is_head: bool,
}

pub(crate) const USER_AGENT: &str = concat!("wheelhouse-load/", env!("CARGO_PKG_VERSION"));

impl Request {
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name))
    }

    /// Whether the length of the body is said: always if there is one, and where one is expected.
    pub(crate) fn says_length(&self) -> bool {
        !self.has_header("content-length")
            && (!self.body.is_empty() || matches!(self.method.as_str(), "POST" | "PUT" | "PATCH"))
    }

    pub(crate) fn wire(&self, keeps_alive: bool) -> Wire {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.path);
        let mut line = |name: &str, value: &str| {
            head.push_str(name);
            head.push_str(": ");
            head.push_str(value);
            head.push_str("\r\n");
        };
        if !self.has_header("host") {
            line("Host", &self.authority);
        }
        if !self.has_header("user-agent") {
            line("User-Agent", USER_AGENT);
        }
        self.headers.iter().for_each(|(name, value)| line(name, value));
        if self.says_length() {
            line("Content-Length", &self.body.len().to_string());
        }
        if !keeps_alive && !self.has_header("connection") {
            line("Connection", "close");
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        Wire { bytes, is_head: self.method == "HEAD" }
    }
}

/// Checks a method. The error is for the user's eyes.
pub(crate) fn method(text: &str) -> Result<String, String> {
    if !is_token(text) {
        return Err("a method is one word, such as GET or POST".into());
    }
    if text == "CONNECT" {
        return Err("CONNECT makes a tunnel, which is not measured here".into());
    }
    Ok(text.into())
}

/// Takes `Name: value` apart. The error is for the user's eyes.
pub(crate) fn header(text: &str) -> Result<(String, String), String> {
    let advice = "a header is `Name: value`, such as 'Accept: text/html'";
    let (name, value) = text.split_once(':').ok_or(advice)?;
    let value = value.trim();
    // What is not here would end the header, and begin another.
    if !is_token(name) || value.chars().any(|c| c.is_control() && c != '\t') {
        return Err(advice.into());
    }
    if name.eq_ignore_ascii_case("transfer-encoding") {
        return Err("bodies are sent as they are, with their length".into());
    }
    Ok((name.into(), value.into()))
}

fn is_token(text: &str) -> bool {
    let is_good = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&c);
    !text.is_empty() && text.bytes().all(is_good)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get() -> Request {
        Request {
            method: "GET".into(),
            authority: "localhost:80".into(),
            path: "/x?y".into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    #[test]
    fn the_bytes_are_exact() {
        let text = |request: &Request, keeps| String::from_utf8(request.wire(keeps).bytes).unwrap();
        let agent = format!("User-Agent: {USER_AGENT}\r\n");
        assert_eq!(
            text(&get(), true),
            format!("GET /x?y HTTP/1.1\r\nHost: localhost:80\r\n{agent}\r\n")
        );
        let post = Request {
            method: "POST".into(),
            headers: vec![header("host:  other ").unwrap(), header("User-Agent: me").unwrap()],
            body: b"hello".to_vec(),
            ..get()
        };
        assert_eq!(
            text(&post, false),
            "POST /x?y HTTP/1.1\r\nhost: other\r\nUser-Agent: me\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\nhello"
        );
        let empty = Request { method: "PUT".into(), ..get() };
        assert!(text(&empty, true).contains("Content-Length: 0\r\n"));
        let head = Request { method: "HEAD".into(), ..get() };
        assert!(head.wire(true).is_head && !text(&head, true).contains("Content-Length"));
    }

    #[test]
    fn nothing_is_smuggled_in() {
        for wrong in ["no colon", ": value", "a b: c", "a: b\r\nc: d", "a: b\nc", "é: x"] {
            assert!(header(wrong).is_err(), "`{wrong}`");
        }
        assert!(header("Transfer-Encoding: chunked").unwrap_err().contains("length"));
        assert_eq!(header("A:b:c"), Ok(("A".into(), "b:c".into())));
        assert!(method("GET /").is_err() && method("").is_err() && method("CONNECT").is_err());
        assert_eq!(method("PURGE"), Ok("PURGE".into()));
    }
}
