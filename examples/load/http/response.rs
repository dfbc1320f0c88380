//! Reads answers out of what comes in, in place: nothing is allocated for one that lies in the
//! buffer whole, and a head that came in pieces is put together in a buffer that is kept.
//!
//! How long a body is, follows RFC 9112, section 6.3.

use std::mem::MaybeUninit;

use crate::http::chunked::Chunked;

const MOST_HEADERS: usize = 128;
const LONGEST_HEAD: usize = 64 * 1024;

/// An answer that has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Bytes of the body, as it was sent and without its coding into chunks.
    pub(crate) body: u64,
    /// No other can come on this connection.
    pub(crate) closes: bool,
}

/// What is wrong with an answer. The text is for the user's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) String);

#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// The beginning of a head that is not whole yet.
    head: Vec<u8>,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    Chunked(Chunked),
    /// The end of the connection is the end of the body.
    UntilClosed,
}

/// What a head says.
struct Head {
    length: usize,
    status: u16,
    body: Body,
    closes: bool,
}

#[derive(Clone, Copy)]
enum Body {
    Length(u64),
    Chunked,
    UntilClosed,
}

impl Decoder {
    pub(crate) fn new() -> Decoder {
        let answer = Answer { status: 0, body: 0, closes: false };
        Decoder { state: State::Head, head: Vec::new(), answer }
    }

    /// Forgets an answer that will not go on.
    pub(crate) fn reset(&mut self) {
        self.state = State::Head;
        self.head.clear();
    }

    /// Whether a part of an answer has come.
    pub(crate) fn is_within(&self) -> bool {
        self.state != State::Head || !self.head.is_empty()
    }

    /// Reads from `data` up to the end of an answer. Gives the bytes taken, and the answer if it
    /// is complete.
    pub(crate) fn take(
        &mut self,
        data: &[u8],
        is_head: bool,
    ) -> Result<(usize, Option<Answer>), Malformed> {
        let mut at = 0;
        loop {
            match self.state {
                State::Head => {
                    let Some(taken) = self.take_head(&data[at..], is_head)? else {
                        return Ok((data.len(), None));
                    };
                    at += taken;
                }
                State::Length(left) => {
                    let count = left.min((data.len() - at) as u64);
                    at += count as usize;
                    if count == left {
                        return Ok((at, Some(self.complete())));
                    }
                    self.state = State::Length(left - count);
                    return Ok((at, None));
                }
                State::Chunked(mut chunked) => {
                    let (taken, body) =
                        chunked.take(&data[at..]).map_err(|what| Malformed(what.into()))?;
                    self.answer.body += body;
                    if chunked == Chunked::Over {
                        return Ok((at + taken, Some(self.complete())));
                    }
                    self.state = State::Chunked(chunked);
                    return Ok((at + taken, None));
                }
                State::UntilClosed => {
                    self.answer.body += (data.len() - at) as u64;
                    return Ok((data.len(), None));
                }
            }
        }
    }

    /// The connection is at its end, which may be the end of an answer.
    pub(crate) fn end(&mut self) -> Option<Answer> {
        (self.state == State::UntilClosed).then(|| self.complete())
    }

    fn complete(&mut self) -> Answer {
        self.state = State::Head;
        self.answer
    }

    /// Reads a head. Gives what it took of `data`, or `None` if it took all and the head goes on.
    fn take_head(&mut self, data: &[u8], is_head: bool) -> Result<Option<usize>, Malformed> {
        if data.is_empty() {
            return Ok(None);
        }
        if self.head.is_empty() {
            let Some(head) = Head::parse(data, is_head)? else {
                self.keep(data)?;
                return Ok(None);
            };
            self.enter(&head);
            return Ok(Some(head.length));
        }
        let before = self.head.len();
        let room = (LONGEST_HEAD - before).min(data.len());
        self.head.extend_from_slice(&data[..room]);
        let Some(head) = Head::parse(&self.head, is_head)? else {
            return if room < data.len() || self.head.len() >= LONGEST_HEAD {
                Err(too_long())
            } else {
                Ok(None)
            };
        };
        self.head.clear();
        self.enter(&head);
        Ok(Some(head.length - before))
    }

