//! Where an archive ends that a kill may have torn: after its last whole record. What is appended
//! after half a record no reader finds.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use flate2::bufread::GzDecoder;

/// Bytes of whole records at the head of `file`. The error is `InvalidData` where something else
/// than a record stands, so that nothing of value is cut off.
pub(crate) fn of(file: &File, is_packed: bool) -> io::Result<u64> {
    let mut input = Counted { input: BufReader::new(file), taken: 0 };
    let mut whole = 0;
    while !input.fill_buf()?.is_empty() {
        let read = if is_packed { skip_member(&mut input) } else { skip_record(&mut input) };
        match read {
            Ok(()) => whole = input.taken,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
            Err(error) => return Err(error),
        }
    }
    Ok(whole)
}

fn skip_member(input: &mut impl BufRead) -> io::Result<()> {
    let mut member = GzDecoder::new(input);
    let read = io::copy(&mut member, &mut io::sink());
    let is_gzip = member.header().is_some();
    read.map(drop).map_err(|error| match error.kind() {
        ErrorKind::InvalidInput if !is_gzip => no_record(),
        _ => error,
    })
}

/// A head of lines, an empty line, a body of the length that the head says, two line ends.
fn skip_record(input: &mut impl BufRead) -> io::Result<()> {
    let mut length = None;
    let mut line = Vec::new();
    for number in 0.. {
        line.clear();
        input.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if number == 0 && !line.starts_with(b"WARC/") {
            return Err(no_record());
        }
        let text = String::from_utf8_lossy(&line);
        match text.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse::<u64>().ok();
            }
            None if text.trim_end().is_empty() => break,
            _ => {}
        }
    }
    let wanted = length.ok_or_else(no_record)?.saturating_add(4);
    let skipped = io::copy(&mut input.take(wanted), &mut io::sink())?;
    if skipped < wanted { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
}

fn no_record() -> io::Error {
    io::Error::new(ErrorKind::InvalidData, "it is no WARC file")
}

/// Knows how much was taken.
struct Counted<R> {
    input: R,
    taken: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.taken += read as u64;
        Ok(read)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.taken += count as u64;
        self.input.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, SeekFrom, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn record(body: &str) -> Vec<u8> {
        let head = format!("WARC/1.1\r\nWARC-Type: x\r\nContent-Length: {}\r\n\r\n", body.len());
        format!("{head}{body}\r\n\r\n").into_bytes()
    }

    fn packed(record: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(record).unwrap();
        encoder.finish().unwrap()
    }

    fn end_of(name: &str, bytes: &[u8], is_packed: bool) -> io::Result<u64> {
        let name = format!("wheelhouse-warc-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = File::options();
        let opened = options.create(true).truncate(true).read(true).write(true).open(&path);
        let mut file = opened.unwrap();
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let end = of(&file, is_packed);
        std::fs::remove_file(&path).unwrap();
        end
    }

    #[test]
    fn an_archive_torn_at_any_byte_ends_at_its_last_whole_record() {
        let records = [record("one"), record("two\r\n\r\nWARC/1.1\r\n"), record("")];
        for is_packed in [false, true] {
            let pieces =
                records.iter().map(|one| if is_packed { packed(one) } else { one.clone() });
            let pieces: Vec<Vec<u8>> = pieces.collect();
            let all = pieces.concat();
            let ends = [0, pieces[0].len(), pieces[0].len() + pieces[1].len(), all.len()];
            for cut in 0..=all.len() {
                let whole = ends.iter().rfind(|end| **end <= cut).unwrap();
                let end = end_of("torn", &all[..cut], is_packed);
                assert_eq!(end.unwrap(), *whole as u64, "cut at {cut}, packed: {is_packed}");
            }
        }
    }

    #[test]
    fn what_is_no_archive_is_left_as_it_is() {
        for is_packed in [false, true] {
            let error = end_of("other", b"a letter to my aunt\n", is_packed).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData);
        }
    }
}
