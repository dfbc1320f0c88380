//! The table at the end, for people.

use std::fmt::Write;

use crate::figures::{Generator, Latency, PlanKept, StageOf};
use crate::search::{Search, Step};
use crate::summary::Summary;

pub(crate) fn table(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, summary);
    out
}

fn write_all(out: &mut String, summary: &Summary) -> std::fmt::Result {
    heading(out, summary)?;
    let row = |out: &mut String, name: &str, total: &str, rate: &str| {
        writeln!(out, "{}", format!("{name:<12} {total:>14} {rate:>18}").trim_end())
    };
    let rate = format!("{} /s", grouped(summary.messages_per_second.round() as u64));
    row(out, summary.unit(), &grouped(summary.messages), &rate)?;
    let bytes = |name: &str, per_second: f64, out: &mut String| {
        let total = per_second * summary.measured_seconds / 1e6;
        row(out, name, &format!("{total:.2} MB"), &format!("{:.2} MB/s", per_second / 1e6))
    };
    bytes("sent", summary.bytes_sent_per_second, out)?;
    bytes("received", summary.bytes_received_per_second, out)?;
    for status in &summary.statuses {
        row(out, &status.class, &grouped(status.count), "")?;
    }
    for error in &summary.errors {
        row(out, &error.kind.replace('_', " "), &grouped(error.count), "error")?;
    }
    if summary.errors.is_empty() {
        writeln!(out, "{:<12} {:>14}", "errors", "none")?;
    }
    if summary.resent > 0 {
        row(out, "resent", &grouped(summary.resent), "")?;
    }
    latencies(out, summary)?;
    others(out, summary)?;
    if let Some(plan) = &summary.plan {
        kept(out, plan)?;
    }
    generator(out, &summary.generator)?;
    if let Some(search) = &summary.search {
        steps(out, search)?;
    }
    for check in &summary.expectations {
        let met = if check.met { "met" } else { "NOT MET" };
        writeln!(out, "{:<12} {} is {met}: {}", "expected", check.expectation, check.shown())?;
    }
    Ok(())
}

/// A search, by rate and not by time: that is how it is read.
fn steps(out: &mut String, search: &Search) -> std::fmt::Result {
    writeln!(out, "\n{:>12} {:>12} {:>12} {:>12}", "rate", "p50", "p99", "p99.9")?;
    let mut steps: Vec<&Step> = search.steps.iter().collect();
    steps.sort_by_key(|step| step.rate);
    for step in steps {
        let (p50, p99, p999) = (time(step.p50_ns), time(step.p99_ns), time(step.p999_ns));
        let word = step.because.as_deref().unwrap_or("holds");
        let rate = grouped(step.rate);
        writeln!(out, "{rate:>12} {p50:>12} {p99:>12} {p999:>12}  {word}")?;
    }
    Ok(())
}

fn heading(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let embedded = if summary.embedded { " (embedded)" } else { "" };
    writeln!(out, "wheelhouse-load of {}{embedded}", summary.target)?;
    writeln!(out, "{}", mode(summary))?;
    let cut = if summary.interrupted { ", interrupted" } else { "" };
    let Summary { measured_seconds, warm_up_seconds, .. } = summary;
    writeln!(out, "{measured_seconds:.2} s measured after {warm_up_seconds:.2} s of warm-up{cut}\n")
}