    fn keep(&mut self, data: &[u8]) -> Result<(), Malformed> {
        if data.len() >= LONGEST_HEAD {
            return Err(too_long());
        }
        self.head.extend_from_slice(data);
        Ok(())
    }

    fn enter(&mut self, head: &Head) {
        // What comes before the answer, such as 103, is not the answer.
        if (100..200).contains(&head.status) && head.status != 101 {
            return;
        }
        self.answer = Answer { status: head.status, body: 0, closes: head.closes };
        self.state = match head.body {
            Body::Length(length) => {
                self.answer.body = length;
                State::Length(length)
            }
            Body::Chunked => State::Chunked(Chunked::START),
            Body::UntilClosed => {
                self.answer.closes = true;
                State::UntilClosed
            }
        };
    }
}

impl Head {
    /// `None` if it is not whole.
    fn parse(data: &[u8], is_head: bool) -> Result<Option<Head>, Malformed> {
        let mut headers = [const { MaybeUninit::uninit() }; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            data,
            &mut headers,
        );
        let length = match parsed {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(Malformed(format!("a head that is none: {error}"))),
        };
        let status = response.code.unwrap_or_default();
        let mut head =
            Head { length, status, body: Body::UntilClosed, closes: response.version == Some(0) };
        let (mut content_length, mut is_chunked, mut has_coding) = (None, false, false);
        for header in response.headers.iter() {
            let (name, value) = (header.name, header.value);
            match name.len() {
                14 if name.eq_ignore_ascii_case("content-length") => {
                    content_length = Some(length_of(value, content_length)?);
                }
                17 if name.eq_ignore_ascii_case("transfer-encoding") => {
                    has_coding = true;
                    // What counts is the last one.
                    is_chunked = last_of(value).eq_ignore_ascii_case(b"chunked");
                }
                10 if name.eq_ignore_ascii_case("connection") => {
                    head.closes = closes(value, head.closes);
                }
                _ => {}
            }
        }
        head.body = match content_length {
            _ if is_head || matches!(status, 100..200 | 204 | 304) => Body::Length(0),
            _ if is_chunked => Body::Chunked,
            Some(length) if !has_coding => Body::Length(length),
            _ => Body::UntilClosed,
        };
        Ok(Some(head))
    }
}

fn too_long() -> Malformed {
    Malformed(format!("a head of more than {} KiB", LONGEST_HEAD >> 10))
}

/// Said twice, it must be the same.
fn length_of(value: &[u8], before: Option<u64>) -> Result<u64, Malformed> {
    let wrong = || Malformed(format!("a Content-Length of `{}`", value.escape_ascii()));
    let mut length = before;
    for part in value.split(|byte| *byte == b',') {
        let digits = part.trim_ascii();
        if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
            return Err(wrong());
        }
        let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
        if *length.get_or_insert(number) != number {
            return Err(Malformed("two Content-Lengths that differ".into()));
        }
    }
    length.ok_or_else(wrong)
}

