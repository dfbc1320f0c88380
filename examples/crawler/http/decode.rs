//! Bodies as they arrive: content codings undone on the way, and never more kept than was allowed.
//!
//! A kilobyte of gzip can stand for a megabyte. So the limit holds for what comes out, and output
//! out of all proportion to the input is a bomb, whatever its size: it is thrown away.

use std::io::{self, Read, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};

/// What the client asks for.
pub(crate) const ACCEPTED: &str = "gzip, deflate, br, zstd";

/// Output may grow to this before proportion is looked at: small pages compress well.
const NO_BOMB_BELOW: usize = 1 << 20;

/// Text does not compress better than this.
const LARGEST_RATIO: usize = 200;

/// RFC 9659 lets a sender assume no larger window than this.
const ZSTD_WINDOW: u64 = 8 << 20;

/// The head of a brotli stream in a dialect with windows of up to a gigabyte, which the decoder would
/// set up at once. It is not the brotli of the web (RFC 7932, 9.1).
const BROTLI_LARGE_WINDOW: u8 = 0x11;

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
        let is_first = self.taken == 0;
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
            Coding::Brotli(_) if is_first && chunk[0] & 0x7f == BROTLI_LARGE_WINDOW => {
                return Err(Stop::Corrupt);
            }
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
            Coding::Zstd(out) => {
                let mut out = std::mem::take(out);
                let result = unzstd(&mut out);
                self.coding = Coding::Identity(out);
                return result;
            }
        };
        self.check(result)
    }

    /// What has come out so far.
    pub(crate) fn into_kept(mut self) -> Vec<u8> {
        if matches!(self.coding, Coding::Zstd(_)) {
            // Too much came in to be undone, and as it came it means nothing.
            return Vec::new();
        }
        let out = self.out();
        // When a decoder is dropped it writes what it still has: nobody wants it.
        out.limit = 0;
        std::mem::take(&mut out.kept)
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
    // One for all of them, with its buffers: a body may be nothing but empty frames.
    let mut frames = FrameDecoder::new();
    frames.set_max_window_size(ZSTD_WINDOW);
    while !rest.is_empty() {
        let mut decoder = match StreamingDecoder::new_with_decoder(&mut rest, &mut frames) {
            Ok(decoder) => decoder,
            Err(error) => {
                let length = skippable(&error).ok_or(Stop::Corrupt)?;
                rest = rest.get(length..).ok_or(Stop::Corrupt)?;
                continue;
            }
        };
        let room = (out.limit - out.kept.len()) as u64 + 1;
        let read = decoder.by_ref().take(room).read_to_end(&mut out.kept);
        let is_over = out.kept.len() > out.limit;
        out.kept.truncate(out.limit);
        let ratio = out.kept.len() / coded.len();
        if out.kept.len() >= NO_BOMB_BELOW.min(out.limit) && ratio > LARGEST_RATIO {
            return Err(Stop::Bomb);
        }
        if is_over {
            return Err(Stop::TooLarge);
        }
        read.map_err(|_| Stop::Corrupt)?;
    }
    Ok(())
}