/// How the load was made, on one line.
pub(crate) fn mode(summary: &Summary) -> String {
    let Summary { connected, depth, loops, .. } = summary;
    let unit = summary.unit();
    let mode = match (summary.rate, summary.stages.as_slice()) {
        (Some(rate), _) => format!("open loop, {} {unit}/s planned", grouped(rate)),
        (None, []) => "closed loop".into(),
        (None, stages) => {
            let stage = |stage: &StageOf| match (stage.from, stage.to) {
                (from, to) if from == to => format!("{} s at {}", stage.seconds, grouped(from)),
                (from, to) => {
                    format!("{} s from {} to {}", stage.seconds, grouped(from), grouped(to))
                }
            };
            let all: Vec<String> = stages.iter().map(stage).collect();
            format!("open loop, {} {unit}/s planned", all.join(", "))
        }
    };
    let size = summary.size.map_or(String::new(), |size| format!(", {size} B a message"));
    let protocol = match summary.protocol {
        "echo" => "",
        protocol => &format!(" of {protocol}"),
    };
    let keeps = if summary.keep_alive { "" } else { " for one message each" };
    let loops = if *loops > 1 { format!(", {loops} loops") } else { String::new() };
    format!("{mode}; {connected} connections{protocol}{keeps}{size}, depth {depth}{loops}")
}

/// The times that are not the ones in question, on a line each.
fn others(out: &mut String, summary: &Summary) -> std::fmt::Result {
    writeln!(out)?;
    for (name, latency) in
        [("first byte", &summary.first_byte_time), ("connect", &summary.connect_time)]
    {
        if latency.count > 0 {
            let at = |wanted: f64| {
                latency.percentiles.iter().find(|at| at.percentile == wanted).map_or(0, |at| at.ns)
            };
            let (median, p99, max) = (time(at(50.0)), time(at(99.0)), time(latency.max_ns));
            writeln!(out, "{name:<12} median {median}, p99 {p99}, max {max}")?;
        }
    }
    Ok(())
}

fn generator(out: &mut String, generator: &Generator) -> std::fmt::Result {
    let (cpu, waited) = (generator.cpu_share * 100.0, generator.waited_share * 100.0);
    write!(out, "generator    {cpu:.0} % of a processor")?;
    if generator.spun_share >= 0.005 {
        write!(out, ", {:.0} % spun to be punctual", generator.spun_share * 100.0)?;
    }
    if waited >= 0.5 {
        write!(out, " and {waited:.0} % of the time waiting for one")?;
    }
    let each = time(generator.cpu_ns_per_message as u64);
    let longest = time(generator.longest_turn_ns);
    write!(out, ", {each} a message, longest turn {longest}")?;
    let remark = if generator.saturated { ": the limit may be its, not the target's" } else { "" };
    writeln!(out, "{remark}")
}

/// Both times side by side, and how many samples lie beyond each percentile.
fn latencies(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let service = &summary.service_time;
    if service.count == 0 {
        return writeln!(out, "\nlatency      not measured: no answer came");
    }
    let Some(response) = &summary.response_time else {
        writeln!(out, "\nlatency      service time         beyond")?;
        writeln!(out, "             (from send)")?;
        for percentile in &service.percentiles {
            let name = format!("p{}", percentile.percentile);
            writeln!(
                out,
                "{name:<12} {:>12} {:>14}",
                time(percentile.ns),
                grouped(percentile.beyond)
            )?;
        }
        writeln!(out, "{:<12} {:>12}", "max", time(service.max_ns))?;
        writeln!(
            out,
            "{:<12} {:>12} {:>14}",
            "mean",
            time(service.mean_ns as u64),
            samples(service)
        )?;
        return writeln!(
            out,
            "There is no plan, so what a stall keeps from being sent is not seen; `--rate` sees it."
        );
    };
    writeln!(out, "\nlatency     response time         beyond   service time         beyond")?;
    writeln!(out, "            (from plan)                     (from send)")?;
    for (of_response, of_service) in response.percentiles.iter().zip(&service.percentiles) {
        let name = format!("p{}", of_response.percentile);
        let (from_plan, from_send) = (time(of_response.ns), time(of_service.ns));
        let (beyond, of_send) = (grouped(of_response.beyond), grouped(of_service.beyond));
        writeln!(out, "{name:<12} {from_plan:>12} {beyond:>14} {from_send:>14} {of_send:>14}")?;
    }
    writeln!(
        out,
        "{:<12} {:>12} {:>14} {:>14}",
        "max",
        time(response.max_ns),
        "",
        time(service.max_ns)
    )?;
    let (from_plan, from_send) = (time(response.mean_ns as u64), time(service.mean_ns as u64));
    let (all, of_send) = (samples(response), samples(service));
    writeln!(out, "{:<12} {from_plan:>12} {all:>14} {from_send:>14} {of_send:>14}", "mean")
}