fn last_of(value: &[u8]) -> &[u8] {
    value.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

fn closes(value: &[u8], before: bool) -> bool {
    let words = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    words.fold(before, |before, word| match word {
        word if word.eq_ignore_ascii_case(b"close") => true,
        word if word.eq_ignore_ascii_case(b"keep-alive") => false,
        _ => before,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: u64, closes: bool) -> Answer {
        Answer { status, body, closes }
    }

    /// All answers in `data`, read in pieces of `step` bytes, then the end.
    fn read(data: &[u8], step: usize, is_head: bool) -> Result<Vec<Answer>, Malformed> {
        let mut decoder = Decoder::new();
        let mut answers = Vec::new();
        for mut piece in data.chunks(step) {
            while !piece.is_empty() {
                let (taken, answer) = decoder.take(piece, is_head)?;
                answers.extend(answer);
                piece = &piece[taken..];
            }
        }
        answers.extend(decoder.end());
        Ok(answers)
    }

    #[track_caller]
    fn reads(data: &[u8], is_head: bool, right: &[Answer]) {
        for step in [1, 2, 3, 7, data.len()] {
            assert_eq!(read(data, step, is_head).unwrap(), right, "in pieces of {step}");
        }
    }

    #[test]
    fn pipelined_answers_are_read_in_any_pieces() {
        let data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\
            HTTP/1.1 204 No Content\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n\
            HTTP/1.1 404 Not Found\r\ncontent-length:0\r\nConnection: close\r\n\r\n";
        let right = [
            answer(200, 5, false),
            answer(204, 0, false),
            answer(200, 3, false),
            answer(304, 0, false),
            answer(404, 0, true),
        ];
        reads(data, false, &right);
    }

    #[test]
    fn what_comes_before_the_answer_is_passed_over() {
        let data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        reads(data, false, &[answer(200, 2, false)]);
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_is_the_end() {
        reads(b"HTTP/1.1 200 OK\r\n\r\nall of this", false, &[answer(200, 11, true)]);
        reads(b"HTTP/1.0 200 OK\r\n\r\n", false, &[answer(200, 0, true)]);
        let coded = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nContent-Length: 1\r\n\r\nabc";
        reads(coded, false, &[answer(200, 3, true)]);
    }

    #[test]
    fn answers_to_head_have_no_body() {
        let data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        reads(data, true, &[answer(200, 0, false), answer(200, 0, false)]);
    }

    #[test]
    fn who_keeps_the_connection_is_said_in_the_head() {
        let old = b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\nx";
        reads(old, false, &[answer(200, 1, false)]);
        let old = b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx";
        reads(old, false, &[answer(200, 1, true)]);
        let new = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: foo, CLOSE\r\n\r\nx";
        reads(new, false, &[answer(200, 1, true)]);
    }

    #[test]
    fn a_chunked_answer_beats_its_content_length() {
        let data = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: gzip, chunked\r\n\
            \r\n1\r\nx\r\n0\r\n\r\n";
        reads(data, false, &[answer(200, 1, false)]);
    }

    #[test]
    fn a_cut_answer_is_not_complete() {
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", 3, false), Ok(vec![]));
        let mut decoder = Decoder::new();
        assert!(!decoder.is_within());
        decoder.take(b"HTTP/1.1 2", false).unwrap();
        assert!(decoder.is_within());
        decoder.reset();
        assert!(!decoder.is_within());
    }

    #[test]
    fn malformed_answers_are_named() {
        let long = [&b"HTTP/1.1 200 OK\r\nX: "[..], &[b'a'; 70_000]].concat();
        let many = ["HTTP/1.1 200 OK\r\n".to_owned(), "a: b\r\n".repeat(200)].concat();
        for (data, words) in [
            (&b"SSH-2.0-OpenSSH\r\n"[..], "a head that is none"),
            (b"HTTP/1.1 xx OK\r\n\r\n", "a head that is none"),
            (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a head that is none"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "a Content-Length of `-1`"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n", "a Content-Length of ``"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", "Content-Length"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n", "two Content-Lengths"),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                "two Content-Lengths",
            ),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk size"),
            (long.as_slice(), "more than 64 KiB"),
            (many.as_bytes(), "a head that is none"),
        ] {
            for step in [11, data.len()] {
                let problem = read(data, step, false).unwrap_err();
                let shown = &data[..data.len().min(60)];
                assert!(problem.0.contains(words), "{}: {}", shown.escape_ascii(), problem.0);
            }
        }
        let same = b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx";
        reads(same, false, &[answer(200, 1, false)]);
    }
}
