//! Bodies as they arrive: content codings undone on the way, and never more kept than was allowed.
//!
//! A kilobyte of gzip can stand for a megabyte. So the limit holds for what comes out, and output
//! out of all proportion to the input is a bomb, whatever its size: it is thrown away.

use std::io::{self, Read, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// What the client asks for.
pub(crate) const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// Output may grow to this before proportion is looked at: small pages compress well.
const NO_BOMB_BELOW: usize = 1 << 20;

/// Text does not compress better than this.
const LARGEST_RATIO: usize = 200;

/// RFC 9659 lets a sender assume no larger window than this.
const ZSTD_WINDOW: u64 = 8 << 20;

/// Why a body did not come out whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The limit is reached; what was kept is the beginning.
    TooLarge,
    Bomb,
    /// It is not what its coding says.
    Corrupt,
    /// A coding that was not asked for.
    UnknownCoding,
}

impl Stop {
    const ALL: [Stop; 4] = [Stop::TooLarge, Stop::Bomb, Stop::Corrupt, Stop::UnknownCoding];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Stop::TooLarge => "too-large",
            Stop::Bomb => "bomb",
            Stop::Corrupt => "corrupt",
            Stop::UnknownCoding => "unknown-coding",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Stop> {
        Stop::ALL.into_iter().find(|stop| stop.name() == name)
    }
}

pub(crate) struct Decoder {
    coding: Coding,
    /// Bytes put in.
    taken: usize,
}

enum Coding {
    Identity(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
    /// Which of the two dialects is seen at the first byte.
    Deflate(Bounded),
    Zlib(Box<ZlibDecoder<Bounded>>),
    Raw(Box<DeflateDecoder<Bounded>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Bounded>>),
    /// Collected, and undone at the end; the flag is the limit of what comes out.
    Zstd(Bounded),
}

impl Decoder {
    /// `coding` is the header `Content-Encoding`; `limit` counts decoded bytes.
    pub(crate) fn new(coding: Option<&str>, limit: usize) -> Result<Decoder, Stop> {
        let out = Bounded { kept: Vec::new(), limit, is_over: false };
        let coding = match coding.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Coding::Identity(out),
            "gzip" | "x-gzip" => Coding::Gzip(Box::new(MultiGzDecoder::new(out))),
            "deflate" => Coding::Deflate(out),
            "br" => {
                let decoder = brotli_decompressor::DecompressorWriter::new(out, 4096);
                Coding::Brotli(Box::new(decoder))
            }
            "zstd" => Coding::Zstd(out),
            _ => return Err(Stop::UnknownCoding),
        };
        Ok(Decoder { coding, taken: 0 })
    }

    /// Takes what has arrived. After an error only [`Decoder::into_kept`] makes sense.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), Stop> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.taken += chunk.len();
        if let Coding::Deflate(out) = &mut self.coding {
            let out = std::mem::take(out);
            // The low half of zlib's first byte is 8; of a raw stream it is not in practice.
            self.coding = if chunk[0] & 0x0f == 8 {
                Coding::Zlib(Box::new(ZlibDecoder::new(out)))
            } else {
                Coding::Raw(Box::new(DeflateDecoder::new(out)))
            };
        }
        let result = match &mut self.coding {
            Coding::Identity(out) | Coding::Deflate(out) | Coding::Zstd(out) => {
                out.write_all(chunk)
            }
            Coding::Gzip(decoder) => decoder.write_all(chunk).and_then(|()| decoder.flush()),
            Coding::Zlib(decoder) => decoder.write_all(chunk).and_then(|()| decoder.flush()),
            Coding::Raw(decoder) => decoder.write_all(chunk).and_then(|()| decoder.flush()),
            Coding::Brotli(decoder) => decoder.write_all(chunk),
        };
        self.check(result)
    }

    fn check(&mut self, result: io::Result<()>) -> Result<(), Stop> {
        let taken = self.taken;
        let is_coded = !matches!(self.coding, Coding::Identity(_) | Coding::Zstd(_));
        let out = self.out();
        let ratio = out.kept.len() / taken.max(1);
        if is_coded && out.kept.len() >= NO_BOMB_BELOW.min(out.limit) && ratio > LARGEST_RATIO {
            return Err(Stop::Bomb);
        }
        match (out.is_over, result) {
            (true, _) => Err(Stop::TooLarge),
            (false, Err(_)) => Err(Stop::Corrupt),
            (false, Ok(())) => Ok(()),
        }
    }

    /// The body is over: what is still inside the decoder comes out.
    pub(crate) fn finish(&mut self) -> Result<(), Stop> {
        let result = match &mut self.coding {
            Coding::Identity(_) | Coding::Deflate(_) => return Ok(()),
            Coding::Gzip(decoder) => decoder.try_finish(),
            Coding::Zlib(decoder) => decoder.try_finish(),
            Coding::Raw(decoder) => decoder.try_finish(),
            Coding::Brotli(decoder) => decoder.close(),
            Coding::Zstd(out) => return unzstd(out),
        };
        self.check(result)
    }

    /// What has come out so far.
    pub(crate) fn into_kept(mut self) -> Vec<u8> {
        std::mem::take(&mut self.out().kept)
    }

    fn out(&mut self) -> &mut Bounded {
        match &mut self.coding {
            Coding::Identity(out) | Coding::Deflate(out) | Coding::Zstd(out) => out,
            Coding::Gzip(decoder) => decoder.get_mut(),
            Coding::Zlib(decoder) => decoder.get_mut(),
            Coding::Raw(decoder) => decoder.get_mut(),
            Coding::Brotli(decoder) => decoder.get_mut(),
        }
    }
}

