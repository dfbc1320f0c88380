//! The chunked coding, read in place: chunks are counted, extensions and trailers passed over.
//!
//! It is strict, as a tester should be: a server that writes a lone LF, a size that is none, or a
//! chunk that is longer than it said, is told so.

/// Where in the coding the next byte belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunked {
    Size { value: u64, digits: u8 },
    Extension { length: u32, size: u64 },
    SizeEnds { size: u64 },
    Data { left: u64 },
    DataEnds { has_cr: bool },
    Trailer { length: u32, line: u32, has_cr: bool },
    Over,
}

/// Longer extensions and trailers are not for good.
const LONGEST_EXTRA: u32 = 64 * 1024;

impl Chunked {
    pub(crate) const START: Chunked = Chunked::Size { value: 0, digits: 0 };

    /// Reads from `data` until it or the coding ends. Gives the bytes taken, and how many of them
    /// are of the body.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<(usize, u64), &'static str> {
        let (mut at, mut body) = (0, 0);
        while at < data.len() && *self != Chunked::Over {
            if let Chunked::Data { left } = self {
                let count = (*left).min((data.len() - at) as u64);
                at += count as usize;
                body += count;
                *left -= count;
                if *left == 0 {
                    *self = Chunked::DataEnds { has_cr: false };
                }
                continue;
            }
            *self = self.after(data[at])?;
            at += 1;
        }
        Ok((at, body))
    }

    fn after(self, byte: u8) -> Result<Chunked, &'static str> {
        match self {
            Chunked::Size { value, digits } => Chunked::size(value, digits, byte),
            Chunked::Extension { size, .. } if byte == b'\r' => Ok(Chunked::SizeEnds { size }),
            Chunked::Extension { length, .. } if length >= LONGEST_EXTRA => {
                Err("a chunk extension without an end")
            }
            Chunked::Extension { .. } if byte == b'\n' => Err("a lone LF after a chunk size"),
            Chunked::Extension { length, size } => {
                Ok(Chunked::Extension { length: length + 1, size })
            }
            Chunked::SizeEnds { .. } if byte != b'\n' => Err("no LF after a chunk size"),
            Chunked::SizeEnds { size: 0 } => {
                Ok(Chunked::Trailer { length: 0, line: 0, has_cr: false })
            }
            Chunked::SizeEnds { size } => Ok(Chunked::Data { left: size }),
            Chunked::DataEnds { has_cr: false } if byte == b'\r' => {
                Ok(Chunked::DataEnds { has_cr: true })
            }
            Chunked::DataEnds { has_cr: true } if byte == b'\n' => Ok(Chunked::START),
            Chunked::DataEnds { .. } => Err("a chunk that is longer than its size"),
            Chunked::Trailer { length, line, has_cr } => {
                Chunked::trailer(length, line, has_cr, byte)
            }
            Chunked::Data { .. } | Chunked::Over => Ok(self),
        }
    }

    fn size(value: u64, digits: u8, byte: u8) -> Result<Chunked, &'static str> {
        let digit = (byte as char).to_digit(16);
        match (digit, byte) {
            (Some(_), _) if digits == 16 => Err("a chunk size beyond 64 bits"),
            (Some(digit), _) => {
                Ok(Chunked::Size { value: value << 4 | u64::from(digit), digits: digits + 1 })
            }
            _ if digits == 0 => Err("a chunk size that is no number"),
            (None, b'\r') => Ok(Chunked::SizeEnds { size: value }),
            (None, b';' | b' ' | b'\t') => Ok(Chunked::Extension { length: 0, size: value }),
            (None, b'\n') => Err("a lone LF after a chunk size"),
            (None, _) => Err("a chunk size that is no number"),
        }
    }

    fn trailer(length: u32, line: u32, has_cr: bool, byte: u8) -> Result<Chunked, &'static str> {
        match byte {
            _ if length >= LONGEST_EXTRA => Err("trailers without an end"),
            b'\n' if has_cr && line == 0 => Ok(Chunked::Over),
            b'\n' if has_cr => Ok(Chunked::Trailer { length: length + 1, line: 0, has_cr: false }),
            b'\n' => Err("a lone LF in the trailers"),
            _ if has_cr => Err("a lone CR in the trailers"),
            b'\r' => Ok(Chunked::Trailer { length: length + 1, line, has_cr: true }),
            _ => Ok(Chunked::Trailer { length: length + 1, line: line + 1, has_cr: false }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(data: &[u8]) -> Result<(usize, u64, bool), &'static str> {
        let mut chunked = Chunked::START;
        let (taken, body) = chunked.take(data)?;
        Ok((taken, body, chunked == Chunked::Over))
    }

    #[test]
    fn chunks_extensions_and_trailers_are_read() {
        assert_eq!(whole(b"0\r\n\r\nNEXT"), Ok((5, 0, true)));
        let full = b"5;a=b\r\nhello\r\n0A \r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\nNEXT";
        assert_eq!(whole(full), Ok((full.len() - 4, 15, true)));
        assert_eq!(whole(b"5\r\nhel"), Ok((6, 3, false)));
    }

    #[test]
    fn any_cut_reads_the_same() {
        let full = b"5;a=b\r\nhello\r\n0A\r\n0123456789\r\n0\r\nX: y\r\n\r\n";
        for cut in 0..=full.len() {
            let mut chunked = Chunked::START;
            let (first, body) = chunked.take(&full[..cut]).unwrap();
            let (second, more) = chunked.take(&full[cut..]).unwrap();
            assert_eq!((first, second), (cut, full.len() - cut));
            assert_eq!((body + more, chunked), (15, Chunked::Over), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (data, words) in [
            (&b"x\r\n"[..], "no number"),
            (b"\r\n", "no number"),
            (b"-5\r\n", "no number"),
            (b"5x\r\n", "no number"),
            (b"5\nhello", "lone LF"),
            (b"5;a\nhello", "lone LF"),
            (b"5\rhello", "no LF"),
            (b"5\r\nhello!\r\n", "longer than its size"),
            (b"5\r\nhello\rx", "longer than its size"),
            (b"fffffffffffffffff\r\n", "64 bits"),
            (b"0\r\nX: y\n\r\n", "lone LF in the trailers"),
            (b"0\r\nX: y\rz", "lone CR in the trailers"),
        ] {
            let problem = whole(data).unwrap_err();
            assert!(problem.contains(words), "{:?} gave {problem}", data.escape_ascii());
        }
        let endless = [b"5;".to_vec(), vec![b'a'; 70_000]].concat();
        assert!(whole(&endless).unwrap_err().contains("extension"));
        let endless = [b"0\r\n".to_vec(), vec![b'a'; 70_000]].concat();
        assert!(whole(&endless).unwrap_err().contains("trailers"));
    }
}
