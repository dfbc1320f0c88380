//! From what the user wrote, one address or a file of them, to origins and their requests.

use std::path::Path;

use crate::http::request::{self, Request};
use crate::origin::Origin;
use crate::target::{Speaks, Target};

/// How to ask, where the file of targets does not say it itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    pub(crate) method: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asking {
    fn is_default(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.body.is_empty()
    }

    fn request(&self, authority: &str, path: &str, method: Option<&str>) -> Request {
        let usual = if self.body.is_empty() { "GET" } else { "POST" };
        let method = method.or(self.method.as_deref()).unwrap_or(usual);
        Request {
            method: method.into(),
            authority: authority.into(),
            path: path.into(),
            headers: self.headers.clone(),
            body: self.body.clone(),
        }
    }
}

/// One address. The error is for the user's eyes.
pub(crate) fn one(address: &str, asking: &Asking) -> Result<Vec<Origin>, String> {
    let mut origins = Vec::new();
    add(&mut origins, address, None, asking)?;
    Ok(origins)
}

/// A file with an address a line, with a method before it if it likes. Empty lines and those that
/// begin with `#` are passed over. The error is for the user's eyes.
pub(crate) fn file(path: &Path, asking: &Asking) -> Result<Vec<Origin>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    let mut origins = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = |problem: String| format!("`{}`, line {number}: {problem}", path.display());
        let added = match line.split_once(char::is_whitespace) {
            Some((method, address)) => {
                let method = request::method(method).map_err(place)?;
                add(&mut origins, address.trim(), Some(&method), asking)
            }
            None => add(&mut origins, line, None, asking),
        };
        added.map_err(place)?;
    }
    if origins.is_empty() {
        return Err(format!(
            "`{}` names no target: one a line, such as `GET http://127.0.0.1:8080/`",
            path.display()
        ));
    }
    Ok(origins)
}

fn add(
    origins: &mut Vec<Origin>,
    address: &str,
    method: Option<&str>,
    asking: &Asking,
) -> Result<(), String> {
    let target = Target::parse(address)?;
    let request = match &target.speaks {
        Speaks::Http { authority, path } => Some(asking.request(authority, path, method)),
        Speaks::Echo if method.is_some() || !asking.is_default() => {
            return Err(format!(
                "`{}` is an echo server: a method, headers and a body are for http:// and https://",
                target.name
            ));
        }
        Speaks::Echo => None,
    };
    match origins.iter_mut().find(|origin| origin.target.is_beside(&target)) {
        Some(origin) => origin.requests.extend(request),
        None => {
            let requests = request.into_iter().collect();
            origins.push(Origin { target, requests, tls: None, messages: None });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str, asking: &Asking) -> Result<Vec<Origin>, String> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("wheelhouse-load-targets-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        let origins = file(&path, asking);
        std::fs::remove_file(&path).unwrap();
        origins
    }

    #[test]
    fn a_file_is_put_in_order_by_origin() {
        let text = "# three of one, one of another\n\
            http://127.0.0.1:1/a\n\nHEAD http://127.0.0.1:1/b\nhttp://127.0.0.1:2/\n\
            \tDELETE   http://127.0.0.1:1/c  \n";
        let origins = written(text, &Asking::default()).unwrap();
        assert_eq!(origins.len(), 2);
        let all: Vec<_> = origins[0]
            .requests
            .iter()
            .map(|request| format!("{} {}", request.method, request.path))
            .collect();
        assert_eq!(all, ["GET /a", "HEAD /b", "DELETE /c"]);
    }

    #[test]
    fn a_body_makes_a_post() {
        let asking = Asking { body: b"x".to_vec(), ..Asking::default() };
        let request = &one("http://127.0.0.1/", &asking).unwrap()[0].requests[0];
        assert_eq!((request.method.as_str(), request.body.as_slice()), ("POST", &b"x"[..]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let says = |text: &str, words: &str| {
            let problem = written(text, &Asking::default()).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        };
        says("\n# nothing\n", "names no target");
        says("http://127.0.0.1/\nftp://x/\n", "line 2: `ftp://x/`: `ftp` is not spoken here");
        says("G;ET http://127.0.0.1/\n", "line 1: a method is one word");
        says("GET tcp://127.0.0.1:7\n", "is an echo server");
        let missing = file(Path::new("/nowhere"), &Asking::default()).unwrap_err();
        assert!(missing.contains("cannot read `/nowhere`"));
    }
}