/// Replaces the collected frames by what they stand for.
fn unzstd(out: &mut Bounded) -> Result<(), Stop> {
    let coded = std::mem::take(&mut out.kept);
    let mut rest = coded.as_slice();
    while !rest.is_empty() {
        let mut frames = FrameDecoder::new();
        frames.set_max_window_size(ZSTD_WINDOW);
        let decoder = StreamingDecoder::new_with_decoder(&mut rest, frames);
        let mut decoder = decoder.map_err(|_| Stop::Corrupt)?;
        let room = (out.limit - out.kept.len()) as u64 + 1;
        let read = decoder.by_ref().take(room).read_to_end(&mut out.kept);
        let ratio = out.kept.len() / coded.len();
        if out.kept.len() >= NO_BOMB_BELOW.min(out.limit) && ratio > LARGEST_RATIO {
            return Err(Stop::Bomb);
        }
        if out.kept.len() > out.limit {
            out.kept.truncate(out.limit);
            return Err(Stop::TooLarge);
        }
        read.map_err(|_| Stop::Corrupt)?;
    }
    Ok(())
}

/// A vector with an end.
#[derive(Debug, Default)]
struct Bounded {
    kept: Vec<u8>,
    limit: usize,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, chunk: &[u8]) -> io::Result<usize> {
        let room = self.limit - self.kept.len();
        if chunk.len() > room {
            self.kept.extend_from_slice(&chunk[..room]);
            self.is_over = true;
            return Err(io::Error::other("the body is larger than allowed"));
        }
        self.kept.extend_from_slice(chunk);
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// All of it, in pieces of `step` bytes.
    fn decode(coding: &str, body: &[u8], step: usize, limit: usize) -> (Result<(), Stop>, Vec<u8>) {
        let mut decoder = Decoder::new(Some(coding), limit).unwrap();
        for chunk in body.chunks(step) {
            if let Err(stop) = decoder.push(chunk) {
                return (Err(stop), decoder.into_kept());
            }
        }
        (decoder.finish(), decoder.into_kept())
    }

    /// "hello, hello, hello" as brotli: the crate at hand only decodes.
    const BROTLI: &[u8] = b"\x0b\x09\x80hello, hello, hello\x03";

    #[test]
    fn every_coding_in_any_pieces() {
        let text = b"hello, hello, hello".repeat(100);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(&text).unwrap();
        let mut raw = DeflateEncoder::new(Vec::new(), Compression::default());
        raw.write_all(&text).unwrap();
        let zstd = compress_to_vec(text.as_slice(), CompressionLevel::Fastest);
        let bodies = [
            ("", text.clone()),
            ("GZIP", gzip(&text)),
            ("x-gzip", [gzip(&text[..900]), gzip(&text[900..])].concat()),
            ("deflate", zlib.finish().unwrap()),
            ("deflate", raw.finish().unwrap()),
            ("zstd", zstd),
        ];
        for (coding, body) in bodies {
            for step in [1, 7, body.len()] {
                let (result, kept) = decode(coding, &body, step, 1 << 20);
                assert_eq!((result, kept == text), (Ok(()), true), "{coding} in steps of {step}");
            }
        }
        let (result, kept) = decode("br", BROTLI, 3, 100);
        assert_eq!((result, kept.as_slice()), (Ok(()), &b"hello, hello, hello"[..]));
        assert_eq!(Decoder::new(Some("compress"), 1).err(), Some(Stop::UnknownCoding));
    }

    #[test]
    fn the_limit_is_of_what_comes_out() {
        let noise: Vec<u8> = (0..5000_u32).map(|at| ((at * at) >> 3) as u8).collect();
        let zstd = compress_to_vec(noise.as_slice(), CompressionLevel::Fastest);
        for (coding, body) in [("", noise.clone()), ("gzip", gzip(&noise)), ("zstd", zstd)] {
            let (result, kept) = decode(coding, &body, 100, 5000);
            assert_eq!((result, kept.len()), (Ok(()), 5000), "{coding}");
            let (result, kept) = decode(coding, &body, 100, 4999);
            assert_eq!((result, kept.len()), (Err(Stop::TooLarge), 4999), "{coding}");
            assert_eq!(kept, noise[..4999], "{coding}");
        }
    }

    #[test]
    fn a_bomb_is_seen_before_it_goes_off() {
        let zeros = vec![0; 64 << 20];
        let bomb = gzip(&zeros);
        assert!(bomb.len() < 1 << 17);
        let (result, kept) = decode("gzip", &bomb, 4096, 32 << 20);
        assert_eq!(result, Err(Stop::Bomb));
        assert!(kept.len() < 8 << 20, "{} bytes were made", kept.len());
        let bomb = compress_to_vec(&zeros[..16 << 20], CompressionLevel::Fastest);
        assert_eq!(decode("zstd", &bomb, 4096, 8 << 20).0, Err(Stop::Bomb));
        // A page may well compress to nothing.
        assert_eq!(decode("gzip", &gzip(&zeros[..100_000]), 4096, 1 << 20).0, Ok(()));
    }

    #[test]
    fn what_is_broken_is_told() {
        let body = gzip(b"hello, hello, hello");
        assert_eq!(decode("gzip", &body[..body.len() - 4], 64, 100).0, Err(Stop::Corrupt));
        assert_eq!(decode("gzip", b"no gzip at all", 64, 100).0, Err(Stop::Corrupt));
        assert_eq!(decode("zstd", b"no zstd at all", 64, 100).0, Err(Stop::Corrupt));
        assert_eq!(decode("br", &BROTLI[..8], 64, 100).0, Err(Stop::Corrupt));
        // An empty body is empty in any coding.
        for coding in ["gzip", "deflate", "br", "zstd"] {
            let mut decoder = Decoder::new(Some(coding), 1).unwrap();
            assert_eq!(decoder.push(b""), Ok(()));
        }
    }
}
