//! What is said on one connection whose answers come in the order of the questions: bytes to send,
//! bytes that came, and the answers in them. No sockets and no clock here.

use std::rc::Rc;

use crate::echo::Echo;
use crate::failure::Kind;
use crate::http::request::Wire;
use crate::http::response::{Answer, Decoder};

pub(crate) type Answered = Answer;

/// An answer that is not one. The text is for the user's eyes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

#[derive(Debug)]
pub(crate) enum Exchange {
    Echo(Echo),
    Http(Http),
}

/// Requests go round a list, and answers after them.
#[derive(Debug)]
pub(crate) struct Http {
    requests: Rc<[Wire]>,
    /// The first request that is not sent whole, and how much of it is.
    sending: usize,
    offset: usize,
    /// How many requests are not sent whole, from there on, and their bytes.
    unsent: usize,
    unsent_bytes: u64,
    /// The request whose answer comes next, and how many answers are due.
    answering: usize,
    due: usize,
    decoder: Decoder,
}

impl Http {
    /// At least one request; `first` says where in the list to begin.
    pub(crate) fn new(requests: Rc<[Wire]>, first: usize) -> Http {
        let first = first % requests.len();
        Http {
            requests,
            sending: first,
            offset: 0,
            unsent: 0,
            unsent_bytes: 0,
            answering: first,
            due: 0,
            decoder: Decoder::new(),
        }
    }

    #[inline]
    fn after(&self, request: usize) -> usize {
        if request + 1 == self.requests.len() { 0 } else { request + 1 }
    }

    fn begin(&mut self) {
        let ahead = (self.sending + self.unsent) % self.requests.len();
        self.unsent += 1;
        self.due += 1;
        self.unsent_bytes += self.requests[ahead].bytes.len() as u64;
    }

    fn to_send<'a>(&'a self, buffer: &'a mut [u8]) -> &'a [u8] {
        let first = &self.requests[self.sending].bytes[self.offset..];
        // Most of the time there is one, and it can be sent from where it is.
        if self.unsent == 1 {
            return first;
        }
        let (mut len, mut request, mut rest) = (0, self.sending, first);
        for _ in 0..self.unsent {
            let count = rest.len().min(buffer.len() - len);
            buffer[len..len + count].copy_from_slice(&rest[..count]);
            len += count;
            request = self.after(request);
            rest = &self.requests[request].bytes;
        }
        &buffer[..len]
    }

    fn sent(&mut self, count: usize) {
        self.unsent_bytes -= count as u64;
        let mut count = count;
        while self.unsent > 0 {
            let rest = self.requests[self.sending].bytes.len() - self.offset;
            if count < rest {
                self.offset += count;
                return;
            }
            count -= rest;
            self.offset = 0;
            self.unsent -= 1;
            self.sending = self.after(self.sending);
        }
    }