/// The length of a frame that carries nothing for us (RFC 8878, 3.1.2).
fn skippable(error: &FrameDecoderError) -> Option<usize> {
    match error {
        FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
            length, ..
        }) => usize::try_from(*length).ok(),
        _ => None,
    }
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

    /// 64 MiB of zeros as brotli has them: the crate at hand only decodes.
    const BROTLI_BOMB: &[u8] = b"\xcf\xff\xff\x7f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x9f\xff\xff\
        \xff\xf0\x4f\x00\xc4\x61\x01\x80\xee\xfd\x3f\xff\xff\xff\xe1\x9f\x00\x88\xc3\x22\
        \x00\xdd\xfb\x7f\xfe\xff\xff\xc3\x3f\x01\x10\x87\x05\x00\xba\xf7\xff\x03";

    #[test]
    fn no_bomb_makes_us_hold_more_than_the_limit() {
        let zeros = vec![0; 4 << 20];
        let zstd = compress_to_vec(zeros.as_slice(), CompressionLevel::Fastest);
        let gzip_of_gzip = gzip(&gzip(&zeros));
        let many_members = gzip(&zeros[..1 << 18]).repeat(16);
        let many_frames = compress_to_vec(&zeros[..1 << 18], CompressionLevel::Fastest).repeat(16);
        let bombs = [
            ("gzip", gzip(&zeros)),
            ("gzip", many_members),
            ("br", BROTLI_BOMB.to_vec()),
            ("zstd", zstd),
            ("zstd", many_frames),
        ];
        const LIMIT: usize = 2 << 20;
        for (coding, bomb) in bombs {
            for step in [4096, bomb.len()] {
                let (result, kept) = decode(coding, &bomb, step, LIMIT);
                // All in one piece it may seem to be no more than too large.
                let is_seen = result == Err(Stop::Bomb)
                    || step > 4096 && result == Err(Stop::TooLarge) && kept.len() == LIMIT;
                assert!(is_seen, "{coding} of {} bytes: {result:?}", bomb.len());
                // A vector may grow to twice of what it was.
                assert!(kept.len() <= LIMIT && kept.capacity() <= 2 * LIMIT, "{coding}");
            }
        }
        // What is inside of what was unpacked is not unpacked.
        let (result, kept) = decode("gzip", &gzip_of_gzip, 4096, LIMIT);
        assert!(result.is_ok() && kept.starts_with(b"\x1f\x8b") && kept.len() < 1 << 17);
        assert_eq!(Decoder::new(Some("gzip, gzip"), LIMIT).err(), Some(Stop::UnknownCoding));
    }

    /// The decoder would set up a window of a gigabyte for these 27 bytes.
    #[test]
    fn brotli_with_a_large_window_is_not_begun() {
        let body = b"\x11\x5e\x48\x00\xe0\x37\x52\xba\x79\x13\x25\x48\x19\x5a\xb2\xb1\
            \xbc\x45\x3c\x91\x80\x8e\x03";
        assert_eq!(decode("br", body, 1, 100), (Err(Stop::Corrupt), Vec::new()));
        assert_eq!(decode("br", body, body.len(), 100), (Err(Stop::Corrupt), Vec::new()));
    }

    #[test]
    fn members_and_frames_one_after_the_other_are_one_body() {
        let zstd = |text: &[u8]| compress_to_vec(text, CompressionLevel::Fastest);
        let skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc".to_vec();
        for (coding, body) in [
            ("gzip", [gzip(b"one "), gzip(b""), gzip(b"two")].concat()),
            ("zstd", [zstd(b"one "), zstd(b""), zstd(b"two")].concat()),
            ("zstd", [skipped.clone(), zstd(b"one "), skipped.clone(), zstd(b"two")].concat()),
        ] {
            for step in [1, body.len()] {
                let (result, kept) = decode(coding, &body, step, 100);
                assert_eq!((result, kept.as_slice()), (Ok(()), &b"one two"[..]), "{coding}");
            }
        }
        let cut = [zstd(b"one"), skipped[..skipped.len() - 1].to_vec()].concat();
        assert_eq!(decode("zstd", &cut, 64, 100), (Err(Stop::Corrupt), b"one".to_vec()));
    }

    /// What comes after the end is told, and what came before it is kept.
    #[test]
    fn what_trails_after_the_end_costs_nothing_that_came_before() {
        let text = b"hello, hello, hello";
        let zstd = compress_to_vec(&text[..], CompressionLevel::Fastest);
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::default());
        zlib.write_all(text).unwrap();
        let bodies = [
            ("gzip", gzip(text)),
            ("br", BROTLI.to_vec()),
            ("zstd", zstd),
            ("deflate", zlib.finish().unwrap()),
        ];
        for (coding, body) in bodies {
            let body = [&body[..], b"and then something else"].concat();
            for step in [1, body.len()] {
                let (result, kept) = decode(coding, &body, step, 100);
                assert_eq!((result, &kept[..]), (Err(Stop::Corrupt), &text[..]), "{coding}");
            }
        }
    }

    /// Wherever it is cut, what comes out is the beginning of the text.
    #[test]
    fn a_body_may_be_cut_anywhere() {
        let text: Vec<u8> = (0..500_u32).map(|at| ((at * at) >> 5) as u8).collect();
        let zstd = compress_to_vec(text.as_slice(), CompressionLevel::Fastest);
        let bodies = [
            ("gzip", &gzip(&text)[..], &text[..]),
            ("zstd", &zstd, &text),
            ("br", BROTLI, b"hello, hello, hello"),
        ];
        for (coding, body, text) in bodies {
            for end in 1..body.len() {
                let (result, kept) = decode(coding, &body[..end], 512, 1 << 20);
                assert_eq!(result, Err(Stop::Corrupt), "{coding} cut at {end}");
                assert!(text.starts_with(&kept), "{coding} cut at {end}");
            }
        }
    }

    /// zstd is undone at the end only; if the limit comes before that, what came in is not the text.
    #[test]
    fn too_much_of_it_coded_gives_nothing() {
        let noise: Vec<u8> = (0..300_000_u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        let zstd = compress_to_vec(noise.as_slice(), CompressionLevel::Uncompressed);
        let mut decoder = Decoder::new(Some("zstd"), 200_000).unwrap();
        assert_eq!(decoder.push(&zstd), Err(Stop::TooLarge));
        assert_eq!(decoder.into_kept(), b"");
    }

    #[test]
    fn a_body_under_a_wrong_name_is_corrupt_and_empty() {
        let text = b"<html>just text, whatever its label says</html>";
        for coding in ["gzip", "br", "zstd", "deflate"] {
            let (result, kept) = decode(coding, text, 64, 1000);
            assert_eq!((result, kept.is_empty()), (Err(Stop::Corrupt), true), "{coding}");
        }
        for (coding, body) in [("br", gzip(text)), ("gzip", BROTLI.to_vec()), ("zstd", gzip(text))]
        {
            assert_eq!(decode(coding, &body, 64, 1000).0, Err(Stop::Corrupt), "{coding}");
        }
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