fn samples(latency: &Latency) -> String {
    format!("of {}", grouped(latency.count))
}

fn kept(out: &mut String, plan: &PlanKept) -> std::fmt::Result {
    let (median, p99, max) =
        (plan.send_error_median_ns, plan.send_error_p99_ns, plan.send_error_max_ns);
    writeln!(
        out,
        "send error   median {}, p99 {}, max {} after the plan",
        time(median),
        time(p99),
        time(max)
    )?;
    let threshold = time(plan.late_threshold_ns);
    write!(
        out,
        "plan         {} sends, {} late by more than {threshold}",
        grouped(plan.planned),
        grouped(plan.late)
    )?;
    if plan.late > 0 {
        let (target, own) = (grouped(plan.late_by_target), grouped(plan.late_by_generator));
        write!(out, " ({target} held by the target, {own} by the generator)")?;
    }
    write!(out, ", {} unsent", grouped(plan.unsent))?;
    if plan.unsent > 0 {
        let (target, own) = (grouped(plan.unsent_by_target), grouped(plan.unsent_by_generator));
        let failed = grouped(plan.unsent_by_failure);
        write!(
            out,
            " ({target} held by the target, {own} by the generator, {failed} on failed connections)"
        )?;
    }
    writeln!(out)
}

/// Three or four digits with their unit.
pub(crate) fn time(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => scaled(ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => scaled(ns as f64 / 1e6, "ms"),
        _ => scaled(ns as f64 / 1e9, "s"),
    }
}

fn scaled(number: f64, unit: &str) -> String {
    let digits = if number < 10.0 { 2 } else { 1 };
    format!("{number:.digits$} {unit}")
}

/// With commas: `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::tests::{measured, summary};

    #[test]
    fn numbers_are_readable() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(time(999), "999 ns");
        assert_eq!(time(9_870), "9.87 us");
        assert_eq!(time(98_700), "98.7 us");
        assert_eq!(time(1_270_000_000), "1.27 s");
    }

    #[test]
    fn the_closed_table_has_one_time_and_says_what_it_does_not_see() {
        let mut run = measured(None);
        run.record.statuses[2] = 1000;
        let table = table(&summary(None, &run));
        assert!(table.contains("\n2xx                   1,000\n"), "{table}");
        assert!(table.lines().all(|line| line.trim_end() == line), "{table}");
        assert!(table.contains("closed loop; 2 connections, 64 B a message, depth 1"), "{table}");
        assert!(table.contains("\np99.99 "), "{table}");
        assert!(table.contains("errors                 none"), "{table}");
        assert!(table.contains("`--rate` sees it"), "{table}");
    }

    #[test]
    fn what_was_not_measured_is_not_called_nothing() {
        let mut run = measured(None);
        run.record.service.reset();
        let table = table(&summary(None, &run));
        assert!(table.contains("latency      not measured"), "{table}");
        assert!(!table.contains("\np99 "), "{table}");
    }

    #[test]
    fn the_open_table_has_both_times_side_by_side() {
        let mut run = measured(Some(500));
        run.record.late_by_generator = 3;
        let table = table(&summary(Some(500), &run));
        let p99 = table.lines().find(|line| line.starts_with("p99 ")).unwrap();
        assert_eq!(
            p99.split_whitespace().collect::<Vec<_>>(),
            ["p99", "995.3", "us", "10", "990.2", "us", "10"]
        );
        assert!(
            table
                .contains("3 late by more than 1.00 ms (0 held by the target, 3 by the generator)"),
            "{table}"
        );
        assert!(table.contains("send error   median 5.00 us"), "{table}");
    }
}