    #[inline]
    fn receive(&mut self, data: &[u8], mut answered: impl FnMut(Answered)) -> Result<(), Wrong> {
        let mut at = 0;
        while at < data.len() {
            if self.due == 0 {
                return Err(Wrong {
                    kind: Kind::Malformed,
                    text: "something came that no request had asked for".into(),
                });
            }
            let is_head = self.requests[self.answering].is_head;
            let taken = self.decoder.take(&data[at..], is_head);
            let (taken, answer) =
                taken.map_err(|malformed| Wrong { kind: Kind::Malformed, text: malformed.0 })?;
            at += taken;
            if let Some(answer) = answer {
                self.answering = self.after(self.answering);
                self.due -= 1;
                answered(answer);
                if answer.closes {
                    // What may follow answers nothing.
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Begins anew on another connection, with the request whose answer was due.
    fn restart(&mut self) {
        self.sending = self.answering;
        (self.offset, self.unsent, self.unsent_bytes, self.due) = (0, 0, 0, 0);
        self.decoder.reset();
    }
}

impl Exchange {
    /// One more message is to be sent.
    #[inline]
    pub(crate) fn begin(&mut self) {
        match self {
            Exchange::Echo(echo) => echo.begin(),
            Exchange::Http(http) => http.begin(),
        }
    }

    /// Bytes of messages begun that are not sent.
    #[inline]
    pub(crate) fn unsent(&self) -> u64 {
        match self {
            Exchange::Echo(echo) => echo.unsent(),
            Exchange::Http(http) => http.unsent_bytes,
        }
    }

    /// What to send next; only asked for when something is. The buffer is there to be used.
    #[inline]
    pub(crate) fn to_send<'a>(&'a self, buffer: &'a mut [u8]) -> &'a [u8] {
        match self {
            Exchange::Echo(echo) => echo.to_send(buffer),
            Exchange::Http(http) => http.to_send(buffer),
        }
    }

    #[inline]
    pub(crate) fn sent(&mut self, count: usize) {
        match self {
            Exchange::Echo(echo) => echo.sent(count),
            Exchange::Http(http) => http.sent(count),
        }
    }

    /// Calls back for each answer that `data` completes, in the order of the messages.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        data: &[u8],
        answered: impl FnMut(Answered),
    ) -> Result<(), Wrong> {
        match self {
            Exchange::Echo(echo) => echo.receive(data, answered),
            Exchange::Http(http) => http.receive(data, answered),
        }
    }

    /// The peer has ended the connection: the end of the answer that comes, if it is one that ends
    /// so.
    pub(crate) fn end(&mut self) -> Option<Answered> {
        match self {
            Exchange::Echo(_) => None,
            Exchange::Http(http) => {
                let answer = http.decoder.end()?;
                http.answering = http.after(http.answering);
                http.due = http.due.saturating_sub(1);
                Some(answer)
            }
        }
    }

    /// Whether a part of an answer has come.
    #[inline]
    pub(crate) fn is_within(&self) -> bool {
        match self {
            Exchange::Echo(echo) => echo.is_within(),
            Exchange::Http(http) => http.decoder.is_within(),
        }
    }

    /// Begins anew on another connection, without what is under way: the next request is the one
    /// after it, or one that is never answered would be all that is asked for.
    pub(crate) fn give_up(&mut self) {
        if let Exchange::Http(http) = self {
            for _ in 0..http.due {
                http.answering = http.after(http.answering);
            }
        }
        self.restart();
    }

    /// Begins anew on another connection. Answers still due are forgotten.
    pub(crate) fn restart(&mut self) {
        match self {
            Exchange::Echo(echo) => echo.restart(),
            Exchange::Http(http) => http.restart(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(requests: &[&str]) -> Exchange {
        let wire = |text: &&str| Wire {
            bytes: text.as_bytes().to_vec(),
            is_head: text.starts_with("HEAD"),
        };
        Exchange::Http(Http::new(requests.iter().map(wire).collect(), 0))
    }

    fn sends(exchange: &mut Exchange, step: usize) -> String {
        let mut text = String::new();
        let mut buffer = [0; 16];
        while exchange.unsent() > 0 {
            let data = exchange.to_send(&mut buffer);
            let count = data.len().min(step);
            text.push_str(std::str::from_utf8(&data[..count]).unwrap());
            exchange.sent(count);
        }
        text
    }

    #[test]
    fn requests_go_round_whatever_the_kernel_takes() {
        for step in [1, 5, 16, 100] {
            let mut exchange = http(&["first;", "the second, which is longer;", "3;"]);
            (0..5).for_each(|_| exchange.begin());
            let right = "first;the second, which is longer;3;first;the second, which is longer;";
            assert_eq!(exchange.unsent(), right.len() as u64);
            assert_eq!(sends(&mut exchange, step), right);
            exchange.begin();
            assert_eq!(sends(&mut exchange, step), "3;");
        }
    }

    #[test]
    fn the_answer_to_head_is_known_by_its_place() {
        let mut exchange = http(&["HEAD", "GET"]);
        (0..3).for_each(|_| exchange.begin());
        sends(&mut exchange, 99);
        let mut bodies = Vec::new();
        let data = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
            HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        exchange.receive(data, |answer| bodies.push(answer.body)).unwrap();
        assert_eq!(bodies, [0, 2, 0]);
        assert!(!exchange.is_within());
        let more = exchange.receive(b"HTTP/1.1 200 OK\r\n", |_| {}).unwrap_err();
        assert!(more.kind == Kind::Malformed && more.text.contains("no request had asked"));
    }

    #[test]
    fn what_was_not_answered_is_sent_anew() {
        let mut exchange = http(&["a;", "b;", "c;"]);
        (0..3).for_each(|_| exchange.begin());
        sends(&mut exchange, 99);
        let mut answers = 0;
        let data = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\nHTTP";
        exchange.receive(data, |_| answers += 1).unwrap();
        assert_eq!(answers, 1);
        exchange.restart();
        (0..2).for_each(|_| exchange.begin());
        assert_eq!(sends(&mut exchange, 99), "b;c;");
    }
}
