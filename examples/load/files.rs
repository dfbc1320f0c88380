//! The files that a run can leave beside its table: JSON a second, histograms, pictures, the report.

use std::fmt::Write;
use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::args::Outputs;
use crate::chart;
use crate::report;
use crate::summary::{Measured, Summary};

/// Whether what is asked for can be written, before a run that may be long. Nothing that is there
/// is touched. The error is for the user's eyes.
pub(crate) fn check(outputs: &Outputs) -> Result<(), String> {
    let json = outputs.json.as_ref().filter(|_| !outputs.is_json_to_stdout());
    let all = [json, outputs.jsonl.as_ref(), outputs.hdr.as_ref()];
    let all = all.into_iter().chain([outputs.picture.as_ref(), outputs.report.as_ref()]);
    for path in all.flatten() {
        let is_new = !path.exists();
        let opened = OpenOptions::new().append(true).create(true).open(path);
        opened.map_err(|error| format!("cannot write `{}`: {error}", path.display()))?;
        if is_new {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// Writes what was asked for, each whatever became of the others. The errors are for the user's
/// eyes.
pub(crate) fn write(
    outputs: &Outputs,
    summary: &Summary,
    measured: &Measured,
) -> Vec<Result<(), String>> {
    let mut results = Vec::new();
    if let Some(path) = &outputs.jsonl {
        results.push(lines(summary).and_then(|text| put(path, &text)));
    }
    if let Some(path) = &outputs.hdr {
        let is_text = path.extension().is_some_and(|extension| extension == "hgrm");
        let text = if is_text { Ok(hgrm(main_histogram(measured))) } else { hlog(measured) };
        results.push(text.and_then(|text| put(path, &text)));
    }
    if let Some(path) = &outputs.picture {
        results.push(put(path, &picture(summary, measured)));
    }
    if let Some(path) = &outputs.report {
        results.push(put(path, &page(summary, measured)));
    }
    results
}

fn put(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text)
        .map_err(|error| format!("cannot write `{}`: {error}", path.display()))
}

/// A line for each second.
fn lines(summary: &Summary) -> Result<String, String> {
    let mut out = String::new();
    for row in &summary.intervals {
        out +=
            &serde_json::to_string(row).map_err(|error| format!("cannot write JSON: {error}"))?;
        out.push('\n');
    }
    Ok(out)
}

fn main_histogram(measured: &Measured) -> &Histogram<u64> {
    let record = &measured.record;
    if record.response.is_empty() { &record.service } else { &record.response }
}

/// The percentile distribution as HdrHistogram's own tools print and read it, in milliseconds.
fn hgrm(histogram: &Histogram<u64>) -> String {
    let mut out = String::from("       Value     Percentile TotalCount 1/(1-Percentile)\n\n");
    let ms = |ns: f64| ns / 1e6;
    let mut seen = 0;
    for step in histogram.iter_quantiles(5) {
        seen += step.count_since_last_iteration();
        let (value, quantile) = (ms(step.value_iterated_to() as f64), step.quantile_iterated_to());
        // Writing to a String cannot fail.
        let _ = if quantile < 1.0 {
            let inverse = 1.0 / (1.0 - quantile);
            writeln!(out, "{value:12.3} {quantile:2.12} {seen:10} {inverse:14.2}")
        } else {
            writeln!(out, "{value:12.3} {quantile:2.12} {seen:10}")
        };
    }
    let (mean, deviation) = (ms(histogram.mean()), ms(histogram.stdev()));
    let _ = write!(
        out,
        "#[Mean    = {mean:12.3}, StdDeviation   = {deviation:12.3}]\n\
         #[Max     = {:12.3}, Total count    = {:12}]\n\
         #[Buckets = {:12}, SubBuckets     = {:12}]\n",
        ms(histogram.max() as f64),
        histogram.len(),
        histogram.buckets(),
        2048
    );
    out
}

/// All histograms as one log, in nanoseconds, each with its tag.
fn hlog(measured: &Measured) -> Result<String, String> {
    let problem = |error: &dyn std::fmt::Debug| format!("cannot write the histograms: {error:?}");
    let record = &measured.record;
    let (mut out, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("wheelhouse-load: nanoseconds")
        .begin_log_with(&mut out, &mut serializer)
        .map_err(|error| problem(&error))?;
    for (name, histogram) in [
        ("response", &record.response),
        ("service", &record.service),
        ("first_byte", &record.first_byte),
        ("connect", &record.connect),
        ("send_error", &record.send_error),
    ] {
        if !histogram.is_empty() {
            log.write_histogram(histogram, Duration::ZERO, measured.measured, Tag::new(name))
                .map_err(|error| problem(&error))?;
        }
    }
    String::from_utf8(out).map_err(|error| problem(&error))
}

fn picture(summary: &Summary, measured: &Measured) -> String {
    match &summary.search {
        Some(search) => chart::knee(search),
        None => percentiles(measured),
    }
}

fn percentiles(measured: &Measured) -> String {
    let record = &measured.record;
    chart::percentiles(&[
        ("response time (from the plan)", &record.response),
        ("service time (from the send)", &record.service),
    ])
}

/// One page that needs nothing else: no script, no font, no network.
fn page(summary: &Summary, measured: &Measured) -> String {
    const STYLE: &str = "\
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:800px;margin:2em \
auto;padding:0 1em;background:#fff;color:#24292f}pre{font:13px/1.4 ui-monospace,monospace;overflow-x:\
auto;background:#f6f8fa;padding:1em;border-radius:6px}svg{width:100%;height:auto;margin:.5em 0}\
h1{font-size:22px}.verdict{border-left:4px solid #bc4c00;padding-left:1em}\
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}pre{background:#151b23}}";
    let intervals = &measured.record.intervals;
    let mut pictures = String::new();
    if let Some(search) = &summary.search {
        pictures += &chart::knee(search);
    }
    pictures += &percentiles(measured);
    pictures += &chart::over_time(intervals);
    pictures += &chart::heat(intervals);
    pictures += &chart::rates(intervals);
    let verdict: String = summary
        .verdict
        .iter()
        .map(|line| format!("<p class=\"verdict\">{}</p>\n", escaped(line)))
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>wheelhouse-load of {target}</title>\n<style>{STYLE}</style>\n\
         <h1>wheelhouse-load of {target}</h1>\n<p>{mode}</p>\n{verdict}{pictures}\
         <pre>{table}</pre>\n</html>\n",
        target = escaped(&summary.target),
        mode = escaped(&report::mode(summary)),
        table = escaped(&report::table(summary)),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::{measured, summary};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    #[test]
    fn the_log_reads_back() {
        let run = measured(Some(500));
        let text = hlog(&run).unwrap();
        let mut tags = Vec::new();
        for entry in IntervalLogIterator::new(text.as_bytes()) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                tags.push(interval.tag().unwrap().as_str().to_owned());
                let bytes = base64(interval.encoded_histogram());
                let read: Histogram<u64> =
                    Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
                assert_eq!(read.len(), 1000);
            }
        }
        assert_eq!(tags, ["response", "service", "first_byte", "send_error"]);
    }

    /// The alphabet of RFC 4648, section 4.
    fn base64(text: &str) -> Vec<u8> {
        let value = |byte: u8| match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'=').map(value).collect();
        let group = |four: &[u8]| {
            let bits = four.iter().fold(0u32, |bits, digit| bits << 6 | u32::from(*digit));
            let bits = bits << (6 * (4 - four.len()));
            bits.to_be_bytes()[1..four.len()].to_vec()
        };
        digits.chunks(4).flat_map(group).collect()
    }

    #[test]
    fn the_distribution_is_hdrhistograms() {
        let text = hgrm(&measured(Some(500)).record.response);
        let rows: Vec<&str> = text.lines().skip(2).filter(|line| !line.starts_with('#')).collect();
        assert!(rows.len() > 10, "{text}");
        let last: Vec<&str> = rows.last().unwrap().split_whitespace().collect();
        assert_eq!(last[1..], ["1.000000000000", "1000"]);
        assert!(text.contains("Total count    =         1000]"), "{text}");
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let run = measured(Some(500));
        let mut summary = summary(Some(500), &run);
        summary.target = "http://x/<&>".into();
        let page = page(&summary, &run);
        assert_eq!(page.matches("<svg ").count(), 4);
        assert!(page.contains("http://x/&lt;&amp;&gt;") && !page.contains("<&>"));
        for word in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(word), "{word}");
        }
        assert_eq!(lines(&summary).unwrap().lines().count(), 1);
    }
}
