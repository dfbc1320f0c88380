//! Sites without an end, and those that only look like it.

mod fixture;

use fixture::{Asked, Fixture, html, links, missing};

/// `/day/2024/5/17` and so on: each day leads to the next, and to the one a year later.
fn calendar() -> Fixture {
    Fixture::start(|asked: &Asked| {
        let Some(day) = asked.target.strip_prefix("/day/") else { return missing() };
        let mut numbers = day.split('/').map(|number| number.parse::<u32>().unwrap());
        let mut next = || numbers.next().unwrap();
        let (year, month, day) = (next(), next(), next());
        let (next_month, next_day) = if day < 28 { (month, day + 1) } else { (month % 12 + 1, 1) };
        links(&[
            &format!("/day/{year}/{next_month}/{next_day}"),
            &format!("/day/{}/{month}/{day}", year + 1),
        ])
    })
}

#[test]
fn a_calendar_in_paths_is_stopped_and_told() {
    let site = calendar();
    let run = site.crawl("/day/2024/5/17", &["--max-numbers", "40"]);
    assert_eq!((site.asked().len(), run.code), (40, 0));
    let kinds = run.summary["trap_kinds"].as_array().unwrap();
    let pattern = format!("{}/day/N/N/N", site.url);
    assert_eq!(kinds.len(), 1, "{kinds:?}");
    assert_eq!(
        (&kinds[0]["pattern"], &kinds[0]["option"]),
        (&pattern[..].into(), &"--max-numbers".into())
    );
    assert_eq!(kinds[0]["links"], run.summary["traps"]);
    let told = format!("trap: links such as {pattern} look as if there were no end");
    assert_eq!(run.stderr.matches(&told).count(), 1, "once, and at once: {}", run.stderr);
    assert!(run.stdout.contains(&format!("{pattern} x ")), "{}", run.stdout);
    assert!(run.stdout.contains("complete, but for what looks as if it had no end"));
}

/// What leads into the trap after a resume is counted with what was met before it.
#[test]
fn the_count_goes_on_after_a_resume() {
    let (site, folder) = (calendar(), fixture::scratch());
    let journal = folder.join("journal");
    let options = ["--max-numbers", "40", "--resume", "--journal", journal.to_str().unwrap()];
    let run = site.crawl("/day/2024/5/17", &[&options[..], &["--max-pages", "15"]].concat());
    assert_eq!((site.asked().len(), run.summary["traps"].as_u64()), (15, Some(0)));
    let all = site.crawl("/day/2024/5/17", &options);
    assert_eq!(site.asked().len(), 40);
    // With nothing left to do, what was left out is still told.
    let again = site.crawl("/day/2024/5/17", &options);
    assert_eq!((site.asked().len(), again.summary["done"].as_u64()), (40, Some(40)));
    assert!(all.summary["traps"].as_u64() > Some(0));
    assert_eq!(again.summary["trap_kinds"], all.summary["trap_kinds"]);
    assert!(again.stdout.contains("(--max-numbers)"), "{}", again.stdout);
    std::fs::remove_dir_all(folder).unwrap();
}

/// A thousand dated articles, found through an archive of months, with a limit that is below them.
#[test]
fn an_archive_of_articles_with_titles_is_read_to_its_end() {
    let site = Fixture::start(|asked: &Asked| match &*asked.target {
        "/" => links(&(1..=10).map(|month| format!("/2024/{month:02}/")).collect::<Vec<_>>()),
        "/robots.txt" => missing(),
        target if target.matches('/').count() == 3 => {
            let article = |at: u32| format!("{target}{at:02}/title-{}", letters(at));
            links(&(0..100).map(article).collect::<Vec<_>>())
        }
        _ => html("an article"),
    });
    let run = site.crawl("/", &["--max-numbers", "100"]);
    assert_eq!((site.asked().len(), run.code), (1 + 10 + 1000, 0));
    assert_eq!(run.summary["traps"], 0, "{}", run.stdout);
}

/// A number without digits, as titles differ.
fn letters(number: u32) -> String {
    number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}
