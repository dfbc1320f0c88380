//! The exchange of messages with an echo server: what is sent must come back, byte for byte.

use crate::exchange::{Answered, Wrong};
use crate::failure::Kind;
use crate::pattern::Pattern;

/// One connection's stream of messages, by positions in it.
#[derive(Debug)]
pub(crate) struct Echo {
    pattern: Pattern,
    size: u64,
    /// Positions: of the messages begun, of what the kernel took, of what came back.
    begun: u64,
    sent: u64,
    received: u64,
    /// Where the oldest message under way ends.
    answer_ends: u64,
}

impl Echo {
    pub(crate) fn new(connection: usize, size: u64) -> Echo {
        let pattern = Pattern::new(connection);
        Echo { pattern, size, begun: 0, sent: 0, received: 0, answer_ends: size }
    }

    pub(crate) fn begin(&mut self) {
        self.begun += self.size;
    }

    pub(crate) fn unsent(&self) -> u64 {
        self.begun - self.sent
    }

    pub(crate) fn to_send<'a>(&self, buffer: &'a mut [u8]) -> &'a [u8] {
        let len = self.unsent().min(buffer.len() as u64) as usize;
        let data = &mut buffer[..len];
        self.pattern.fill(self.sent, data);
        data
    }

    pub(crate) fn sent(&mut self, count: usize) {
        self.sent += count as u64;
    }

    /// Another connection, which begins at the beginning.
    pub(crate) fn restart(&mut self) {
        (self.begun, self.sent, self.received, self.answer_ends) = (0, 0, 0, self.size);
    }

    pub(crate) fn is_within(&self) -> bool {
        self.received + self.size > self.answer_ends
    }

    pub(crate) fn receive(
        &mut self,
        data: &[u8],
        mut answered: impl FnMut(Answered),
    ) -> Result<(), Wrong> {
        self.compare(data)?;
        self.received += data.len() as u64;
        while self.answer_ends <= self.received {
            self.answer_ends += self.size;
            answered(Answered { status: 0, body: self.size, closes: false });
        }
        Ok(())
    }

    fn compare(&self, data: &[u8]) -> Result<(), Wrong> {
        let text = match self.pattern.first_difference(self.received, data) {
            Some((at, right)) => {
                let position = self.received + at as u64;
                let (message, byte) = (position / self.size, position % self.size);
                let wrong = data[at];
                format!(
                    "message {message}, byte {byte} came back as {wrong:#04x} instead of \
                     {right:#04x} (messages and bytes counted from 0)"
                )
            }
            None if self.received + data.len() as u64 > self.sent => {
                "more came back than was sent".into()
            }
            None => return Ok(()),
        };
        Err(Wrong { kind: Kind::Mismatch, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_in_any_pieces() {
        let mut echo = Echo::new(3, 10);
        (0..3).for_each(|_| echo.begin());
        let mut buffer = [0; 64];
        let data = echo.to_send(&mut buffer).to_vec();
        assert_eq!(data.len(), 30);
        echo.sent(30);
        let mut answers = 0;
        assert!(!echo.is_within());
        for piece in data.chunks(7) {
            echo.receive(piece, |answer| answers += answer.body).unwrap();
        }
        assert_eq!((answers, echo.unsent(), echo.is_within()), (30, 0, false));
    }

    #[test]
    fn a_part_of_a_message_is_within_it() {
        let mut echo = Echo::new(0, 10);
        echo.begin();
        let mut buffer = [0; 64];
        let data = echo.to_send(&mut buffer).to_vec();
        echo.sent(10);
        echo.receive(&data[..1], |_| panic!("that is not all")).unwrap();
        assert!(echo.is_within());
        let wrong = echo.receive(&[data[1] ^ 1], |_| {}).unwrap_err();
        assert!(wrong.text.starts_with("message 0, byte 1 came back as"), "{}", wrong.text);
    }
}
