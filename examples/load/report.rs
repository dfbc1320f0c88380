//! The table at the end, for people.

use std::fmt::Write;

use crate::summary::{Latency, PlanKept, Summary};

pub(crate) fn table(summary: &Summary) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_all(&mut out, summary);
    out
}

fn write_all(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let embedded = if summary.embedded { " (embedded)" } else { "" };
    writeln!(out, "wheelhouse-load of {}{embedded}", summary.target)?;
    let Summary { connected, size, depth, .. } = summary;
    let mode = match summary.rate {
        Some(rate) => format!("open loop, {} messages/s planned", grouped(rate)),
        None => "closed loop".into(),
    };
    writeln!(out, "{mode}; {connected} connections, {size} B a message, depth {depth}")?;
    let cut = if summary.interrupted { ", interrupted" } else { "" };
    let Summary { measured_seconds, warm_up_seconds, .. } = summary;
    writeln!(
        out,
        "{measured_seconds:.2} s measured after {warm_up_seconds:.2} s of warm-up{cut}\n"
    )?;

    let row = |out: &mut String, name: &str, total: &str, rate: &str| {
        writeln!(out, "{name:<12} {total:>14} {rate:>18}")
    };
    let rate = format!("{} /s", grouped(summary.messages_per_second.round() as u64));
    row(out, "messages", &grouped(summary.messages), &rate)?;
    let bytes = summary.messages as f64 * *size as f64;
    row(
        out,
        "data",
        &format!("{:.2} MB", bytes / 1e6),
        &format!("{:.2} MB/s", summary.bytes_per_second / 1e6),
    )?;
    for error in &summary.errors {
        row(out, &error.kind.replace('_', " "), &grouped(error.count), "error")?;
    }
    if summary.errors.is_empty() {
        writeln!(out, "{:<12} {:>14}", "errors", "none")?;
    }
    latencies(out, summary)?;
    writeln!(out)?;
    if let Some(plan) = &summary.plan {
        kept(out, plan)?;
    }
    let Summary { generator, .. } = summary;
    write!(out, "generator    {:.0} % of a processor", generator.cpu_share * 100.0)?;
    let remark = if generator.saturated { ": the limit may be its, not the target's" } else { "" };
    writeln!(out, "{remark}")
}

/// Both times side by side, and how many samples lie beyond each percentile.
fn latencies(out: &mut String, summary: &Summary) -> std::fmt::Result {
    let service = &summary.service_time;
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
        "plan         {} messages, {} late by more than {threshold}",
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
fn time(ns: u64) -> String {
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
fn grouped(number: u64) -> String {
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
        let table = table(&summary(None, measured(None)));
        assert!(table.contains("closed loop; 2 connections, 64 B a message, depth 1"), "{table}");
        assert!(table.contains("\np99.99 "), "{table}");
        assert!(table.contains("errors                 none"), "{table}");
        assert!(table.contains("`--rate` sees it"), "{table}");
    }

    #[test]
    fn the_open_table_has_both_times_side_by_side() {
        let mut run = measured(Some(500));
        run.record.late_by_generator = 3;
        let table = table(&summary(Some(500), run));
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
